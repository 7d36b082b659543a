"""The planner `saliency`: the picture alone decides, one peak after the other."""

from dataclasses import replace

import pytest
import torch

from saccade.planners.saliency import Saliency
from saccade.types import Scene
from tests.helpers import item, step


def test_gazes_go_down_the_peaks_outside_the_discs():
    picture, encoding, query = item(10, 10)
    received = torch.zeros(100)
    received[[22, 23, 77, 5]] = torch.tensor([9.0, 8.0, 7.0, 3.0])  # 23 is beside 22
    scene = Scene.of([(picture, replace(encoding, received=received), query)])
    flow = Saliency(inhibition_radius=0.15).flow(scene, lambda scene: torch.zeros(1, 100))
    gazes = [next(flow)]
    for _ in range(2):
        gazes.append(flow.send(step([], 100, gaze=gazes[-1])))
    places = [(round(g.uv[1] * 10 - 0.5), round(g.uv[0] * 10 - 0.5)) for g in gazes]
    assert places == [(2, 2), (7, 7), (0, 5)]
    assert [g.score for g in gazes] == pytest.approx([1, 7 / 9, 3 / 9])
    assert [g.reason for g in gazes] == ["saliency 1.00", "saliency 0.78", "saliency 0.33"]
    assert all(g.importance is None for g in gazes)  # which tokens are kept stays the scorer's choice
