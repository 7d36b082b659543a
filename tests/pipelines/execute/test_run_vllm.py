"""`saccade batch --engine vllm`: the command, Ray's graph and a real engine in a reader actor, against transformers."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.commands import app as cli
from saccade.api import Eye
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.types import Trace
from tests.engines.conftest import needs_vllm

pytestmark = [
    needs_vllm,
    pytest.mark.slow,
    pytest.mark.ray,
    pytest.mark.timeout(600),
    pytest.mark.usefixtures("cluster"),
]

NUM_QUESTIONS, PAGE_PX, TOKENS, LOOKS, NEW_TOK = 4, 512, 60, 2, 24


def ran(output: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Rows and summary of a few questions to the bundled model."""
    arguments = ["batch", "--engine", "vllm", "--output", str(output), "--dataset", "synthdoc"]
    numbers = {"page-px": PAGE_PX, "limit": NUM_QUESTIONS, "tokens": TOKENS, "fixations": LOOKS, "stop-at": 2}
    for key, value in numbers.items():
        arguments += [f"--{key}", str(value)]
    for setting in (f"max_new_tok={NEW_TOK}", "kv_gib=0.25", "block_tok=32"):
        arguments += ["--set", f"engine.{setting}"]
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    rows = [row for file in sorted((output / "answers").iterdir()) for row in pq.read_table(file).to_pylist()]
    return rows, json.loads((output / "summary.json").read_text())


def loop() -> list[Trace]:
    """The same questions in a plain loop with transformers, which `--engine hf` gives (test_graph)."""
    dataset, traces = SynthDoc(page_px=PAGE_PX), []
    with HF(device="cpu", max_new_tok=NEW_TOK).open() as engine:
        eye = Eye(engine, Episode(budget={"name": "fixed", "tokens": TOKENS}, fixations=LOOKS, stop_at=2))
        rows = dataset.rows()
        while len(traces) < NUM_QUESTIONS:
            row = next(rows)
            assert isinstance(row, Row)
            sample = dataset.sample(row)
            traces += eye.outcomes(sample.picture, sample.questions[: NUM_QUESTIONS - len(traces)])
    return [trace for trace in traces if isinstance(trace, Trace)]


def test_the_same_answers_as_transformers(tmp_path: Path) -> None:
    """Answers, gazes and kept tokens alike, confidence to 1e-3; the cached share is told."""
    expected, (rows, summary) = loop(), ran(tmp_path / "run")
    assert len(rows) == len(expected) == summary["questions"] == NUM_QUESTIONS and summary["errors"] == 0
    assert any(trace.answer.text for trace in expected)
    for row, trace in zip(rows, expected, strict=True):
        assert (row["id"], row["answer"], row["error"]) == (trace.question_id, trace.answer.text, None)
        assert row["confidence"] == pytest.approx(trace.answer.confidence, abs=1e-3)
        assert row["visual_tok"] == trace.cost.visual_tok == LOOKS * TOKENS
        for fixation, step in zip(row["fixations"], trace.steps, strict=True):
            assert fixation["kept"] == step.selection.index.tolist() and fixation["answer"] == step.answer.text
            assert (fixation["gaze_x"], fixation["gaze_y"]) == pytest.approx(step.gaze.uv)
    assert 0 < summary["cached_share"] < 1
