"""What is measured about a checkpoint: the print that it needs, the worth of its confidence, and where it goes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.commands.app import app
from saccade.card import Card
from saccade.datasets import Row
from saccade.datasets.mixed import Mixed
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines import checkpoint
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.metrics.calibration import Calibration, expected_calibration_error
from saccade.picture import Picture
from saccade.training import calibration
from saccade.training.calibration import (
    CLEARLY,
    WAYS,
    Page,
    ReadAnswer,
    as_json,
    better,
    critical,
    pages_of,
    summary,
    two_of,
)
from saccade.types import Question


@pytest.mark.parametrize(
    ("scores", "shrunk", "wanted"),
    [
        ({6.0: 0.5, 8.0: 0.79, 10.0: 0.794, 0.0: 0.7}, 9, 8.0),
        ({6.0: 0.5, 8.0: 0.79, 10.0: 0.796, 0.0: 0.7}, 9, 10.0),
        ({6.0: 0.5, 8.0: 0.6, 10.0: 0.7, 0.0: 0.8}, 9, 0.0),
        ({6.0: 0.3, 8.0: 0.3, 10.0: 0.3, 0.0: 0.3}, 9, 6.0),
        ({6.0: 0.3, 8.0: 0.3, 10.0: 0.3, 0.0: 0.3}, 3, 0.0),  # too few pages were smaller
        ({6.0: 0.895, 8.0: 0.84, 10.0: 0.9, 0.0: 0.9}, 9, 10.0),  # luck at 6
        ({6.0: 0.82, 7.0: 0.87, 8.0: 0.89, 10.0: 0.87, 0.0: 0.876}, 9, 8.0),
    ],
)
def test_the_critical_size_is_the_lowest_that_is_read_as_well_as_any(
    scores: dict[float, float], shrunk: int, wanted: float
) -> None:
    assert critical(scores, {print_px: shrunk for print_px in scores}) == wanted


def test_large_print_that_no_page_has_says_nothing() -> None:
    scores = {6.0: 0.8, 8.0: 0.8, 10.0: 0.8, 0.0: 0.8}
    assert critical(scores, {6.0: 2, 8.0: 5, 10.0: 9, 0.0: 0}) == 8.0


def test_pages_are_also_asked_what_they_do_not_answer() -> None:
    part = {"name": "synthdoc", "page_px": 256, "num_pages": 2}
    for dataset in (SynthDoc(page_px=256, num_pages=2), Mixed(parts={"a": part, "b": {**part, "seed": 3}})):
        rows = [row for row in dataset.rows() if isinstance(row, Row)]
        pages = pages_of(dataset, rows)
        assert len(pages) == len(rows)
        for page, row in zip(pages, rows, strict=True):
            assert page.answered == row.questions and len(page.questions) == len(row.questions) + 4
            own = {question.text for question in page.answered}
            assert not own & {question.text for question in page.questions if not question.answers}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The card of a copy of the bundled checkpoint, by the command, on few pages."""
    folder = shutil.copytree(checkpoint("nano"), tmp_path_factory.mktemp("card") / "copy")
    (folder / "saccade.json").write_text('{"confidence": {"mean": -1}}')  # no checkpoint opens with it
    line = ["train", "calibration", "--model", str(folder), "--page-px", "256", "--limit", "40"]
    done = CliRunner().invoke(app, line)
    assert done.exit_code == 0, done.output
    assert "critical print size" in done.output or "as they are" in done.output
    return folder


def test_what_is_measured_is_what_a_checkpoint_is_used_by(measured: Path) -> None:
    report = json.loads((measured / "saccade.json").read_text())
    assert as_json(report) + "\n" == (measured / "saccade.json").read_text()
    assert report["data"]["questions"] == 40 and report["score"] == "ANLS"
    assert report["confidence"]["foreign"]["asked"] % (4 * len(WAYS)) == 0 < report["confidence"]["foreign"]["asked"]
    assert 0.5 < max(report["score_by_print_px"].values()) <= 1 and set(report["score_by_print_px"]) >= {"5", "8", "0"}
    assert report["confidence"]["num_fitted"] > 40
    with HF(model=str(measured)).open() as engine:
        by_px = [
            {float(px): each for px, each in report[f"{what}_by_print_px"].items()} for what in ("score", "shrunk")
        ]
        assert engine.family.print_px == report["print_px"] == critical(by_px[0], by_px[1])
        assert engine.calibration.mean == report["confidence"]["mean"]
        assert engine.family.question_parts == report["question_parts"] == "apart", "nano says one thing at a time"
    of_parts = report["score_by_question_parts"]
    assert of_parts["apart"] > of_parts["together"] + CLEARLY
    assert "calibration error" in summary(report) and "so they are asked apart" in summary(report)


