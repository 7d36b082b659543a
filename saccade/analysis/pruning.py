"""The cost of leaving tokens out, measured by reading: rate-distortion, and robustness to pruning.

Every question is read at every share of its tokens, with each method of choosing them. Distortion is the score that is
lost, and the squared error of the features that were dropped.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saccade.engines import Engine
from saccade.episode import Seen
from saccade.errors import SaccadeError
from saccade.importance import Mix, vectors
from saccade.metrics.bootstrap import Interval, bootstrap_mean
from saccade.metrics.scoring import score as scored
from saccade.samplers import Sampler
from saccade.samplers.random import Random
from saccade.samplers.topk import TopK
from saccade.types import Canvas, Encoding, Part, Question, Scene, Selection

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
KEEPS = 0.95
"""Share of the score with all tokens that the smallest rate must keep."""
FULL, BEST, RANDOM, WORST, RESIZE = "full", "best kept", "random kept", "best dropped", "resize"
WAYS = (BEST, RANDOM, WORST, RESIZE)
"""What is kept: the most important tokens, any, the least important (the best are dropped), or, as the
cheap rival, every token of the image made smaller."""
CHUNK_VALUES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Reading:
    """The score of one question, read from a share of its tokens."""

    id: str
    image_id: str
    way: str
    share: float  # asked for
    kept_tok: int
    num_tok: int
    score: float  # by the question's own metric
    error: float | None  # of the features, as `reconstruction_error`; None: made smaller, nothing to compare
    metric: str  # its name


@dataclass(frozen=True, slots=True)
class RatePoint:
    """Means over all questions at one share."""

    way: str
    share: float
    kept_tok: float  # mean
    score: Interval
    error: float | None  # mean


def reconstruction_error(features: Tensor, kept: Tensor) -> float:
    """Squared error of features (N, C) when every token is replaced by the nearest kept one, over their variance.

    0: no loss; 1: no better than the mean of all tokens; above 1: worse. `kept`: (K,) int64, K > 0. It is 0 for a page
    of equal tokens.
    """
    values = features.double() - features.double().mean(0)
    spread = float(values.square().sum())
    dropped = torch.ones(len(values), dtype=torch.bool)
    dropped[kept] = False
    if spread == 0 or not bool(dropped.any()):
        return 0.0
    rest, centres = values[dropped], values[kept]
    rows = max(1, CHUNK_VALUES // len(centres))
    nearest = [torch.cdist(part, centres).argmin(1) for part in torch.split(rest, rows)]
    return float((rest - centres[torch.cat(nearest)]).square().sum()) / spread


def chosen(scene: Scene, importance: Tensor, way: str, keep: int) -> Tensor:
    """(K,) int64: the `keep` tokens that a way of pruning leaves, for a scene of one image; importance (1, N)."""
    sampler: Sampler = Random() if way == RANDOM else TopK()
    ranks = -importance if way == WORST else importance
    return sampler(scene, ranks, torch.full((1, 2), 0.5), keep)[0].index


def readings(
    seen: Seen, image_id: str, engine: Engine, score: Mix, shares: Sequence[float] = SHARES
) -> Iterator[Reading]:
    """Reads every question of one image at every share and in every way.

    The reading of all tokens, one per question, serves every way at share 1. Questions without known answers, and those
    that cannot be asked, are left out.

    Raises:
        SaccadeError: a question cannot be read.
    """
    num_tok = len(seen.encoding)
    smaller: dict[int, Encoding] = {}
    for question, query in seen.asked:
        if not question.answers or isinstance(query, SaccadeError):
            continue
        scene = Scene.of([(seen.picture, seen.encoding, query)])
        importance, values = score(scene), vectors(scene, "before")[0]
        yield _reading(image_id, question, FULL, 1.0, num_tok, engine, seen.encoding, torch.arange(num_tok), 0.0)
        for share in sorted(each for each in shares if each < 1):
            keep = max(1, round(share * num_tok))
            for way in (BEST, RANDOM, WORST):
                index = chosen(scene, importance, way, keep)
                error = reconstruction_error(values, index)
                yield _reading(image_id, question, way, share, num_tok, engine, seen.encoding, index, error)
            if keep not in smaller:
                smaller[keep] = engine.encode([engine.prepare(seen.picture, keep)])[0]
            small = smaller[keep]
            index = torch.arange(len(small))
            yield _reading(image_id, question, RESIZE, share, num_tok, engine, small, index, None)


def _reading(
    image_id: str,
    question: Question,
    way: str,
    share: float,
    num_tok: int,
    engine: Engine,
    encoding: Encoding,
    index: Tensor,
    error: float | None,
) -> Reading:
    part = Part.of(encoding, Selection.keep(index, len(encoding)))
    canvas = Canvas(encoding.grid.rows, encoding.grid.cols).add(part)
    answer = engine.read(canvas, question.text)
    score = scored(answer.text, question)
    assert score is not None  # the answers are known
    return Reading(question.id, image_id, way, share, len(index), num_tok, score, error, question.metric)


def rate_curve(readings: Sequence[Reading], way: str) -> tuple[RatePoint, ...]:
    """One point per share, from few tokens to all of them; intervals by resampling pages."""
    own = [reading for reading in readings if reading.way in (way, FULL)]
    points = []
    for share in sorted({reading.share for reading in own}):
        here = [reading for reading in own if reading.share == share]
        interval = bootstrap_mean([reading.score for reading in here], [reading.image_id for reading in here])
        assert interval is not None  # a reading has a score
        errors = [reading.error for reading in here if reading.error is not None]
        error = sum(errors) / len(errors) if errors and way != RESIZE else None
        points.append(RatePoint(way, share, sum(reading.kept_tok for reading in here) / len(here), interval, error))
    return tuple(points)


def smallest_rate(points: Sequence[RatePoint], keeps: float = KEEPS) -> RatePoint | None:
    """The fewest tokens from which on the mean score stays at least `keeps` of that with all tokens.

    None: nothing was read with all tokens, or their mean score is 0.
    """
    ordered = sorted(points, key=lambda point: point.share)
    if not ordered or ordered[-1].share < 1 or ordered[-1].score.mean <= 0:
        return None
    smallest = None
    for point in reversed(ordered):
        if point.score.mean < keeps * ordered[-1].score.mean:
            break
        smallest = point
    return smallest
