"""Gaze metrics: by hand on a page of 16 tokens, and look by look the same tokens as an episode shows."""

from collections.abc import Generator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from saccade.analysis.gaze import Boxes, Judged, Looks, in_grown, look, scene_of
from saccade.config import Episode
from saccade.engines import Reader
from saccade.episode import Seen, episodes, run
from saccade.geometry.grid import box_coverage, gaze_at, plain_grid
from saccade.importance import Mix
from saccade.planners import Planner, Score
from saccade.registry import load
from saccade.samplers import Sampler
from saccade.types import Answer, Canvas, Gaze, Grid, Query, Question, Scene, Step, Trace
from tests.helpers import item

KEEP_TOK = 9
SILENT = Answer("", (), 0.0, 0, 0, 0, 0.0, readable=False)


class Silent(Reader):
    """A reader that never can read."""

    def read(self, canvas: Canvas, question: str) -> Answer:
        return replace(SILENT, visual_tok=len(canvas))

    def forget(self) -> None:
        """There is nothing."""


def page(rows: int = 8, cols: int = 10) -> tuple[Scene, Seen]:
    """One random page with three questions of 2, 5 and 1 words: as a scene, and as an episode starts from it."""
    picture, encoding, _ = item(rows, cols, seed=3)
    make = torch.Generator().manual_seed(7)
    queries = [Query(str(n), torch.randn(n, 6, generator=make), torch.ones(n)) for n in (2, 5, 1)]
    asked = tuple((Question(query.text, query.text), query) for query in queries)
    return scene_of(picture, encoding, queries), Seen(
        picture, encoding, None, asked, encoding.num_patches, 0.0, picture.size_px
    )


def fingerprint(grid: Grid) -> Boxes:
    """A box in every token, each of another width: its coverage says which tokens are shown."""
    wide = torch.rand(len(grid), generator=torch.Generator().manual_seed(1)) * 0.9 + 0.05
    low = grid.centre_uv - grid.extent_uv / 2
    size = grid.extent_uv * torch.stack([wide, torch.ones(len(grid))], 1)
    return [tuple(box) for box in torch.cat([low, low + size], 1).tolist()]


@pytest.mark.parametrize(
    "scorer, sampler, planner",
    [
        ("query", "topk", "query"),
        ("query:0.3,edges:0.7", "hybrid", "query"),
        ("received", "logpolar", "saliency"),
        ("edges", "slots", "slots"),
        ("instruction", "ptp", "uncertainty"),
        ("mutual", "dominant", "saliency"),
        ("edges", "random", "query"),
        ("edges", "uniform", "query"),
    ],
)
def test_the_looks_are_those_of_an_episode(scorer: str, sampler: str, planner: str) -> None:
    scene, seen = page()
    grid = seen.encoding.grid
    boxes = fingerprint(grid)
    made = look(
        Judged(scene, Mix.parse(scorer)),
        load("samplers", sampler, Sampler),
        load("planners", planner, Planner),
        [boxes] * 3,
        KEEP_TOK,
    )
    budget = {"name": "fixed", "tokens": KEEP_TOK}
    for number in (1, 2, 3):
        settings = Episode(sampler=sampler, scorer=scorer, planner=planner, budget=budget, fixations=number)
        for flow, looks in zip(episodes(settings, seen), made, strict=True):
            (trace,) = run([flow], Silent())
            assert isinstance(trace, Trace)
            assert looks.after(number) == pytest.approx(box_coverage(grid, trace.shown, boxes), abs=1e-6)
            assert looks.tokens[number - 1] == trace.cost.visual_tok == number * KEEP_TOK
            if looks.hit is None:
                assert sampler in ("random", "uniform")
            else:
                assert looks.hit == in_grown(grid, trace.steps[0].gaze.uv, boxes)
    if sampler not in ("slots", "dominant"):  # what they merge is taken and never shown
        assert made[0].coverage[-1] >= 0.95 > made[0].coverage[-2], "it goes on until enough is shown, and no further"


