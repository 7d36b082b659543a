"""Answers held to something while they are written: to one of a few texts, or to a pattern.

Held to choices, each token must continue one of them as the tokenizer spells it. A pattern is a regular expression:
llguidance says which tokens may come next, as it does inside vLLM.

A question with a pattern is first read freely. An answer that matches is kept, and so is "cannot read", which a model
held from the start could not say; both keep their confidence. Any other answer is written again, held to the pattern.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from saccade.annotation.patterns import matches, plain
from saccade.types import Answer


class Guide(ABC):
    """What one answer is held to."""

    most = 0
    """Tokens that it may need, the closing one included, even beyond `max_new_tok`."""

    @abstractmethod
    def among(self, logprobs: Tensor, written: Sequence[int]) -> Tensor:
        """(V,): log-probabilities of the next token among those that may follow what is `written`."""


class Choices(Guide):
    """One of a few texts, each given as its tokens with a closing one."""

    def __init__(self, allowed: Sequence[tuple[int, ...]]) -> None:
        self.allowed, self.most = allowed, max(map(len, allowed))

    def among(self, logprobs: Tensor, written: Sequence[int]) -> Tensor:
        """Only tokens that continue one of the choices keep a probability."""
        num_written = len(written)
        going = {
            text[num_written]
            for text in self.allowed
            if text[:num_written] == tuple(written) and len(text) > num_written
        }
        return _only(logprobs, torch.tensor(sorted(going), device=logprobs.device))


class Pattern(Guide):
    """A match of a regular expression."""

    def __init__(self, vocabulary: Any, pattern: str) -> None:
        """`vocabulary` is what `vocabulary_of` makes of a tokenizer."""
        from llguidance import LLMatcher

        self._matcher, self._taken = LLMatcher(vocabulary, LLMatcher.grammar_from_regex(plain(pattern))), 0

    def among(self, logprobs: Tensor, written: Sequence[int]) -> Tensor:
        """Only tokens that continue a match, or end one that is complete, keep a probability."""
        self._matcher.consume_tokens(list(written[self._taken :]))
        self._taken = len(written)
        bits = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.uint8)
        allowed = ((bits[:, None] >> torch.arange(8)) & 1).flatten()[: len(logprobs)].nonzero().flatten()
        return _only(logprobs, allowed.to(logprobs.device))


def vocabulary_of(tokenizer: Any, num_tok: int) -> Any:
    """The tokens of a tokenizer of transformers as llguidance has them; it takes a second."""
    from llguidance.hf import from_tokenizer

    return from_tokenizer(tokenizer, n_vocab=num_tok)


def fits(answer: Answer, pattern: str) -> bool:
    """Whether an answer may stay as it is: it matches, or nothing was read."""
    return not answer.text or matches(pattern, answer.text)


def after(first: Answer, held: Answer, pattern: str) -> Answer:
    """The answer of two readings, at the cost of both: the held one, unless it was cut off before it matched.

    Its confidence among matching answers says nothing about the page, so it gets at most 1 - that of the first reading.
    """
    counts = {name: getattr(first, name) + getattr(held, name) for name in ("prefill_tok", "cached_tok", "seconds")}
    if not held.text or not fits(held, pattern):
        return replace(first, **counts)
    return replace(held, confidence=min(held.confidence, 1 - first.confidence), **counts)


def _only(logprobs: Tensor, options: Tensor) -> Tensor:
    masked = torch.full_like(logprobs, float("-inf"))
    masked[options] = logprobs[options].log_softmax(-1)
    return masked
