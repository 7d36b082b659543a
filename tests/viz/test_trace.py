"""The picture of a trace: pixels, markers, text that neither overlaps nor leaves the sheet, at any shape."""

from dataclasses import replace
from itertools import combinations
from math import hypot
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image
from scipy import ndimage

from saccade.errors import ConfigError
from saccade.picture import Picture
from saccade.viz.layout import badges
from saccade.viz.lettering import EVIDENCE
from saccade.viz.pixels import COLOURS, lit, rgb
from saccade.viz.trace import draw, draw_trace, render, save
from saccade.viz.view import TraceView
from tests.viz.views import live_row, live_trace, plain_picture, view

LONG = "Wie hoch ist die Größe Σ im $Jahr_2024$, wenn 合計 fehlt? " * 12 + "x" * 300
SHAPES = [(300, 1200), (1200, 300), (1, 1), (1024, 1024), (724, 1024), (1024, 724), (10, 1000), (1000, 10), (5000, 700)]


def panel(figure: Figure, label: str) -> tuple[np.ndarray, int, int]:
    """The pixels of one panel, and its upper left corner on the sheet."""
    box = next(axes for axes in figure.axes if axes.get_label() == label).get_window_extent()
    pixels = render(figure)
    x, y = round(box.x0), round(pixels.shape[0] - box.y1)
    return pixels[y : y + round(box.height), x : x + round(box.width)], x, y


def texts(figure: Figure) -> list[tuple[str, Bbox]]:
    renderer = figure.canvas.get_renderer()
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for axes in figure.axes
        for text in axes.texts
        if text.get_text().strip()
    ]


def check_text(figure: Figure) -> None:
    sheet, found = figure.bbox, texts(figure)
    for text, box in found:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= sheet.x1 and box.y1 <= sheet.y1
        assert inside, f"{text!r} leaves the sheet"
    for (one, a), (other, b) in combinations(found, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        assert apart, f"{one!r} overlaps {other!r}"
    for axes in figure.axes:  # and no line of text runs into a page or a map; numbers of gazes stand on the page
        if axes.get_label() != "sheet":
            area = axes.get_window_extent()
            for text in next(axes for axes in figure.axes if axes.get_label() == "sheet").texts:
                box = text.get_window_extent()
                apart = box.x1 <= area.x0 or area.x1 <= box.x0 or box.y1 <= area.y0 or area.y1 <= box.y0
                assert apart, f"{text.get_text()!r} runs into the {axes.get_label()}"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("heat", [True, False])
def test_text_stays_apart_at_any_shape(shape: tuple[int, int], heat: bool) -> None:
    gazes = [(0.02 + 0.11 * i, 0.98 - 0.09 * i) for i in range(8)]
    for count, words in ((1, "INV-2041"), (3, LONG), (8, LONG if heat else "")):
        drawn = view(gazes[:count], answer=words, question=words or "?", reason=words or "why", score=0.5)
        field = np.linspace(0, 1, 256).reshape(16, 16) if heat else None
        boxes = [(0.1, 0.1, 0.4, 0.2)] if count == 3 else []
        check_text(draw(drawn, plain_picture(*shape), field, boxes))


@pytest.mark.parametrize("shape", [(300, 1200), (1200, 300), (1, 1), (10, 1000)])
def test_many_gazes_at_one_spot_keep_their_numbers_apart(shape: tuple[int, int]) -> None:
    for spot in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.5)):
        figure = draw(view([spot] * 12), plain_picture(*shape), np.zeros((16, 16)))
        check_text(figure)
        page = next(axes for axes in figure.axes if axes.get_label() == "page")
        assert [text.get_text() for text in page.texts] == [str(number) for number in range(1, 13)]


def test_numbers_stand_off_every_ring_when_there_is_room() -> None:
    gazes = [(100.0, 100.0), (120.0, 100.0), (300.0, 50.0), (110.0, 130.0)]
    placed = badges(gazes, 15, 20, 400, 400, 30)
    for badge in placed:
        assert all(hypot(badge[0] - x, badge[1] - y) >= 35 for x, y in gazes)


