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
from saccade.errors import ConfigError, EngineDead, SaccadeError, describe
from saccade.geometry.pyramid import progressive
from saccade.geometry.quality import pixels_of
from saccade.metrics.bootstrap import bootstrap_mean
from saccade.metrics.scoring import title
from saccade.picture import Picture
from saccade.types import Question, Scene, Trace


def reports(
    settings: Episode, engine: Engine, picture: Picture, questions: list[Question], *, bands: bool = True
) -> Iterator[tuple[Question, PyramidReport]]:
    """The report of every question of one picture, each on a canvas of its own.

    Raises:
        ConfigError: the episode has no levels to report on.
        SaccadeError: the picture or a question cannot be used.
    """
    for question, report in attempts(settings, engine, picture, questions, bands=bands):
        if isinstance(report, SaccadeError):
            raise report
        yield question, report


def attempts(
    settings: Episode, engine: Engine, picture: Picture, questions: list[Question], *, bands: bool = True
) -> Iterator[tuple[Question, PyramidReport | SaccadeError]]:
    """As `reports`, but a question that cannot be used comes with its error, and the others go on.

    Raises:
        ConfigError: the episode has no levels to report on.
        EngineDead: the engine is gone.
        SaccadeError: the picture cannot be used.
    """
    if settings.view != "foveate" or settings.shared:
        raise ConfigError("a pyramid's report is of one question's looks: a sampler, and --canvas private")
    seen = see(settings, engine, picture, questions)
    for outcome, (question, query) in zip(run(episodes(settings, seen), engine), seen.asked, strict=True):
        if not isinstance(outcome, Trace):
            yield question, outcome
            continue
        assert not isinstance(query, SaccadeError)  # or the outcome were an error
        importance = settings.strategies.score(Scene.of([(picture, seen.encoding, query)]))[0]
        value = read_value(seen, question, engine)
        pixels = picture.rgb if bands else None
        report: PyramidReport | SaccadeError
        try:
            report = pyramid_report(seen.encoding.grid, importance, outcome.shown, pixels=pixels, value=value)
        except (EngineDead, ConfigError):
            raise
        except SaccadeError as error:  # the reader failed on some of the tokens
            report = error
        yield question, report


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
    """Means over a data set's questions with bootstrap intervals that resample pages: tokens, scores, contributions.

    Pictures and questions that cannot be used are listed as errors. Questions without known answers are left out.

    Raises:
        ConfigError: settings that have no levels to report on, or no usable question.
        EngineDead: the engine is gone.
    """
    pages: list[str] = []
    metrics: list[str] = []
    errors: list[str] = []
    page_reports: list[PyramidReport] = []
    for row in limit(dataset.rows(), num_questions):
        if not isinstance(row, Row):
            continue  # skipped: a line without a question
        try:
            sample = dataset.sample(row)
            questions = [question for question in sample.questions if question.error is not None or question.answers]
            if not questions:
                continue
            for question, report in attempts(settings, engine, sample.picture, questions, bands=False):
                if isinstance(report, SaccadeError):
                    errors.append(f"{question.id}: {describe(report)}")
                    continue
                pages.append(sample.image_id)
                page_reports.append(report)
                metrics.append(question.metric)
        except (EngineDead, ConfigError):
            raise
        except SaccadeError as error:
            errors.append(f"{row.image_id}: {describe(error)}")
    if not page_reports:
        why = f": {errors[0]}" if errors else " in it"
        raise ConfigError(f"no question of {dataset.name()} could be reported on{why}")
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
    return {
        "questions": len(page_reports), "pages": len(set(pages)), "errors": errors, "metric": title(metrics),
        "score": value, "levels": levels,
    }  # fmt: skip


def _mean(values: list[Any], pages: list[str]) -> dict[str, float | None] | None:
    mean = bootstrap_mean([None if value is None else float(value) for value in values], pages)
    return None if mean is None else {"mean": mean.mean, "low": mean.low, "high": mean.high}
