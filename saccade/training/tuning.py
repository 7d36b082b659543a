"""Tunes the choice of tokens on one's own questions: the weights of a mix of scorers, and the ratio of `hybrid`.

Half of the pages decide; the other half, which decided nothing, say what was gained. The search is random (Bergstra &
Bengio 2012): weights evenly over all mixes, ratios evenly; beside them what looks use now, and every scorer alone.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, field_validator

from saccade.config import LOOKS, Episode
from saccade.datasets import Row
from saccade.errors import ConfigError
from saccade.importance import Mix
from saccade.metrics.bootstrap import bootstrap_difference, bootstrap_mean, dumped, gains, interval_text
from saccade.settings import Option, Settings, Short
from saccade.wording import counted

NOW = "as it is"
"""The variant that looks with the settings as they are."""
DRAWS = 100
"""Draws per trial before it is taken that there are no other ways: weights and ratios are rounded to hundredths."""


class TuneSettings(Settings):
    """The settings to try."""

    panel = "What it tries"

    scorers: Annotated[
        tuple[str, ...],
        Option(
            spelled=Short(
                name="scorers", metavar="A,B,...", help="Scorers whose weights are tuned. [default: query,edges,late]"
            )
        ),
    ] = Field(("query", "edges", "late"), min_length=1, description="Scorers whose weights are tuned.")
    trials: int = Field(24, ge=2, description="Ways to try at most, including the current settings.")
    least_ratio: float = Field(
        0.4, ge=0, le=1, description="Smallest ratio of the sampler hybrid to try; the largest is 1."
    )
    seed: int = Field(0, ge=0, description="Seed of the trials, and of the split of the pages.")

    @field_validator("scorers", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        names = tuple(value.split(",")) if isinstance(value, str) else tuple(value)
        if len(set(names)) < len(names):
            raise ValueError("each scorer once")
        Mix.parse(names)
        return names


def trials(settings: TuneSettings, looks: Episode) -> dict[str, dict[str, Any]]:
    """Settings of an episode by the name of the trial; the first is `NOW`, without any of its own.

    There are fewer than `settings.trials` where the settings leave fewer ways to look.
    """
    draw, trials_by_name = np.random.default_rng(settings.seed), {NOW: dict[str, Any]()}
    alone = [{name: 1.0} for name in settings.scorers]
    for _ in range(DRAWS * settings.trials):
        if len(trials_by_name) == settings.trials:
            break
        if alone:
            mix, ratio = alone.pop(0), 1.0
        else:
            drawn = draw.dirichlet(np.ones(len(settings.scorers)))
            mix = {name: round(float(w), 2) for name, w in zip(settings.scorers, drawn, strict=True) if w >= 0.01}
            ratio = round(float(draw.uniform(settings.least_ratio, 1)), 2)
        scorer = ",".join(f"{name}:{weight:g}" for name, weight in mix.items())
        trials_by_name[f"{scorer} ratio {ratio:g}"] = {"scorer": scorer, "sampler": {"name": LOOKS, "ratio": ratio}}
    for changes in trials_by_name.values():
        looks.with_settings(**changes)  # a wrong one is refused before anything is loaded
    return trials_by_name


def halves(rows: Sequence[Row], seed: int) -> tuple[list[Row], list[Row]]:
    """A random split by `seed`: the pages that decide, and the pages that are reported.

    Raises:
        ConfigError: no question has answers, or there are too few pages.
    """
    answered = [row for row in rows if any(question.answers for question in row.questions)]
    if len(answered) < 2:
        raise ConfigError(
            f"{counted(len(answered), 'page')} with answered questions: tuning needs at least 2, some to decide by "
            "and some to report; a few dozen say something"
        )
    order = np.random.default_rng(seed).permutation(len(answered))
    middle = (len(answered) + 1) // 2
    return [answered[i] for i in sorted(order[:middle])], [answered[i] for i in sorted(order[middle:])]


def best(lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[str, dict[str, float]]:
    """The trial with the highest mean score (the earlier of equal ones), and the means of all trials."""
    means = {}
    for name in names:
        scores = [line["score"] for line in lines if line["variant"] == name and line["score"] is not None]
        means[name] = sum(scores) / max(1, len(scores))
    return max(names, key=lambda name: means[name]), means


def gained(lines: Sequence[Mapping[str, Any]], tuned: str) -> dict[str, Any]:
    """Scores of the current and the tuned settings on the same questions, and their difference, with intervals."""
    own = {line["id"]: line for line in lines if line["variant"] == tuned and line["score"] is not None}
    now = {line["id"]: line for line in lines if line["variant"] == NOW and line["score"] is not None}
    both = [identity for identity in now if identity in own]
    pages = [now[identity]["image_id"] for identity in both]
    scores = [[side[identity]["score"] for identity in both] for side in (now, own)]
    means = {
        "now": bootstrap_mean(scores[0], pages),
        "tuned": bootstrap_mean(scores[1], pages),
        "gain": bootstrap_difference(scores[1], scores[0], pages),
    }
    return {name: dumped(each) for name, each in means.items()}


def summary(report: Mapping[str, Any]) -> str:
    """The report as lines of text, for the command."""
    gain = report["gain"]
    questions = 0 if gain is None else gain["num_questions"]
    lines = [
        f"best on the pages that decide: {report['best']}",
        f"on {questions} held-out questions: as it is {interval_text(report['now'])}, tuned "
        f"{interval_text(report['tuned'])}, gain {interval_text(gain, sign=True)}",
    ]
    if report["best"] == NOW:
        lines.append("nothing that was tried reads better: stay with the settings as they are")
    elif not gains(gain):
        lines.append("no gain that the interval bears out: give more pages, or stay with the settings as they are")
    return "\n".join(lines)
