"""Fits what a checkpoint's confidence is worth, and writes it beside the weights as `calibration.json`.

    python -m saccade.training.calibrate --checkpoint saccade/nano --page-px 512 1024 --pages 24

Pages are synthdoc's under a seed of their own, neither trained on nor scored in any table. Every look of an episode
counts as an answer (few tokens and many), and so does the resized page. Half of the pages fit, the other half report.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.progress import track

from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.eye import Eye
from saccade.metrics.anls import anls
from saccade.metrics.calibration import CALIBRATION_FILE, Calibration, expected_calibration_error, reliability
from saccade.picture import Picture
from saccade.types import Trace

SEED = 1000  # of the pages; tables use 0
NEVER_SURE = 1.01  # stop_at: every look is taken
WAYS: tuple[dict[str, Any], ...] = ({"fixations": 3}, {"sampler": "full"}, {"sampler": "resize", "fixations": 1})
Answers = list[tuple[float, float]]  # (probability, ANLS) of answers that claim to have read something


def answers_of(eye: Eye, picture: Picture, row: Row) -> Answers:
    """What all ways of looking at one page answer to its questions."""
    found = []
    for way in WAYS:
        for question, outcome in zip(row.questions, eye.outcomes(picture, row.questions, **way), strict=True):
            if isinstance(outcome, Trace):
                found += [
                    (step.answer.confidence, anls(step.answer.text, question.answers) or 0.0)
                    for step in outcome.steps
                    if step.answer.readable
                ]
    return found


def calibrate(checkpoint: Path, pages_px: list[int], pages: int) -> dict[str, Any]:
    """Slope and intercept fitted on every second page, and the error before and after on the others."""
    halves: tuple[Answers, Answers] = ([], [])
    with HF(model=str(checkpoint)).open() as engine:
        engine.calibration = Calibration()  # what is fitted is the probability as it comes
        eye = Eye(engine, Episode(stop_at=NEVER_SURE))
        for page_px in pages_px:
            data = SynthDoc(page_px=page_px, num_pages=pages, seed=SEED)
            for number, row in enumerate(track(list(data.rows()), f"{page_px} px")):
                assert isinstance(row, Row)
                halves[number % 2].extend(answers_of(eye, data.picture(row.source), row))
    fitted = Calibration.fit([p for p, _ in halves[0]], [score for _, score in halves[0]])
    probability, score = zip(*halves[1], strict=True)
    mapped = [fitted(p) for p in probability]
    return {
        "slope": fitted.slope,
        "intercept": fitted.intercept,
        "score": "ANLS of answers that are not 'cannot read'",
        "data": {"name": "synthdoc", "seed": SEED, "page_px": pages_px, "pages": pages},
        "num_fitted": len(halves[0]),
        "num_held_out": len(score),
        "error_before": expected_calibration_error(probability, score),
        "error_after": expected_calibration_error(mapped, score),
        "bins_after": [[round(b.confidence, 3), round(b.score, 3), b.num_answers] for b in reliability(mapped, score)],
    }


def main(argv: list[str] | None = None) -> None:
    """Writes the file and prints what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("saccade/nano"))
    parser.add_argument("--page-px", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--pages", type=int, default=24, help="of each size")
    given = parser.parse_args(argv)
    report = calibrate(given.checkpoint, given.page_px, given.pages)
    file = given.checkpoint / CALIBRATION_FILE
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in report.items()]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{file}\n{file.read_text()}", end="")


if __name__ == "__main__":
    main()