def test_the_page_is_shown_pixel_on_pixel() -> None:
    original = np.random.default_rng(1).integers(0, 256, (1024, 724, 3), dtype=np.uint8)
    blind = view([(0.5, 0.5)], rows=64, cols=45, kept=[(0, 100, 101, 2000)], reason="blind: random")
    pixels, _, _ = panel(draw(blind, Picture.open(original), np.zeros((64, 45))), "page")
    assert (pixels == lit(original, blind)).all()


def test_kept_tokens_keep_the_pictures_colours_and_others_are_dimmed() -> None:
    original = np.random.default_rng(2).integers(0, 256, (32, 32, 3), dtype=np.uint8).repeat(32, 0).repeat(32, 1)
    kept = [tuple(range(0, 1024, 7)), tuple(range(3, 1024, 7))]
    pixels, _, _ = panel(draw(view([(0.9, 0.9)] * 2, rows=32, cols=32, kept=kept), Picture.open(original)), "page")
    for cell in range(1024):
        row, col = divmod(cell, 32)
        if row > 24 and col > 24:
            continue  # rings and numbers stand there
        before = original[row * 32 + 16, col * 32 + 16].astype(int)
        after = pixels[row * 32 + 16, col * 32 + 16].astype(int)
        if cell % 7 in (0, 3):
            assert abs(after - before).max() <= 2
        else:
            assert np.ptp(after) <= 0.4 * np.ptp(before) + 20  # pale
            assert abs(after - 132).max() < 60


@pytest.mark.parametrize("gaze", [(0.5, 0.5), (0.25, 0.8), (0.9, 0.1)])
@pytest.mark.parametrize("shape", [(600, 1200), (1200, 600), (2600, 2600)])
def test_the_ring_is_centred_on_the_gaze(gaze: tuple[float, float], shape: tuple[int, int]) -> None:
    pixels, _, _ = panel(draw(view([gaze], kept=[()]), plain_picture(*shape)), "page")
    found, number = ndimage.label(abs(pixels.astype(int) - np.array(rgb(COLOURS[0]))).sum(-1) < 30)
    centres = ndimage.center_of_mass(found > 0, found, range(1, number + 1))
    sizes = ndimage.sum(found > 0, found, range(1, number + 1))
    height, width = pixels.shape[:2]
    wanted = gaze[1] * height - 0.5, gaze[0] * width - 0.5  # pixel centres
    distance = [hypot(y - wanted[0], x - wanted[1]) for y, x in centres]
    nearest = int(np.argmin(distance))
    assert distance[nearest] < 1
    assert sizes[nearest] > 100
    ring = found == nearest + 1
    assert not ring[round(wanted[0]), round(wanted[1])]  # hollow: what was looked at stays readable


@pytest.mark.parametrize("box", [None, (0.25, 0.25, 0.75, 0.5)])
def test_a_red_box_marks_where_the_answer_was_read(box: tuple[float, float, float, float] | None) -> None:
    whole = view([(0.5, 0.5)], rows=4, cols=4, kept=[tuple(range(16))], reason="view: full")
    figure = draw(replace(whole, evidence_uv=box), plain_picture(800, 800, (10, 200, 30)))
    check_text(figure)
    pixels, _, _ = panel(figure, "page")
    red = abs(pixels.astype(int) - np.array(rgb(EVIDENCE))).sum(-1) < 60
    assert any("where it was read" in text for text, _ in texts(figure)) == (box is not None)
    if box is None:
        assert not red.any()
        return
    rows, cols = np.nonzero(red)
    size = pixels.shape[0]
    found = cols.min() / size, rows.min() / size, cols.max() / size, rows.max() / size
    assert found == pytest.approx(box, abs=3 / size)
    assert not red[rows.min() + 5 : rows.max() - 5, cols.min() + 5 : cols.max() - 5].any()  # hollow


def test_a_view_marks_no_gaze() -> None:
    whole = view([(0.5, 0.5)], rows=4, cols=4, kept=[tuple(range(16))], reason="view: resize")
    pixels, _, _ = panel(draw(whole, plain_picture(800, 800, (10, 200, 30))), "page")
    assert (pixels == np.array([10, 200, 30])).all()


