"""The charts and pictures of the eye: what they show is what the formulas give, and no text meets another."""

from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy.integrate import quad

from saccade.geometry import biology as eye
from saccade.viz import biology, biology_maps
from saccade.viz.sheet import render

CHARTS = {
    "magnification": biology.magnification,
    "cortex": biology.cortex,
    "retina": biology.retina,
    "rows": lambda: biology.log_polar_rows(30.0, 33.3, 128, 256),
}
PAGE = np.full((120, 90, 3), 255, dtype=np.uint8)
PAGE[40:60, 20:70] = 0
GAZE = (0.5, 0.4)


def curve(figure: Figure, title: str, label: str) -> tuple[np.ndarray, np.ndarray]:
    """x and y of one line of one chart."""
    axes = next(axes for axes in figure.axes if axes.get_title(loc="left") == title)
    line = next(line for line in axes.lines if line.get_label() == label)
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def beyond(figure: Figure) -> set[Text]:
    """Labels of ticks outside what an axis shows, which Matplotlib keeps and does not draw."""
    out = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            every = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
            for tick in (each for each in every if not low <= each.get_loc() <= high):
                out |= {tick.label1, tick.label2}
    return out


def check_apart(figure: Figure) -> None:
    """Every text that is drawn lies on the sheet, and on no other."""
    render(figure)
    found, left_out = [], beyond(figure)
    for text in figure.findobj(Text):
        if text.get_visible() and text.get_text().strip() and text not in left_out and text.axes is not None:
            found.append((text.get_text(), text.get_window_extent()))
    assert len(found) > 5
    for (one, a), (other, b) in combinations(found, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        assert apart, f"{one!r} overlaps {other!r}"
    for words, box in found:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
        assert inside, f"{words!r} leaves the sheet"


@pytest.mark.parametrize("name", CHARTS)
def test_texts_stay_apart(name):
    check_apart(CHARTS[name]())


def test_the_magnification_chart_shows_the_fit_and_its_data():
    figure = biology.magnification()
    x, y = curve(figure, "Macaque: what the data give", "least squares: 12.5/(e + 1.93)")
    fit = eye.macaque()
    assert y == pytest.approx(fit.scale / (x + fit.e0_deg))
    points = curve(figure, "Macaque: what the data give", "Daniel & Whitteridge (1961)")
    assert (points[0].tolist(), points[1].tolist()) == (list(eye.MACAQUE_DEG), list(eye.MACAQUE_MM_PER_DEG))
    x, y = curve(figure, "M halves after how many degrees more", "human: e + 0.75")
    assert y == pytest.approx(x + 0.75)
    _, y = curve(figure, "The same, relative to the fovea", "human")
    assert y[0] == 1


def test_the_cortex_chart_counts_the_hypercolumns_of_one_hemisphere():
    figure = biology.cortex()
    x, y = curve(figure, "Hypercolumns of one hemisphere", "human: area integral")
    area, _ = quad(lambda e: (17.3 / (e + 0.75)) ** 2 * 2 * np.pi * e, 0, x[200])
    assert y[200] == pytest.approx(area / 2 / 4)
    for label, count in (
        ("human: 2,500 mm\u00b2 / 4 = 625", 625),
        ("macaque: 1,200 mm\u00b2 / 4 = 300", 300),
        ("273 tokens", 273),
    ):
        assert set(curve(figure, "Hypercolumns of one hemisphere", label)[1]) == {count}


def test_the_rows_chart_tells_acuity_from_its_inverse():
    made = biology.rows_by_eccentricity(60.0, 33.3)
    share = {name: np.interp(5.0, e.numpy(), part.numpy()) for name, (e, part) in made.items()}
    assert share["acuity"] == pytest.approx(np.log(2.75) / np.log(22), abs=1e-4)
    assert share["integral of 1/acuity"] == pytest.approx(0.0136, abs=1e-4)
    assert share["log, alpha = 1 px"] == pytest.approx(np.log1p(166.5) / np.log1p(1998), abs=1e-4)


def sheet_image(figure: Figure, panel: str) -> np.ndarray:
    """The pixels of one panel."""
    axes = next(axes for axes in figure.axes if axes.get_label() == panel)
    return np.asarray(axes.images[0].get_array())


def test_allocation_shows_kept_tokens_and_veils_the_others():
    kept = np.zeros((12, 9), dtype=bool)
    kept[2, 3] = kept[11, 0] = True
    figure = biology_maps.allocation(PAGE, GAZE, kept, "facts")
    check_apart(figure)
    shown = sheet_image(figure, "Kept tokens")
    height, width = shown.shape[:2]
    cell = shown[int(2.2 * height / 12) : int(2.8 * height / 12), int(3.2 * width / 9) : int(3.8 * width / 9)]
    assert (cell == 255).all()
    assert shown[int(8.5 * height / 12), int(7.5 * width / 9)].max() < 200
    heat = sheet_image(figure, "M(e), mm of cortex a degree").astype(int)
    gazed = heat[int(0.4 * height), int(0.5 * width)]
    assert gazed[1] < heat[-1, -1][1]  # deeper red at the gaze than in the corner


def test_invariances_say_how_far_the_map_moves():
    figure = biology_maps.invariances(PAGE, GAZE, (64, 128), 90.0, 2.0)
    check_apart(figure)
    words = [text.get_text() for text in figure.findobj(Text)]
    assert "moved 32 of 128 columns to the right" in words
    far = max(np.hypot(44.5 - x, 47.5 - y) for x in (0, 89) for y in (0, 119))
    assert f"moved {np.log(2) / np.log1p(far) * 63:.1f} of 64 rows down" in words
    before, turned, zoomed = (axes.images[0].get_array() for axes in figure.axes if "Its map" in axes.get_label())
    assert not np.array_equal(before, zoomed)
    shift = round(turned.shape[1] / 4)
    band = slice(turned.shape[0] // 2, 3 * turned.shape[0] // 4)  # inside the picture, past the gaze
    moved = np.abs(np.roll(before, shift, 1)[band].astype(int) - turned[band]).mean()
    assert moved < 0.3 * np.abs(before[band].astype(int) - turned[band]).mean()


def test_scene_aware_counts_the_samples_that_are_drawn_to_what_is_salient():
    saliency = torch.zeros(120, 90)
    saliency[90:110, 60:80] = 1
    figure = biology_maps.scene_aware(PAGE, saliency, GAZE, (32, 64), 1.0)
    check_apart(figure)
    words = " ".join(text.get_text() for text in figure.findobj(Text))
    plain = int(words.split(" samples where")[0].split()[-1])
    aware = int(words.split(" samples there")[0].split()[-1])
    assert aware > plain > 0


def test_foveations_and_homunculi_are_drawn():
    figure = biology_maps.foveations(PAGE, GAZE, {"128 x 256": (PAGE // 2, "0.90, 0.80")})
    check_apart(figure)
    assert sheet_image(figure, "128 x 256").max() == 127
    density = torch.ones(4, 3)
    density[1] = 9  # the second quarter, from 30 to 60 px, which holds the black bar, takes 9 of 12 parts
    figure = biology_maps.homunculi(PAGE, density, "rows")
    check_apart(figure)
    for panel in ("Homunculus", "With straight columns"):
        black = (sheet_image(figure, panel)[..., 0] < 128).mean()
        assert black == pytest.approx(3 * 20 / 120 * 50 / 90, rel=0.05)
