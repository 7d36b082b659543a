"""The pictures of `saccade show`: each drawn from a look of a tiny model, and the numbers in them by hand."""

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from saccade.config import Episode
from saccade.datasets import synthdoc
from saccade.engines.hf import HFEngine
from saccade.episode import episodes, run, see
from saccade.errors import ConfigError, DataError
from saccade.geometry.grid import plain_grid
from saccade.geometry.print_size import print_height_px
from saccade.importance import Mix
from saccade.picture import Picture
from saccade.registry import find, load, names
from saccade.tokens.likeness import SIDE, compare
from saccade.types import Question, Scene, Trace
from saccade.viz.curves import Curve, Point, family, of_looks, of_results
from saccade.viz.pictures import Drawing
from saccade.viz.pictures.allocation import share_kept
from saccade.viz.pictures.rate_distortion import spread, ticks
from saccade.viz.pictures.saliency import parts, top_share
from saccade.viz.sheet import render
from saccade.viz.subject import Subject, on_grid
from saccade.viz.view import TraceView
from tests import tiny
from tests.viz.test_trace import LONG, check_text
from tests.viz.views import plain_picture, view


class Given(Subject):
    """A look that has been taken."""

    has, live = "the test", True

    def __init__(self, engine: HFEngine, shape: tuple[int, int], question: str, scorer: str) -> None:
        super().__init__(
            Episode(scorer=scorer, budget={"name": "fixed", "tokens": 12}, fixations=2, stop_at=2, planner="saliency")
        )
        self._picture = Picture.open(tiny.page(*shape))
        seen = see(self.settings, engine, self._picture, [Question("q", question)])
        self._scene = Scene.of([(self._picture, seen.encoding, seen.asked[0][1])])
        outcome = run(episodes(self.settings, seen), engine)[0]
        assert isinstance(outcome, Trace)
        self._view = TraceView.from_trace(outcome, seen.encoding.grid)

    picture = property(lambda self: self._picture)
    scene = property(lambda self: self._scene)
    view = property(lambda self: self._view)
    curves = property(
        lambda self: (Curve("a", (Point("a@9", 9, 0.5, 0.4, 0.6),)), Curve("b", (Point("b@9", 9, 0.7, None, None),)))
    )


@pytest.mark.parametrize("name", names("viz.pictures"))
@pytest.mark.parametrize("shape", [(300, 240), (120, 700), (700, 120)])
def test_every_picture_is_drawn_and_its_text_stays_apart(name: str, shape: tuple[int, int], engine: HFEngine) -> None:
    scorer = "edges" if shape == (300, 240) else "query:0.2,edges:0.4,variance:0.3,norm:0.1"
    subject = Given(engine, shape, LONG[:400] if shape == (700, 120) else "Who?", scorer)
    figure = load("viz.pictures", name, Drawing)(subject)
    pixels = render(figure)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 20  # something is on it
    if any(axes.get_label() == "sheet" for axes in figure.axes):
        check_text(figure)
    else:
        check_labels(figure)
    assert (render(load("viz.pictures", name, Drawing)(subject)) == pixels).all()  # the same picture again