def test_answer_boxes_are_outlined_where_they_are() -> None:
    whole = view([(0.5, 0.5)], rows=4, cols=4, kept=[tuple(range(16))], reason="view: full")
    pixels, _, _ = panel(draw(whole, plain_picture(1000, 800), None, [(0.2, 0.25, 0.6, 0.5)]), "page")
    rows, cols = np.nonzero((pixels < 100).all(-1))
    assert abs(cols.min() - 200) <= 1
    assert abs(cols.max() - 600) <= 1
    assert abs(rows.min() - 200) <= 1
    assert abs(rows.max() - 400) <= 1
    assert (pixels[250:350, 250:550] == 250).all()


def test_the_hottest_token_is_hottest_on_the_map() -> None:
    trace, grid = live_trace()
    scores = torch.full((12,), 0.1)
    scores[7] = 0.9  # row 2, column 1 of 4 x 3
    figure = draw_trace(plain_picture(480, 640), grid, trace, scores)
    pixels, _, _ = panel(figure, "importance")
    height, width = pixels.shape[:2]
    spots = [(int((r + 0.7) * height / 4), int((c + 0.7) * width / 3)) for r in range(4) for c in range(3)]
    assert int(np.argmin([pixels[spot][1] for spot in spots])) == 7
    assert {"0.10", "0.90"} <= {text for text, _ in texts(figure)}


def test_importance_of_the_first_gaze_is_drawn_when_none_is_given() -> None:
    trace, grid = live_trace()
    bare = draw_trace(plain_picture(48, 64), grid, trace)
    assert "importance" not in [axes.get_label() for axes in bare.axes]
    left = replace(trace.steps[0], gaze=replace(trace.steps[0].gaze, importance=torch.rand(12)))
    drawn = draw_trace(plain_picture(48, 64), grid, replace(trace, steps=(left, *trace.steps[1:])))
    assert "importance" in [axes.get_label() for axes in drawn.axes]


def test_a_live_trace_and_its_row_give_the_same_file_every_time(tmp_path: Path) -> None:
    trace, grid = live_trace()
    picture = Picture.open(np.random.default_rng(3).integers(0, 256, (64, 48, 3), dtype=np.uint8))
    scores = torch.linspace(0, 1, 12)
    files = [save(draw_trace(picture, grid, trace, scores), tmp_path / "deep" / f"{n}.png") for n in range(2)]
    row = draw(TraceView.from_row(live_row()), picture, scores.numpy().reshape(4, 3))
    files.append(save(row, tmp_path / "row.png"))
    assert len({file.read_bytes() for file in files}) == 1
    with Image.open(files[0]) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        assert image.size == tuple(int(side) for side in row.bbox.size)


def test_it_says_what_was_asked_and_answered() -> None:
    trace, grid = live_trace()
    drawn = [text for text, _ in texts(draw_trace(plain_picture(480, 640), grid, trace))]
    facts = "confidence 0.75 · 2 fixations · 4 of 12 tokens (33 %) · red box: where it was read"
    assert drawn[:2] == ["Which letter?", "A"] and " ".join(drawn).startswith(f"Which letter? A {facts}")
    assert {"cannot read", "residual query 0.50", "confidence 0.80 · 3 tokens at (0.50, 0.25)"} <= set(drawn)


def test_pages_are_never_shrunk_below_what_can_be_read() -> None:
    for width, height, wanted in ((1024, 1024, (1024, 1024)), (768, 1024, (768, 1024)), (8000, 4000, (1600, 800))):
        pixels, _, _ = panel(draw(view([(0.5, 0.5)]), plain_picture(width, height)), "page")
        assert pixels.shape[1::-1] == wanted


def test_other_formats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"drawn as \.png; got .*out\.jpg"):
        save(Figure(), tmp_path / "out.jpg")


def test_pyplot_is_not_loaded() -> None:
    import subprocess
    import sys

    code = "import saccade.viz.trace, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
