"""Scanpaths by hand: amplitudes in degrees, what is a regression, coverage of discs."""

import math

import pytest

from saccade.analysis.scanpath import CELLS, HUMAN, scanpath, scanpath_statistics


def test_amplitudes_on_a_page_that_is_not_square() -> None:
    """1,000 x 500 px: a step of (0.3, 0.8) in uv is 300 and 400 px, so 500 px: 15 degrees and half the longer side."""
    path = scanpath([(0.1, 0.1), (0.4, 0.9)], 1000, 500)
    assert path.amplitude_deg == (pytest.approx(500 / 33.3),)
    assert path.amplitude_uv == (pytest.approx(0.5),)


@pytest.mark.parametrize(
    "step_px, backward",
    [
        ((100, 0), False),  # on along the line
        ((-100, 0), True),  # back along it
        ((-100, 20), True),  # 0.6 degrees lower is the same line
        ((-500, 40), False),  # to the start of the next line: no regression, though it goes left
        ((0, 200), False),
        ((200, -40), True),  # up by a line
        ((200, -20), False),  # right on the same line
    ],
)
def test_what_goes_back(step_px: tuple[int, int], backward: bool) -> None:
    dx, dy = step_px
    path = scanpath([(0.5, 0.5), (0.5 + dx / 1000, 0.5 + dy / 1000)], 1000, 1000)
    assert path.backward == (backward,)


def test_revisits() -> None:
    path = scanpath([(0.2, 0.2), (0.8, 0.8), (0.22, 0.2), (0.5, 0.5)], 1000, 1000)
    assert path.revisit == (False, True, False)  # 20 px, 0.6 degrees beside the first


def test_coverage_counts_cells_once_and_grows() -> None:
    """One disc of 1 and of 5 degrees by its area, the same disc again, and one that lies apart."""
    side = 2000
    path = scanpath([(0.25, 0.25), (0.25, 0.25), (0.75, 0.75)], side, side)
    one, again, both = path.coverage
    area = math.pi * (5 * 33.3) ** 2 / side**2
    assert one[1] == pytest.approx(area, rel=0.02)
    assert again == one
    assert both[1] == pytest.approx(2 * one[1], abs=2 / CELLS**2)
    expected = sum(
        math.dist(((i + 0.5) / CELLS * side, (j + 0.5) / CELLS * side), (500, 500)) <= 33.3
        for i in range(CELLS)
        for j in range(CELLS)
    )
    assert one[0] == pytest.approx(expected / CELLS**2)


def test_statistics_pool_saccades_and_hold_the_last_coverage() -> None:
    long = scanpath([(0.1, 0.1), (0.4, 0.1), (0.3, 0.1)], 1000, 1000)  # 300 px on, 100 px back
    short = scanpath([(0.5, 0.5)], 1000, 1000)
    found = scanpath_statistics([long, short])
    assert (found.paths, found.fixations, found.saccades) == (2, 4, 2)
    assert found.mean_uv == pytest.approx(0.2)
    assert found.mean_deg == found.median_deg == pytest.approx(200 / 33.3)
    assert found.regressions == 0.5
    for number, each in enumerate(found.coverage):
        assert each == pytest.approx(
            [(a + b) / 2 for a, b in zip(long.coverage[number], short.coverage[0], strict=True)]
        )
    assert len(found.coverage) == 3


def test_a_single_look_has_no_saccades() -> None:
    found = scanpath_statistics([scanpath([(0.5, 0.5)], 100, 100)])
    assert (found.saccades, found.mean_deg, found.regressions) == (0, None, None)
    assert scanpath_statistics([]).coverage == ()


def test_the_figures_of_people_are_those_of_the_notes() -> None:
    reading, scenes = HUMAN["reading"], HUMAN["scenes"]
    assert (reading["amplitude_deg"], reading["regressions"], reading["fixation_ms"]) == (
        (2, 8),
        (0.1, 0.15),
        (200, 300),
    )
    assert (scenes["amplitude_deg"], scenes["fixation_ms"]) == ((4, 15), (250, 400))
