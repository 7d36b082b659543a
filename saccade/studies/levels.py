"""What the levels of a pyramid hold and contribute: a report for one question, or means over a data set.

Each level's contribution is measured: the kept tokens are read again without that level, and with that level alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from saccade.analysis.memory import peak_bytes
from saccade.analysis.pyramid import PyramidReport, pyramid_report, read_value
from saccade.config import Episode
from saccade.datasets import Dataset, Row, limit
from saccade.engines import Engine
from saccade.episode import episodes, run, see
from saccade.errors import ConfigError, SaccadeError
from saccade.geometry.pyramid import progressive
from saccade.geometry.quality import pixels_of
from saccade.metrics.bootstrap import bootstrap_mean
from saccade.picture import Picture
from saccade.types import Question, Scene, Trace


def reports(
    settings: Episode, engine: Engine, picture: Picture, questions: list[Question], *, bands: bool = True
) -> Iterator[tuple[Question, PyramidReport]]:
    """The report of every question of one picture that could be answered; each on a canvas of its own.

    Raises:
        ConfigError: the episode has no levels to report on.
        SaccadeError: the picture or a question cannot be used.
    """
    if settings.view != "foveate" or settings.shared:
        raise ConfigError("a pyramid's report is of one question's looks: a sampler, and --canvas private")
    seen = see(settings, engine, picture, questions)
    for outcome, (question, query) in zip(run(episodes(settings, seen), engine), seen.asked, strict=True):
        if not isinstance(outcome, Trace):
            raise outcome
        assert not isinstance(query, SaccadeError)  # or the outcome were an error
        importance = settings.strategies.score(Scene.of([(picture, seen.encoding, query)]))[0]
        value = read_value(seen, question, engine)
        pixels = picture.rgb if bands else None
        yield question, pyramid_report(seen.encoding.grid, importance, outcome.shown, pixels=pixels, value=value)


def memory(settings: Episode, engine: Engine, picture: Picture, quota: Sequence[int]) -> tuple[int, int]:
    """Bytes of tensors alive at most: with all levels encoded before any token is chosen, and level by level, each
    reduced to its `quota` by the variance of its tokens before the next is encoded."""

    def encode(images: Tensor, level: int) -> Tensor:
        pixels = (255 * images[0]).round().byte().permute(1, 2, 0).contiguous().numpy()
        prepared = replace(engine.prepare(Picture.open(pixels)), received="received" in settings.needs)
        return engine.encode([prepared])[0].tokens[None]

    def apart() -> None:
        progressive(pixels_of(picture), quota, encode, lambda tokens: tokens.float().var(-1))

    return peak_bytes(lambda: see(settings, engine, picture, [])), peak_bytes(apart)


def over(settings: Episode, engine: Engine, dataset: Dataset, num_questions: int) -> dict[str, Any]:
    """Means over a data set's questions with bootstrap intervals that resample pages: tokens, ANLS, contributions."""
    pages: list[str] = []
    page_reports: list[PyramidReport] = []
    for row in limit(dataset.rows(), num_questions):
        if not isinstance(row, Row):
            continue  # skipped: a line without a question
        sample = dataset.sample(row)
        questions = [question for question in sample.questions if question.error is None and question.answers]
        for _, report in reports(settings, engine, sample.picture, questions, bands=False):
            pages.append(sample.image_id)
            page_reports.append(report)
    height = max((len(report.levels) for report in page_reports), default=0)
    levels = []
    for level in range(height):
        here = [report.levels[level] if level < len(report.levels) else None for report in page_reports]
        columns = {
            name: _mean([each and getattr(each, name) for each in here], pages)
            for name in ("tokens", "selected", "saliency_mean", "alone", "contribution")
        }
        levels.append({"level": level, **columns})
    value = _mean([report.value for report in page_reports], pages)
    return {"questions": len(page_reports), "pages": len(set(pages)), "anls": value, "levels": levels}


def _mean(values: list[Any], pages: list[str]) -> dict[str, float | None] | None:
    mean = bootstrap_mean([None if value is None else float(value) for value in values], pages)
    return None if mean is None else {"mean": mean.mean, "low": mean.low, "high": mean.high}
