"""Measures how large a checkpoint needs print to be, and what its confidence is worth, into its `saccade.json`.

    python -m saccade.training.calibrate --checkpoint saccade/nano --page-px 512 1024 --pages 24

Pages are synthdoc's under a seed of their own, neither trained on nor scored in any table. First they are read shrunk
until their smallest print has one height after another: the lowest that is read as well as any, within a hundredth, is
the checkpoint's critical print size. Then every look of an episode counts as an answer (few tokens and many), and so
does the resized page. Each page is also asked what it does not answer: whatever is read there is wrong. Half of the
pages fit, the other half report.
"""

import argparse
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from saccade.card import CARD_FILE, Card
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.eye import Eye
from saccade.metrics.anls import anls
from saccade.metrics.calibration import Calibration, expected_calibration_error, reliability
from saccade.picture import Picture
from saccade.types import Question, Trace

SEED = 1000  # of the pages; tables use 0
NEVER_SURE = 1.01  # stop_at: every look is taken
WAYS: dict[str, dict[str, Any]] = {
    "ink": {},
    "looks": {"fixations": 3},
    "all": {"sampler": "full"},
    "resized": {"effort": "low"},
}
PRINT_PX = (5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 0.0)  # 0: as large as it is
AS_GOOD = 0.01  # ANLS below the best that still counts as well read
FOREIGN = 4  # questions per page that it does not answer
SURE = 0.7  # where looking stops


@dataclass(frozen=True, slots=True)
class Said:
    """An answer that claims to have read something."""

    view: str
    logprobs: tuple[float, ...]
    score: float  # its ANLS
    foreign: bool  # the page does not answer the question


def answers_of(eye: Eye, picture: Picture, questions: Sequence[Question]) -> list[Said]:
    """What all ways of looking at one page answer to its questions, every look of an episode counted.

    Questions without answers are foreign to it.
    """
    found = []
    for view, way in WAYS.items():
        for question, outcome in zip(questions, eye.outcomes(picture, questions, **way), strict=True):
            if isinstance(outcome, Trace):
                foreign = question.answers is None
                found += [
                    Said(view, step.answer.logprobs, anls(step.answer.text, question.answers) or 0.0, foreign)
                    for step in outcome.steps
                    if step.answer.readable
                ]
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """A page and its questions; those without answers are foreign to it."""

    picture: Picture
    questions: tuple[Question, ...]


def pages_of(pages_px: Sequence[int], pages: int) -> list[Asked]:
    """So many pages of each size."""
    found = []
    for page_px in pages_px:
        data = SynthDoc(page_px=page_px, num_pages=pages, seed=SEED)
        for number, row in enumerate(data.rows()):
            assert isinstance(row, Row)
            strange = data.page(number).foreign(FOREIGN, number)
            foreign = (Question(f"foreign-{i}", text) for i, text in enumerate(strange))
            found.append(Asked(data.picture(row.source), (*row.questions, *foreign)))
    return found


def print_scores(eye: Eye, pages: Sequence[Asked]) -> dict[float, float]:
    """Mean ANLS of what the pages do answer, shrunk to each height of print."""
    scores: dict[float, list[float]] = {print_px: [] for print_px in PRINT_PX}
    for page in track(pages, "print size"):
        asked = [question for question in page.questions if question.answers]
        for print_px, found in scores.items():
            for question, outcome in zip(asked, eye.outcomes(page.picture, asked, print_px=print_px), strict=True):
                found.append(
                    (anls(outcome.answer.text, question.answers) or 0.0) if isinstance(outcome, Trace) else 0.0
                )
    return {print_px: statistics.mean(found) for print_px, found in scores.items()}


def critical(scores: Mapping[float, float]) -> float:
    """The lowest print that is read as well as any; 0: none is, as large as it is the page is read better."""
    well = [print_px for print_px, score in scores.items() if score >= max(scores.values()) - AS_GOOD]
    return min((print_px for print_px in well if print_px), default=0.0)


def confidence_of(eye: Eye, pages: Sequence[Asked]) -> dict[str, Any]:
    """The map fitted on every second page, and the error before and after on the others, in all and per view."""
    halves: tuple[list[Said], list[Said]] = ([], [])
    for number, page in enumerate(track(pages, "confidence")):
        halves[number % 2].extend(answers_of(eye, page.picture, page.questions))
    fitted = Calibration.fit([said.logprobs for said in halves[0]], [said.score for said in halves[0]])
    held_out = halves[1]
    bins = reliability([fitted(said.logprobs) for said in held_out], [said.score for said in held_out])
    return {
        "mean": fitted.mean,
        "least": fitted.least,
        "intercept": fitted.intercept,
        "score": "ANLS of answers that are not 'cannot read'",
        "num_fitted": len(halves[0]),
        "num_held_out": len(held_out),
        "error_before": _error(Calibration(), held_out),
        "error_after": _error(fitted, held_out),
        "error_after_by_view": {
            view: _error(fitted, [said for said in held_out if said.view == view]) for view in WAYS
        },
        "foreign": {
            "answered": sum(said.foreign for said in held_out),
            "sure": sum(said.foreign and fitted(said.logprobs) >= SURE for said in held_out),
        },
        "bins_after": [[round(b.confidence, 3), round(b.score, 3), b.num_answers] for b in bins],
    }


def calibrate(checkpoint: Path, pages_px: list[int], pages: int) -> dict[str, Any]:
    """What `saccade.json` says: the critical size of print, by which scores it was found, and the confidence."""
    asked = pages_of(pages_px, pages)
    with HF(model=str(checkpoint)).open() as engine:
        engine.calibration = Calibration()  # what is fitted is the probability as it comes
        eye = Eye(engine, Episode(stop_at=NEVER_SURE))
        scores = print_scores(eye, asked)
        engine.family.print_px = critical(scores)  # confidence is that of pages as they will be shown
        return {
            "print_px": engine.family.print_px,
            "anls_by_print_px": {f"{print_px:g}": round(score, 4) for print_px, score in scores.items()},
            "data": {"name": "synthdoc", "seed": SEED, "page_px": pages_px, "pages": pages},
            "confidence": confidence_of(eye, asked),
        }


def _error(calibration: Calibration, answers: list[Said]) -> float:
    confidence = [calibration(said.logprobs) for said in answers]
    return round(expected_calibration_error(confidence, [said.score for said in answers]), 4)


def written(report: Mapping[str, Any], indent: str = "") -> str:
    """JSON with a line for every fact, those of a part of it further in."""
    lines = (
        f"{indent} {json.dumps(key)}: {written(fact, indent + ' ') if key == 'confidence' else json.dumps(fact)}"
        for key, fact in report.items()
    )
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def main(argv: list[str] | None = None) -> None:
    """Writes the file and prints what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("saccade/nano"))
    parser.add_argument("--page-px", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--pages", type=int, default=24, help="of each size")
    given = parser.parse_args(argv)
    file: Path = given.checkpoint / CARD_FILE
    try:
        Card.load(file)
    except ConfigError:  # of another version: a checkpoint with it does not open
        file.rename(file.with_suffix(".old"))
    report = calibrate(given.checkpoint, given.page_px, given.pages)
    file.write_text(written(report) + "\n")
    print(f"{file}\n{file.read_text()}", end="")


if __name__ == "__main__":
    main()
