"""The oracle: where it looks, by how much it misses, what it favours, and that nobody else is told."""

import math

import pytest
import torch

from saccade.config import Episode
from saccade.geometry.fovea import PX_PER_DEG
from saccade.geometry.grid import plain_grid
from saccade.planners import Planner
from saccade.planners.oracle import Oracle, closeness
from saccade.registry import find, names
from saccade.types import Query, Scene
from tests.helpers import item, step

BOX, LABEL = (0.60, 0.40, 0.70, 0.50), (0.1, 0.4, 0.2, 0.5)


def scene(text: str = "?", box: tuple[float, float, float, float] = BOX) -> Scene:
    """Of 32 x 24 tokens of 16 px: a page of 384 x 512 px, 11.5 x 15.4 degrees."""
    picture, encoding, _ = item(32, 24)
    return Scene.of([(picture, encoding, Query(text, torch.zeros(1, 6), torch.ones(1), None, (box,), (LABEL,)))])


def first(planner: Oracle, seen: Scene):
    return next(planner.flow(seen, lambda scene: torch.zeros(1, scene.valid.shape[1])))


def test_it_looks_at_the_middle_of_the_box() -> None:
    gaze = first(Oracle(), scene())
    assert gaze.uv == pytest.approx((0.65, 0.45)) and gaze.reason == "oracle" and gaze.importance is None


@pytest.mark.parametrize("error_deg", [0.5, 1.5, 3.0, 6.0])
def test_it_misses_by_as_many_degrees(error_deg: float) -> None:
    """On the page, in directions that differ by question and by seed, the same ones every time."""
    found = []
    for number in range(20):
        gaze = first(Oracle(error_deg=error_deg), scene(f"{number}?"))
        assert gaze == first(Oracle(error_deg=error_deg), scene(f"{number}?"))
        assert 0 <= gaze.uv[0] <= 1 and 0 <= gaze.uv[1] <= 1
        dx, dy = (gaze.uv[0] - 0.65) * 384 / PX_PER_DEG, (gaze.uv[1] - 0.45) * 512 / PX_PER_DEG
        assert math.hypot(dx, dy) == pytest.approx(error_deg, rel=1e-3)
        found.append(round(math.atan2(dy, dx), 3))
    assert len(set(found)) == 20
    assert first(Oracle(error_deg=3), scene()).uv != first(Oracle(error_deg=3, seed=1), scene()).uv


def test_closeness_by_hand() -> None:
    """Tokens of 16 px; the box covers the first two columns of the first row."""
    close = closeness(plain_grid(1, 5, 80, 16), [(0.0, 0.0, 0.4, 1.0)])
    assert close.tolist() == pytest.approx([1, 1, *(1 / (1 + px / PX_PER_DEG) for px in (8, 24, 40))])


def test_near_favours_the_answer_and_its_label() -> None:
    seen = scene()
    importance = first(Oracle(near=True), seen).importance
    assert importance is not None and importance.shape == (32 * 24,)
    inside = [(importance == 1) & _in(seen, box) for box in (BOX, LABEL)]
    assert all(bool(each.any()) for each in inside)
    assert bool((importance[~(_in(seen, BOX) | _in(seen, LABEL))] < 1).all())


def _in(seen: Scene, box: tuple[float, float, float, float]) -> torch.Tensor:
    x, y = seen.centre_uv[0].unbind(-1)
    return (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])


def test_later_gazes_are_near_and_outside_the_discs() -> None:
    flow = Oracle().flow(scene(), lambda seen: torch.zeros(1, seen.valid.shape[1]))
    gazes = [next(flow)]
    for _ in range(2):
        gazes.append(flow.send(step([0], 768, gaze=gazes[-1])))
    label = gazes[1].uv
    assert 0.1 <= label[0] <= 0.2 and 0.4 <= label[1] <= 0.5, "the label, which is as near as the answer"


def test_nobody_else_is_told() -> None:
    told = [name for name in names("planners") if "boxes" in find("planners", name, Planner).reads]
    assert told == ["oracle"]
    assert "boxes" in Episode(sampler="topk", planner="oracle").needs
    assert "boxes" not in Episode(sampler="topk").needs | Episode(sampler="full", planner="oracle").needs
