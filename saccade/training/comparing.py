"""Scores of several methods on the same held-out questions, and their differences from the first method."""

import sys
from collections.abc import Mapping
from typing import Any

from rich.progress import track

from saccade.api import Eye
from saccade.config import Episode
from saccade.datasets import Dataset, Row, limit
from saccade.engines.hf import HF
from saccade.metrics.bootstrap import dumped, interval_text
from saccade.metrics.scoring import score, title
from saccade.training.reading import Reading
from saccade.types import Trace


def compared(ways: Mapping[str, tuple[HF, Episode]], dataset: Dataset, most: int) -> dict[str, Reading]:
    """The scores of the first `most` questions in each way, by the way's name; an answer that fails scores 0."""
    samples = [dataset.sample(row) for row in limit(dataset.rows(), most) if isinstance(row, Row)]
    readings = {}
    for name, (spec, looks) in ways.items():
        scores, pages = list[float](), list[str]()
        with spec.open() as engine:
            eye = Eye(engine, looks)
            for sample in track(samples, name, disable=not sys.stderr.isatty()):
                outcomes = eye.outcomes(sample.picture, sample.questions)
                for question, outcome in zip(sample.questions, outcomes, strict=True):
                    text = outcome.answer.text if isinstance(outcome, Trace) else ""
                    scores.append(score(text, question) or 0.0)
                    pages.append(sample.image_id)
        metric = title(question.metric for sample in samples for question in sample.questions)
        readings[name] = Reading(tuple(scores), tuple(pages), metric)
    return readings


def reported(readings: Mapping[str, Reading]) -> dict[str, Any]:
    """The mean of each way and its gain over the first, with intervals, as JSON."""
    first = next(iter(readings.values()))
    means = {name: (reading.mean(), reading.over(first)) for name, reading in readings.items()}
    return {name: {"score": dumped(mean), "gain": dumped(gain)} for name, (mean, gain) in means.items()}


def summary(readings: Mapping[str, Reading]) -> str:
    """One line of text per way, for the command."""
    first, report = next(iter(readings)), reported(readings)
    metric, num = readings[first].metric, len(readings[first].scores)
    lines = [f"{metric} of {num} held-out questions:"]
    for name, each in report.items():
        gain = "" if name == first else f", {interval_text(each['gain'], sign=True)} to {first}"
        lines.append(f"  {name:24s} {interval_text(each['score'])}{gain}")
    return "\n".join(lines)
