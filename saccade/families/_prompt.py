"""The prompt around an image, from the checkpoint's own tokenizer and chat template: the same for all families."""

import json
from typing import Any

from saccade.errors import ConfigError
from saccade.families import checkpoint_file

QUESTION = "\ue000question\ue000"  # private-use characters: stands for the question while the template is filled


def open_tokenizer(path: str, template: str | None = None) -> Any:
    """The checkpoint's tokenizer with its chat template, which older checkpoints keep in chat_template.json.

    `template` is for a checkpoint that has none at all.

    Raises:
        ConfigError: there is no chat template, or it is broken.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    if tokenizer.chat_template is None:
        beside = checkpoint_file(path, "chat_template.json")
        tokenizer.chat_template = json.loads(beside.read_text())["chat_template"] if beside else template
    if tokenizer.chat_template is None:
        raise ConfigError(f"{path}/chat_template.jinja is missing, and so is any other: download the checkpoint again")
    try:
        _filled(tokenizer)
    except Exception as error:  # a template is a program: it raises whatever it comes to
        raise ConfigError(
            f"the chat template of {path!r} is broken or for text only ({type(error).__name__}: {error}): download the "
            "checkpoint again"
        ) from error
    return tokenizer


def _filled(tokenizer: Any) -> str:
    """The prompt as text, with the place of the image and of the question in it."""
    content = [{"type": "image"}, {"type": "text", "text": QUESTION}]
    asked = [{"role": "user", "content": content}]
    return str(tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True))


def around_image(tokenizer: Any, question: str, image_token_id: int) -> tuple[list[int], list[int]]:
    """Token ids before and after the place of the image in the prompt that asks `question`.

    The prompt is tokenized in one piece, as the checkpoint's processor does it. But a question is always text: one that
    spells a token such as "<|image_pad|>" is tokenized apart, so that it does not become that token.

    Raises:
        ConfigError: the checkpoint's chat template is for text only.
    """
    text = _filled(tokenizer)
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
