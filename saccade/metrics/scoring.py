"""How answers are scored: the metrics by name. A data set names its own, `metric` names one for your data.

Each takes an answer and the accepted ones, and gives a score in [0, 1], or None where the answers are hidden.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator

from saccade.errors import UnknownName
from saccade.metrics.anls import anls
from saccade.metrics.contains import contains, formula
from saccade.metrics.exact import exact, words
from saccade.metrics.relaxed import relaxed
from saccade.metrics.vqa import vqa
from saccade.types import Question
from saccade.wording import meant

Score = Callable[[str, Sequence[str] | None], float | None]


@dataclass(frozen=True, slots=True)
class Metric:
    """A score, as tables and charts call it, and what it is."""

    title: str
    score: Score
    what: str


METRICS = {
    "anls": Metric("ANLS", anls, "Closeness of the letters to the nearest accepted answer (DocVQA, InfographicVQA)."),
    "vqa": Metric("VQA accuracy", vqa, "How many of ten people gave this answer (VQAv2, TextVQA)."),
    "relaxed": Metric("relaxed accuracy", relaxed, "A number may be 5 % off, other text must be met (ChartQA)."),
    "exact": Metric("exact match", exact, "The same text; case and runs of blanks do not count."),
    "words": Metric("exact words", words, "The same text; case, blanks and punctuation do not count (GQA)."),
    "contains": Metric("contains", contains, "The answer holds the accepted text, whatever its case (OCRBench)."),
    "formula": Metric("formula", formula, "The answer holds the accepted formula, blanks aside (OCRBench's HME100k)."),
}


def metric(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UnknownName: there is none; the message lists them.
    """
    if name not in METRICS:
        raise UnknownName(f"no metric {name!r}. {meant(name, METRICS)}There are: {', '.join(METRICS)}")
    return METRICS[name]


def _known(name: str) -> str:
    metric(name)
    return name


MetricName = Annotated[str, AfterValidator(_known)]
"""The name of a metric, as a setting."""


def score(answer: str, question: Question) -> float | None:
    """What an answer is worth by the question's own metric; None where its answers are hidden."""
    return metric(question.metric).score(answer, question.answers)


def title(names: Iterable[str | None]) -> str:
    """What the scores of questions with these metrics are called; None is a row of before there were several."""
    found = dict.fromkeys(metric(name or "anls").title for name in names)
    return " and ".join(found) or METRICS["anls"].title
