"""The box of what an answer was read from: what was attended to, else what the last look kept."""

from typing import Any

import pytest

from saccade.annotation.evidence import box_px, box_uv

GRID = {"rows": 10, "cols": 20}


def row(looks: list[dict[str, Any]], attended: list[tuple[int, float]] | None = None) -> dict[str, Any]:
    told = None if attended is None else [{"cell": cell, "share": share} for cell, share in attended]
    return {"grid": GRID, "fixations": looks, "attended": told}


def look(kept: list[int], x: float = 0.5, y: float = 0.5, reason: str = "query 0.5") -> dict[str, Any]:
    return {"kept": kept, "gaze_x": x, "gaze_y": y, "reason": reason}


def test_the_cells_around_the_most_attended_one() -> None:
    # row 2, columns 4 to 6; column 9 is apart, column 7 is attended to too little
    attended = [(45, 0.4), (44, 0.2), (46, 0.15), (49, 0.3), (47, 0.05)]
    found = box_uv(row([look(list(range(200)), reason="view: full")], attended))
    assert found == pytest.approx((4 / 20, 2 / 10, 7 / 20, 3 / 10))


def test_without_attention_what_the_last_look_kept_at_its_gaze() -> None:
    near, far = [22, 23, 43], [199]
    found = box_uv(row([look([0]), look(near + far, x=2.5 / 20, y=1.5 / 10)]))
    assert found == pytest.approx((2 / 20, 1 / 10, 4 / 20, 3 / 10))


def test_a_view_is_all_that_was_shown() -> None:
    assert box_uv(row([look([21, 178], reason="view: full")])) == pytest.approx((1 / 20, 1 / 10, 19 / 20, 9 / 10))


def test_a_look_that_added_nothing_stands_on_the_one_before() -> None:
    assert box_uv(row([look([0, 1], 0.0, 0.0), look([])])) == pytest.approx((0, 0, 2 / 20, 1 / 10))


def test_the_page_read_once_more_stands_on_the_view_before() -> None:
    looks = [look([21, 178], reason="view: ink"), look([], reason="view: the page again")]
    assert box_uv(row(looks)) == pytest.approx((1 / 20, 1 / 10, 19 / 20, 9 / 10))


def test_nothing_looked_at_is_no_box() -> None:
    assert box_uv(row([])) is None
    assert box_uv(row([look([])])) is None


def test_pixels_lie_inside_the_image() -> None:
    assert box_px(row([look([21, 178], reason="view: full")]), 400, 205) == (20, 20, 380, 184)
    assert box_px(row([look(list(range(200)), reason="view: full")]), 33, 7) == (0, 0, 33, 7)
    assert box_px(row([look([0], reason="view: full")]), 1, 1) == (0, 0, 1, 1)  # a cell is less than a pixel here
    assert box_px(row([look([199], reason="view: full")]), 3, 2) == (2, 1, 3, 2)
    assert box_px(row([]), 400, 200) is None


LEVELS = [{"rows": 5, "cols": 10}, {"rows": 2, "cols": 5}]


def test_a_coarse_token_is_all_that_it_covers() -> None:
    coarse = {**row([look([115], x=0.75, y=0.5) | {"levels": [2]}]), "grid": {**GRID, "levels": LEVELS}}
    assert box_uv(coarse) == pytest.approx((0.6, 0.5, 0.8, 1.0))  # cell (5, 15) of 2 x 5
    both = {**row([look([115, 0], x=0.75, y=0.5) | {"levels": [0, 2]}]), "grid": {**GRID, "levels": LEVELS}}
    assert box_uv(both) == pytest.approx((15 / 20, 5 / 10, 16 / 20, 6 / 10))


def test_a_coarse_token_that_was_attended_to_is_all_that_it_covers() -> None:
    looks = [look([0, 115], x=0.75, y=0.5) | {"levels": [0, 1]}, look([44])]
    told = {**row(looks, [(115, 0.9), (44, 0.1)]), "grid": {**GRID, "levels": LEVELS}}
    assert box_uv(told) == pytest.approx((0.7, 0.4, 0.8, 0.6))
    told = {**row([*looks, look([115])], [(115, 0.9)]), "grid": {**GRID, "levels": LEVELS}}
    assert box_uv(told) == pytest.approx((15 / 20, 5 / 10, 16 / 20, 6 / 10))  # shown at full resolution as well