def check_labels(figure: Figure) -> None:
    """Charts: both directions are named, and no two texts overlap or leave the figure."""
    renderer = figure.canvas.get_renderer()
    boxes = []
    for axes in figure.axes:
        if axes.get_label() != "<colorbar>":
            assert axes.get_xlabel() and axes.get_ylabel()
        words = [axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        (left, right), (low, high) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
        words += [t for t in axes.get_xticklabels() if left <= t.get_position()[0] <= right]
        words += [t for t in axes.get_yticklabels() if low <= t.get_position()[1] <= high]
        boxes += [(t.get_text(), t.get_window_extent(renderer)) for t in words if t.get_text() and t.get_visible()]
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y1 <= figure.bbox.y1 + 1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0, f"{one!r} overlaps {other!r}"


def test_every_picture_is_one_documented_value() -> None:
    for name in names("viz.pictures"):
        drawing = find("viz.pictures", name, Drawing)
        assert drawing.__doc__ and all(field.description for field in drawing.model_fields.values())


def test_what_a_subject_lacks_is_said() -> None:
    bare = Subject(Episode())
    for name in names("viz.pictures"):
        with pytest.raises(ConfigError, match="this picture needs .*, and nothing holds none"):
            load("viz.pictures", name, Drawing)(bare)


def test_a_mix_is_shown_by_its_parts_by_hand() -> None:
    found = parts(Mix.parse(["edges:1", {"name": "preset", "preset": "ptp", "weight": 3}]))
    assert [(scorer.name(), weight) for weight, scorer in found] == [
        ("edges", pytest.approx(0.25)),
        ("region", pytest.approx(0.75 * 0.3)),
        ("variance", pytest.approx(0.75 * 0.4)),
        ("instruction", pytest.approx(0.75 * 0.3)),
    ]


def test_values_of_tokens_on_the_grid() -> None:
    grid = replace(plain_grid(2, 2, 32, 32), row=torch.tensor([0, 0, 1]), col=torch.tensor([1, 1, 0]))
    scene = SimpleNamespace(grids=(grid,))
    shared = on_grid(scene, torch.tensor([3.0, 5.0, 1.0]))  # type: ignore[arg-type]
    assert shared.tolist() == [[-np.inf, 5], [1, -np.inf]]
    merged = SimpleNamespace(grids=(replace(grid, source=torch.tensor([2, 1, 2, -1])),))
    assert on_grid(merged, torch.tensor([3.0, 5.0, 1.0])).tolist() == [[1, 5], [1, -np.inf]]  # type: ignore[arg-type]


def test_importance_on_kept_tokens_by_hand() -> None:
    drawn = view([(0.5, 0.5)] * 2, rows=2, cols=3, kept=[(0, 1), (1, 5)])
    field = np.array([[3.0, 1.0, 2.0], [0.0, -np.inf, 4.0]])
    assert share_kept(drawn, field) == pytest.approx(8 / 10)
    assert share_kept(drawn, np.zeros((2, 3))) is None


def test_the_highest_tenth_by_hand() -> None:
    assert top_share(np.array([[5.0, 1.0], [-np.inf, 4.0]])) == pytest.approx(0.5)  # one of three, rounded up
    assert top_share(np.ones((10, 10))) == pytest.approx(0.1)
    assert top_share(np.zeros((2, 2))) == 0


def test_level_pixels_are_seen_when_enlarged(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(Episode())
    checker = (np.indices((64, 64)).sum(0) // 8 % 2 * 255).astype(np.uint8)
    monkeypatch.setattr(Subject, "picture", Picture.open(cv2.merge([checker] * 3)))
    figure = load("viz.pictures", {"name": "pyramid", "levels": 3}, Drawing)(subject)
    labels = [axes.get_label() for axes in figure.axes]
    assert labels[1:4] == ["Level 0: 64 x 64 px", "Level 1: 32 x 32 px", "Level 2: 16 x 16 px"]
    assert labels[4:] == ["Band 0", "Band 1", "What is left"]


def test_what_a_band_holds_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = (128 + 100 * np.cos(2 * np.pi * 0.375 * np.arange(64)))[None].repeat(64, 0).round().astype(np.uint8)
    monkeypatch.setattr(Subject, "picture", Picture.open(cv2.merge([grey] * 3)))
    figure = load("viz.pictures", {"name": "pyramid", "levels": 2}, Drawing)(Subject(Episode()))
    said = " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    blurred = cv2.pyrDown(grey.astype(np.float32))
    band = grey - cv2.pyrUp(blurred)
    assert f"nominally 0.25 to 0.5 cycles/px, strongest at 0.375; RMS contrast {band.std():.1f} of 255, shown x" in said
    assert f"nominally below 0.25 cycles/px; RMS contrast {blurred.std():.1f} of 255" in said
    panel = next(axes for axes in figure.axes if axes.get_label() == "Band 0").images[0]
    gain = 110 / np.percentile(np.abs(band), 99.5)
    place = [(np.arange(64) * 2 + 1) * size // 128 for size in panel.get_array().shape[:2]]
    drawn = np.asarray(panel.get_array())[np.ix_(*place)][..., 0].astype(float)
    assert np.abs(drawn - np.clip(128 + gain * band, 0, 255)).max() <= 1.01


@pytest.mark.parametrize("num_tok", [7, 1030])
def test_likeness_against_every_pair(num_tok: int) -> None:
    tokens = torch.randn(num_tok, 4, generator=torch.Generator().manual_seed(0))
    tokens[3] = 2 * tokens[1]  # a double
    unit = tokens / tokens.norm(dim=1, keepdim=True)
    cosines = (unit @ unit.T).double()
    found = compare(tokens, 0.9)
    others = ~torch.eye(num_tok, dtype=torch.bool)
    assert torch.allclose(found.doubles.double(), ((cosines > 0.9) & others).double().sum(1) / (num_tok - 1), atol=2e-3)
    assert int(found.counts.sum()) == num_tok * (num_tok - 1)
    assert found.redundant == pytest.approx(float((cosines[others] > 0.9).double().mean()), abs=1e-4)
    block = -(-num_tok // SIDE)
    assert found.block == block
    for i, j in [(0, 0), (1, 2), (0, len(found.matrix) - 1)]:
        part = cosines[i * block : (i + 1) * block, j * block : (j + 1) * block]
        assert float(found.matrix[i, j]) == pytest.approx(float(part.mean()), abs=1e-5)


def test_points_at_equal_tokens_stand_side_by_side() -> None:
    apart = spread([[100.0, 1000.0], [101.0], [300.0]])
    assert apart[2] == [300.0] and apart[0][1] == 1000.0  # alone: where it is
    assert apart[0][0] < apart[1][0] and apart[1][0] / apart[0][0] == pytest.approx(1.022)
    assert (apart[0][0] * apart[1][0]) ** 0.5 == pytest.approx((100 * 101) ** 0.5)


def test_an_axis_has_round_numbers() -> None:
    assert ticks(9, 20_000) == [10, 100, 1000, 10_000]
    assert ticks(240, 960) == [300, 400, 600, 800]


def test_families_of_variants() -> None:
    names_ = ["resize@273", "hybrid, 2 x 273", "hybrid, until sure (0.65)", "full", "top-K@273"]
    assert [family(name) for name in names_] == ["resize", "hybrid", "hybrid, until sure (0.65)", "full", "top-K"]


def test_curves_of_results() -> None:
    def entry(tokens: float | None, mean: float | None) -> dict[str, object]:
        return {"visual_tok": tokens, "score": None if mean is None else {"mean": mean, "low": None, "high": None}}

    results = {"variants": {"a@9": entry(9, 0.5), "b@3": entry(3, None), "a@3": entry(3, 0.2), "c": entry(None, 0.1)}}
    assert [(curve.name, [p.at for p in curve.points]) for curve in of_results(results)] == [("a", [3, 9])]
    for wrong in ({}, {"variants": {"a": {"score": None}}}, {"variants": []}):
        with pytest.raises(DataError, match="not the results of `saccade experiment`"):
            of_results(wrong)


def look(tokens: int, answer: str) -> dict[str, object]:
    return {"tokens": tokens, "answer": answer}


def test_a_run_after_each_of_its_looks_by_hand() -> None:
    def row(page: str, score: float | None, tokens: int | None, *looks: dict[str, object]) -> dict[str, object]:
        answers = None if score is None else ["abcd"]
        return {"image_id": page, "score": score, "answers": answers, "visual_tok": tokens, "fixations": list(looks)}

    rows = [
        row("p", 1.0, 25, look(10, ""), look(10, "abcd")),  # a glimpse of 5, then looks of 10
        row("q", 0.75, 15, look(10, "abcx")),  # sure after one look
        {**row("q", 0.0, None), "error": "X: y"},
        row("q", None, 15, look(10, "z")),  # hidden answers
    ]
    curve = of_looks(rows)
    assert curve is not None
    assert [(p.name, p.at) for p in curve.points] == [("1 look", 15), ("2 looks", 20)]
    assert [p.score for p in curve.points] == [pytest.approx(0.75 / 3), pytest.approx(1.75 / 3)]
    assert of_looks(rows[3:]) is None and of_looks(rows[2:]) is None


def test_nothing_scored_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "curves", ())
    with pytest.raises(ConfigError, match="no answer of it has a score"):
        load("viz.pictures", "rate_distortion", Drawing)(Subject(Episode()))


def test_a_plain_picture_has_a_pyramid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Subject, "picture", plain_picture(1, 1))
    check_text(load("viz.pictures", "pyramid", Drawing)(Subject(Episode())))


def test_patches_are_counted_and_outlined(monkeypatch: pytest.MonkeyPatch) -> None:
    half = np.full((64, 128, 3), 255, np.uint8)  # left plain, right checks of 1 px
    half[:, 64:] = 255 * (np.indices((64, 64)).sum(0) % 2)[..., None]
    monkeypatch.setattr(Subject, "picture", Picture.open(half))
    for thresholds, told in (
        ((0.3, 0.7), "4 of 32 px, 0 of 16 px, 64 of 8 px: 68 instead of 128 of 8 px"),
        ((0.3, 1.1), "4 of 32 px, 16 of 16 px, 0 of 8 px: 20 instead of 128 of 8 px"),
    ):
        figure = load("viz.pictures", {"name": "patches", "thresholds": thresholds}, Drawing)(Subject(Episode()))
        said = " ".join(axes.get_label() + "".join(text.get_text() for text in axes.texts) for axes in figure.axes)
        assert told in said
        check_text(figure)


def test_the_print_of_a_page_is_told_as_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = cv2.merge([synthdoc.render(9, 0, 512, x_height_px=16.0).image] * 3)
    monkeypatch.setattr(Subject, "picture", Picture.open(pixels))
    figure = load("viz.pictures", {"name": "print_size", "print_px": 8.0}, Drawing)(Subject(Episode()))
    labels = " ".join(axes.get_label() for axes in figure.axes)
    said = labels + " ".join(text.get_text() for axes in figure.axes for text in axes.texts)
    height_px = print_height_px(pixels)
    assert height_px is not None and f"smallest print {height_px:.1f} px" in said
    assert f"{100 * (8 / height_px) ** 2:.0f} % of the pixels" in said and "Its smallest print 8 px high" in said
