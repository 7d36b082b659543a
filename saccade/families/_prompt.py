"""The prompt around an image, from the checkpoint's own tokenizer and chat template: the same for all families."""

import json
from typing import Any

from saccade.errors import ConfigError
from saccade.families import checkpoint_file

QUESTION = "\ue000question\ue000"  # private-use characters: stands for the question while the template is filled


def open_tokenizer(path: str, template: str | None = None) -> Any:
    """The checkpoint's tokenizer with its chat template, which older checkpoints keep in chat_template.json.

    `template` is for a checkpoint that has none at all.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.chat_template is None:
        beside = checkpoint_file(path, "chat_template.json")
        tokenizer.chat_template = json.loads(beside.read_text())["chat_template"] if beside else template
    return tokenizer


def around_image(tokenizer: Any, question: str, image_token_id: int) -> tuple[list[int], list[int]]:
    """Token ids before and after the place of the image in the prompt that asks `question`.

    The prompt is tokenized in one piece, as the checkpoint's processor does it. But whatever a question says, it is
    text: one that spells a token such as "<|image_pad|>" is tokenized apart, so that it does not become that token.

    Raises:
        ConfigError: the checkpoint's chat template is for text only.
    """
    content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
    )
    begin = tokenizer.bos_token is None or not text.startswith(tokenizer.bos_token)
    if any(token in question for token in tokenizer.get_added_vocab()):
        before, after = text.split(QUESTION)
        ids = tokenizer(before, add_special_tokens=begin)["input_ids"]
        ids += tokenizer(question, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ids += tokenizer(after, add_special_tokens=False)["input_ids"]
    else:
        ids = tokenizer(text.replace(QUESTION, question), add_special_tokens=begin)["input_ids"]
    if image_token_id not in ids:
        raise ConfigError("the chat template of this checkpoint has no place for an image: it is for text only")
    at = ids.index(image_token_id)
    return ids[:at], ids[at + 1 :]