def test_questions_for_two_things_are_made_of_single_ones() -> None:
    """Of those that ask for one thing in a question of their own; the answers as data sets join several."""
    texts = ["What is the tax, and who paid?", "Name the firm", "What is the total?", "Who signed?", "Which unit?"]
    asked = [Question(str(n), text, (f"a{n}", f"b{n}")) for n, text in enumerate(texts)]
    two = two_of(asked)
    assert two is not None and two.text == "What is the total and who signed?"
    assert two.answers == ("a2, a3", "a2, b3", "b2, a3", "b2, b3")
    assert two_of(asked[:3]) is None


@pytest.mark.parametrize(
    "scores, wanted",
    [({}, "together"), ({"together": 0.5, "apart": 0.54}, "together"), ({"together": 0.5, "apart": 0.56}, "apart")],
)
def test_parts_are_asked_apart_where_that_reads_clearly_more(scores: dict[str, float], wanted: str) -> None:
    assert better(scores) == wanted


def test_how_good_confidence_is_is_told_by_pages_that_a_map_has_not_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight pages, read by chance: a map that had seen a page would be nearer to it."""
    random = np.random.default_rng(3)
    said = {
        number: [ReadAnswer("ink", (float(-random.exponential()),), float(random.random()), False) for _ in range(6)]
        for number in range(8)
    }
    pages = [Page(Picture.open(np.zeros((8, 8, 3), np.uint8)), (Question(str(number), ""),)) for number in said]
    monkeypatch.setattr(calibration, "answers_of", lambda eye, page: said[int(page.questions[0].id)])
    found: Any = calibration.confidence_of(None, pages)  # type: ignore[arg-type]
    confidence, score = [], []
    lot = np.random.default_rng(0).permutation(8).tolist()
    for at, number in enumerate(lot):
        others = [each for n, other in enumerate(lot) if n % 4 != at % 4 for each in said[other]]
        unseen = Calibration.fit([each.logprobs for each in others], [each.score for each in others])
        confidence += [unseen(each.logprobs) for each in said[number]]
        score += [each.score for each in said[number]]
    assert found["error_after"] == pytest.approx(expected_calibration_error(confidence, score), abs=1e-3)
    every = [each for answers in said.values() for each in answers]
    seen = Calibration.fit([each.logprobs for each in every], [each.score for each in every])
    assert found["mean"] == pytest.approx(seen.mean, abs=1e-3), "what is used has seen all of them"
    fooled = expected_calibration_error([seen(each.logprobs) for each in every], [each.score for each in every])
    assert found["error_after"] > fooled


def test_a_card_elsewhere_is_told_in_the_settings(measured: Path) -> None:
    """So that a run with another one is another run."""
    spec = HF(card=str(measured / "saccade.json"))
    card = Card.load(measured / "saccade.json")
    confidence = {name: getattr(card.confidence, name) for name in ("mean", "least", "intercept")}
    known = {"print_px": card.print_px, "confidence": confidence, "question_parts": card.question_parts}
    assert spec.card == known
    assert HF(**spec.dump()) == spec
    with HF(card={"print_px": 11}).open() as engine:
        assert engine.family.print_px == 11 and engine.calibration([0.0]) == 1.0, "not the bundled one"
    with pytest.raises(ConfigError, match="saccade train calibration writes one"):
        HF(card="nowhere.json")


def test_too_little_to_measure_by_is_said(tmp_path: Path) -> None:
    line = ["train", "calibration", "--page-px", "256", "--limit", "5"]
    for output, said in (
        (["--output", str(tmp_path / "card.json")], "at least 40 questions"),
        (["--output", str(tmp_path / "new" / "card.json")], "is no folder"),
        ([], "give --output FILE"),
    ):
        done = CliRunner().invoke(app, [*line, *output])
        assert done.exit_code != 0 and said in str(done.exception or done.output)
    assert not list(tmp_path.iterdir())