def falling(scene: Scene) -> Tensor:
    """Importance by raster order: token 0 first."""
    num_tok = scene.valid.shape[1]
    return torch.linspace(1, 0, num_tok).expand(len(scene.queries), -1)


def four(boxes: list[Boxes], most: int | None = None) -> list[Looks]:
    """Looks of 2 tokens on a page of 4 x 4, in raster order."""
    picture, encoding, query = item(4, 4)
    judged = Judged(scene_of(picture, encoding, [query] * len(boxes)), falling)
    query_planner = load("planners", "query", Planner)
    return look(judged, load("samplers", "topk", Sampler), query_planner, boxes, 2, most=most)


def test_coverage_and_tokens_by_hand() -> None:
    row, corner, upper = four([[(0, 0, 1, 0.25)], [(0.75, 0.75, 1, 1)], [(0, 0, 0.25, 0.5)]])
    assert (row.coverage, row.tokens) == ((0.5, 1.0, 1.0), (2, 4, 6)), "three looks even where two are enough"
    assert (row.after(1), row.after(3), row.until(), row.until(0.5)) == (0.5, 1.0, 4, 2)
    assert (corner.coverage, corner.until()) == ((0.0,) * 7 + (1.0,), 16), "the last look of the page shows it"
    assert (upper.coverage, upper.until()) == ((0.5, 0.5, 1.0), 6)
    assert (row.hit, corner.hit, upper.hit) == (True, False, True)
    (never,) = four([[(0.75, 0.25, 1, 0.5), (0.75, 0.75, 1, 1)]], most=4)
    assert (never.coverage, never.tokens) == ((0, 0, 0, 0.5), (2, 4, 6, 8))
    assert (never.until(), never.until(0.5)) == (16, 8), "never shown: all tokens of the page"


def test_a_page_that_is_used_up() -> None:
    picture, encoding, query = item(2, 2)
    judged = Judged(scene_of(picture, encoding, [query]), falling)
    planner = load("planners", "query", Planner)
    (looks,) = look(judged, load("samplers", "topk", Sampler), planner, [[(0, 0, 1, 1)]], 3)
    assert (looks.coverage, looks.tokens) == ((0.75, 1.0), (3, 4))
    assert looks.after(3) == 1.0


def test_boxes_grow_by_one_token() -> None:
    grid, gaze = plain_grid(4, 4, 64, 64), (0.125, 0.125)
    assert in_grown(grid, gaze, [(0.3, 0.3, 0.4, 0.4)])
    assert not in_grown(grid, gaze, [(0.4, 0.1, 0.5, 0.2)])
    assert not in_grown(grid, gaze, [])


def test_what_does_not_listen_to_the_question_is_scored_once() -> None:
    scene, _ = page()
    for scorer, listens in (("edges", False), ("received", False), ("query", True), ("query,edges", True)):
        judged = Judged(scene, Mix.parse(scorer))
        assert judged.listens == listens
        assert torch.allclose(judged.importance, Mix.parse(scorer)(scene), atol=1e-6)
    calls: list[int] = []

    def counted(scene: Scene) -> Tensor:
        calls.append(len(scene.queries))
        return falling(scene)

    judged = Judged(scene, counted)
    planner, boxes = load("planners", "query", Planner), [[(0.9, 0.9, 1.0, 1.0)]] * 3
    look(judged, load("samplers", "topk", Sampler), planner, boxes, KEEP_TOK)
    assert calls == [1, 1], "once, and once with other words to find out"


class Listener(Planner):
    """Looks at token 0, and keeps what it is sent."""

    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        while True:
            step = yield gaze_at(scene.grids[0], 0, "listening", 1.0)
            SENT.append(step.answer)


SENT: list[Answer] = []


def test_planners_hear_a_reader_that_cannot_read() -> None:
    SENT.clear()
    scene, _ = page()
    look(Judged(scene, falling), load("samplers", "topk", Sampler), Listener(), [[(0, 0, 1, 1)]] * 3, 20, most=3)
    assert [(answer.confidence, answer.readable, answer.tokens) for answer in SENT] == [(0.0, False, None)] * 6
