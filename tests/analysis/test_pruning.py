"""Rate-distortion and pruning: what is kept, the error by its definition, the smallest rate, real reading."""

import numpy as np
import pytest
import torch

from saccade.analysis.pruning import (
    BEST,
    FULL,
    RANDOM,
    RESIZE,
    WORST,
    Reading,
    chosen,
    rate_curve,
    readings,
    reconstruction_error,
    smallest_rate,
)
from saccade.config import Episode
from saccade.engines.hf import HFEngine
from saccade.episode import see
from saccade.metrics.anls import anls
from saccade.metrics.scoring import title
from saccade.picture import Picture
from saccade.types import Canvas, Part, Question, Scene, Selection
from saccade.viz.analysis import rates
from tests import tiny
from tests.helpers import importance_of, item


def test_error_by_hand() -> None:
    """Tokens at 0, 1, 4, 7 on a line: mean 3, variance sum 9 + 4 + 1 + 16 = 30; 0 and 7 kept lose 1 and 9."""
    features = torch.tensor([[[0.0]], [[1.0]], [[4.0]], [[7.0]]]).flatten(1)
    assert reconstruction_error(features, torch.tensor([0, 3])) == pytest.approx((1 + 9) / 30)
    assert reconstruction_error(features, torch.arange(4)) == 0
    assert reconstruction_error(torch.ones(3, 2), torch.tensor([1])) == 0


def test_error_equals_a_loop() -> None:
    x = np.random.default_rng(0).normal(size=(20, 3))
    kept = [2, 5, 11]
    lost = sum(min(((x[i] - x[k]) ** 2).sum() for k in kept) for i in range(20))
    expected = lost / ((x - x.mean(0)) ** 2).sum()
    assert reconstruction_error(torch.from_numpy(x), torch.tensor(kept)) == pytest.approx(expected)


def test_what_each_way_keeps() -> None:
    scene, importance = Scene.of([item(4, 5)]), importance_of(20)
    order = importance[0].argsort(descending=True).tolist()
    assert chosen(scene, importance, BEST, 6).tolist() == sorted(order[:6])
    assert chosen(scene, importance, WORST, 6).tolist() == sorted(order[-6:])
    some = chosen(scene, importance, RANDOM, 6)
    assert len(set(some.tolist())) == 6
    assert some.tolist() == chosen(scene, 1 - importance, RANDOM, 6).tolist()  # whatever is important
    assert set(some.tolist()) <= set(chosen(scene, importance, RANDOM, 12).tolist())


def reading(page: str, way: str, share: float, score: float) -> Reading:
    return Reading("q", page, way, share, round(16 * share), 16, score, 0.5, "anls")


def curve_of(*scores: tuple[float, float]):
    found = [reading(page, FULL if share == 1 else BEST, share, score) for share, score in scores for page in "ab"]
    return rate_curve(found, BEST)


def test_curve_and_smallest_rate_by_hand() -> None:
    curve = curve_of((0.25, 0.97), (0.5, 0.6), (0.75, 0.96), (1.0, 1.0))
    assert [(point.share, point.kept_tok, point.score.mean) for point in curve] == [
        (0.25, 4, 0.97),
        (0.5, 8, 0.6),
        (0.75, 12, 0.96),
        (1.0, 16, 1.0),
    ]
    least = smallest_rate(curve)
    assert least is not None and least.share == 0.75  # 1/4 does by chance: twice as many do not
    assert smallest_rate(curve, keeps=0.5).share == 0.25  # type: ignore[union-attr]
    assert smallest_rate(curve[:-1]) is None  # never read with all tokens
    assert smallest_rate(curve_of((0.5, 0.0), (1.0, 0.0))) is None  # there is nothing to keep


def test_intervals_resample_pages() -> None:
    found = [reading(page, FULL, 1.0, score) for page, score in (("a", 0.0), ("a", 0.0), ("b", 1.0), ("b", 1.0))]
    (point,) = rate_curve(found, BEST)
    assert (point.score.mean, point.score.low, point.score.high, point.score.num_pages) == (0.5, 0.0, 1.0, 2)


def test_readings_are_what_the_model_reads(engine: HFEngine) -> None:
    settings, picture = Episode(scorer="edges"), Picture.open(tiny.page(224, 224))
    told = engine.read(_canvas(engine, picture, None), "What?").text
    assert told  # the tiny model says something
    asked = [Question("known", "What?", (told,)), Question("hidden", "What?"), Question("empty", " ", ("x",))]
    found = list(readings(see(settings, engine, picture, asked), "page", engine, settings.strategies.score, (0.25, 1)))
    assert [(one.way, one.share, one.kept_tok) for one in found[:4]] == [
        (FULL, 1.0, 64),
        (BEST, 0.25, 16),
        (RANDOM, 0.25, 16),
        (WORST, 0.25, 16),
    ]
    assert len(found) == 5 and {one.id for one in found} == {"known"}
    assert found[0].score == 1 and found[0].error == 0
    assert found[4].way == RESIZE and found[4].kept_tok <= 16 and found[4].error is None
    scene = Scene.of([(picture, *_encoded(engine, picture))])
    index = chosen(scene, settings.strategies.score(scene), BEST, 16)
    text = engine.read(_canvas(engine, picture, index), "What?").text
    assert found[1].score == anls(text, (told,))
    assert found[1].error == pytest.approx(reconstruction_error(scene.features[0].flatten(1), index))


def test_a_reading_is_scored_by_the_question_s_own_metric(engine: HFEngine) -> None:
    settings, picture = Episode(scorer="edges"), Picture.open(tiny.page(224, 224))
    told = engine.read(_canvas(engine, picture, None), "What?").text
    asked = [Question(name, "What?", (told + "!?",), metric=name) for name in ("exact", "words")]
    found = list(readings(see(settings, engine, picture, asked), "page", engine, settings.strategies.score, (1,)))
    assert [(one.metric, one.score) for one in found] == [("exact", 0), ("words", 1)]
    drawn = rates([rate_curve(found, BEST)], [None], 0.95, title(one.metric for one in found))
    assert drawn.axes[0].get_ylabel() == "exact match and exact words, with its 95 % interval"


def _encoded(engine: HFEngine, picture: Picture):
    return engine.encode([engine.prepare(picture)])[0], engine.query("What?")


def _canvas(engine: HFEngine, picture: Picture, index) -> Canvas:
    encoding = _encoded(engine, picture)[0]
    kept = None if index is None else Selection.keep(index, len(encoding))
    return Canvas(encoding.grid.rows, encoding.grid.cols).add(Part.of(encoding, kept))
