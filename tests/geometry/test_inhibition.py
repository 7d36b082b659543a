"""The next fixation by hand: 1 x 5 tokens, 0.2 apart."""

import torch

from saccade.geometry.grid import plain_grid
from saccade.geometry.inhibition import next_fixation
from saccade.types import Gaze
from tests.helpers import step

GRID = plain_grid(1, 5, 50, 10)
ALL = torch.ones(5, dtype=torch.bool)
IMPORTANCE = torch.tensor([0.1, 0.9, 0.8, 0.7, 0.2])


def step_at(x: float, *index: int):
    return step(index, 5, gaze=Gaze((x, 0.5), "test", 1.0))


def test_first_is_the_maximum_and_equals_go_to_the_middle():
    assert next_fixation(IMPORTANCE, ALL, GRID, [], 0.1) == (1, "")
    assert next_fixation(torch.zeros(5), ALL, GRID, [], 0.1) == (2, "")


def test_shown_tokens_and_discs_are_left_out():
    assert next_fixation(IMPORTANCE, ALL, GRID, [step_at(0.3, 1)], 0.1) == (2, "")
    assert next_fixation(IMPORTANCE, ALL, GRID, [step_at(0.3, 1)], 0.25) == (3, "")
    fresh = torch.tensor([True, True, True, False, True])
    assert next_fixation(IMPORTANCE, fresh, GRID, [step_at(0.3, 1)], 0.25) == (4, "")


def test_the_oldest_disc_is_released_first_and_said():
    steps = [step_at(0.3, 1), step_at(0.9, 4)]
    assert next_fixation(IMPORTANCE, ALL, GRID, steps, 0.5) == (0, ", oldest inhibition released")
    assert next_fixation(IMPORTANCE, ALL, GRID, [step_at(0.5, 2)] * 2, 1.0) == (1, ", 2 oldest inhibitions released")
    assert next_fixation(IMPORTANCE, ALL, GRID, [step_at(0.5, 2)], 1.0) == (1, ", oldest inhibition released")


def test_when_all_is_seen_every_token_counts():
    index, note = next_fixation(IMPORTANCE, ALL, GRID, [step_at(0.5, 0, 1, 2, 3, 4)], 0.1)
    assert (index, note) == (1, ", all tokens seen")
