"""What an engine knows of a checkpoint besides its layers: prompt, what an answer's tokens say, their embeddings."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Self

import torch
from torch import Tensor

from saccade.errors import ConfigError, QuestionError
from saccade.families import Family, checkpoint_file
from saccade.families._prompt import open_tokenizer
from saccade.metrics.calibration import Calibration
from saccade.registry import find
from saccade.types import Answer

CANNOT_READ = "<|cannot_read|>"
"""The token by which a model says that the answer is not in what it was shown. Models without it never say so."""

MOST_CHARS = 16
"""Of a question for each token of the context: none is written with so few tokens, and to count those of a longer text
takes seconds per MB, while everybody else waits for the engine."""


@dataclass(frozen=True, slots=True)
class Speech:
    """How one checkpoint ends an answer and says that it cannot read."""

    tokenizer: Any
    end_ids: frozenset[int]
    closing: int  # the one of them that the model writes after an answer
    cannot_read: int | None
    max_prompt_tok: int  # the model's context, answer included
    max_new_tok: int

    @classmethod
    def of(cls, tokenizer: Any, eos: int | Sequence[int] | None, *limits: int) -> Self:
        """`eos` is the generation configuration's; `limits` are `max_prompt_tok` and `max_new_tok`."""
        ends = {eos} if isinstance(eos, int) else set(eos or ())
        token = tokenizer.convert_tokens_to_ids(CANNOT_READ)
        unreadable = token if token not in (None, tokenizer.unk_token_id) else None
        closing = tokenizer.eos_token_id
        return cls(tokenizer, frozenset(ends | {closing}), closing, unreadable, *limits)

    def check_length(self, prompt_tok: int) -> None:
        """Raises QuestionError: with the answer, the prompt is longer than the context, in tokens or positions."""
        if prompt_tok + self.max_new_tok > self.max_prompt_tok:
            raise QuestionError(
                f"the prompt is {prompt_tok} tokens and up to {self.max_new_tok} may follow; "
                f"the model takes {self.max_prompt_tok}. Ask a shorter question or keep fewer tokens"
            )

    def check_text(self, question: str) -> None:
        """Raises QuestionError: so long that it need not be spelled to know that it is too long, or no Unicode text."""
        if len(question) > MOST_CHARS * self.max_prompt_tok:
            raise QuestionError(
                f"the question is {len(question):,} characters long; the model takes {self.max_prompt_tok} tokens. Ask "
                "a shorter question"
            )
        try:
            question.encode()
        except UnicodeEncodeError as error:  # tokenizers take UTF-8 alone
            raise QuestionError(
                f"the question holds half a character, {question[error.start]!r}, at place {error.start + 1}: it must "
                "be Unicode text. A shell's argument must be UTF-8"
            ) from error

    def spelled(self, question: str) -> tuple[list[int], list[tuple[int, int]]]:
        """The token ids of a question without the prompt around it, and the characters of each: none, if unknown.

        Raises:
            QuestionError: it is empty, no Unicode text, or longer than the context by itself. A page is compared with
                every token of a question, so what nobody can read must not come so far.
        """
        if not question.strip():
            raise QuestionError("the question is empty")
        self.check_text(question)
        placed = {"return_offsets_mapping": True} if self.tokenizer.is_fast else {}
        options = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
        spelled = self.tokenizer(question, **options, **placed)
        self.check_length(len(spelled["input_ids"]))
        return spelled["input_ids"], spelled["offset_mapping"] if placed else []

    def written(self, texts: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """The token ids of texts, each with every token that may end it."""
        ids = [self.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        return tuple((*text_ids, end) for text_ids in ids for end in sorted(self.end_ids))

    def closed(self, text: str) -> tuple[int, ...]:
        """The token ids of an answer and of the one that the model closes it with."""
        return (*self.tokenizer(text, add_special_tokens=False)["input_ids"], self.closing)

    def answer(
        self,
        ids: Sequence[int],
        logprobs: Sequence[float],
        tokens: Tensor | None,
        calibration: Calibration,
        **counts: Any,
    ) -> Answer:
        """The answer that `ids` (without the closing token) spell; `logprobs` include the closing token's.

        Confidence is an expected score, by `calibration` from the probabilities of its tokens, the closing one
        included. It is 0 where the model says that it cannot read, or says nothing, as models without a token for that
        do. `tokens` (T, D) embed `ids`; `counts` are the answer's other fields.
        """
        readable = self.cannot_read is None or self.cannot_read not in ids
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True).strip() if readable else ""
        return Answer(
            text=text,
            logprobs=tuple(logprobs),
            confidence=calibration(logprobs) if text else 0.0,
            readable=readable,
            token_ids=tuple(ids),
            tokens=tokens if ids else None,
            **counts,
        )


def open_outline(path: str, config: Any) -> Family:
    """A family without weights: its prompt and its positions, which need the configuration and the tokenizer alone."""
    family: Any = find("families", str(config.model_type), Family)
    return family(SimpleNamespace(config=config), open_tokenizer(path), None, "")  # type: ignore[no-any-return]


class Embeddings:
    """Input embeddings of a checkpoint, read row by row from its file: for a reader that holds no table of them."""

    def __init__(self, path: str) -> None:
        from safetensors import safe_open

        file = checkpoint_file(path, "model.safetensors")
        if file is None:
            index = checkpoint_file(path, "model.safetensors.index.json")
            if index is None:
                raise ConfigError(f"{path!r} has no safetensors weights")
            parts = json.loads(index.read_text())["weight_map"]
            file = checkpoint_file(path, next(part for key, part in parts.items() if _embeds(key)))
        stored: Any = safe_open(file, framework="pt")
        self._rows = stored.get_slice(next(key for key in stored.keys() if _embeds(key)))  # noqa: SIM118

    def __call__(self, ids: Sequence[int]) -> Tensor | None:
        """(T, D) of T token ids, None of none."""
        return torch.cat([self._rows[token : token + 1] for token in ids]) if ids else None


def end_ids(path: str, config: Any) -> Any:
    """Token ids that end an answer, as transformers takes them: from generation_config.json, else the configuration."""
    from transformers import GenerationConfig

    if checkpoint_file(path, "generation_config.json") is not None:
        return GenerationConfig.from_pretrained(path).eos_token_id
    return getattr(config.get_text_config(), "eos_token_id", None)


def _embeds(key: str) -> bool:
    return key.endswith("embed_tokens.weight")
