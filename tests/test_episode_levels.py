"""Episodes over several levels of one picture: what is encoded, charged, shown; and that one level changes nothing."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.execute.serialization import freeze, thaw
from pipelines.runs.rows import scored_rows, table
from saccade.budgets import Budget
from saccade.config import Episode
from saccade.engines import Reader
from saccade.engines.hf import HFEngine
from saccade.episode import Seen, episodes, run, see
from saccade.errors import ConfigError
from saccade.geometry.levels import counts
from saccade.heads.files import load, save
from saccade.heads.pyramid import LearnedPyramid
from saccade.picture import Picture, resized
from saccade.registry import find, names
from saccade.samplers import Sampler
from saccade.types import Answer, Canvas, Part, Question, Scene, Selection, Trace
from saccade.viz.trace import draw_trace
from saccade.viz.view import TraceView, spent
from tests import tiny
from tests.helpers import importance_of
from tests.levels import pyramid_item
from tests.test_contracts import default_strategy

BOX = ((0.2, 0.3, 0.4, 0.4),)  # which only an oracle is told
ASKED = [Question("a", "What is the total?", answer_boxes_uv=BOX), Question("b", "Who signed?", answer_boxes_uv=BOX)]
SMALL = {"budget": {"name": "fixed", "tokens": 20}, "scorer": "variance", "stop_at": 2}


class Quiet(Reader):
    """A reader that is never sure."""

    def __init__(self) -> None:
        self.canvases: list[Canvas] = []

    def read(self, canvas: Canvas, question: str) -> Answer:
        self.canvases.append(canvas)
        return Answer("?", (-1.0,), 0.1, len(canvas), 0, 0, 0.0)

    def forget(self) -> None:
        """There is nothing."""


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture.open(tiny.page(440, 400))  # 16 x 14 = 224 tokens, then 8 x 7 and 4 x 4


def look_at(engine: HFEngine, picture: Picture, **settings: object) -> tuple[Seen, list[Trace], Quiet]:
    chosen, reader = Episode(**{**SMALL, **settings}), Quiet()
    seen = see(chosen, engine, picture, ASKED)
    found = run(episodes(chosen, seen), reader)
    assert all(isinstance(item, Trace) for item in found), found
    return seen, found, reader  # type: ignore[return-value]


def test_every_level_is_encoded_and_charged(engine: HFEngine, picture: Picture) -> None:
    seen, (first, second), _ = look_at(engine, picture, levels=3, sampler="pyramid")
    grid = seen.encoding.grid
    sizes = torch.bincount(grid.level).tolist()
    assert sizes[0] == 224
    assert 48 <= sizes[1] <= 56
    assert 12 <= sizes[2] <= 16
    assert (grid.rows, grid.cols) == (14, 16)
    assert seen.full_patches == 4 * 224
    assert first.cost.encoder_patches == 4 * sum(sizes)
    assert first.cost.encoder_passes == pytest.approx(sum(sizes) / 224)
    assert second.cost.encoder_patches == 0
    alone = engine.encode([engine.prepare(picture, 56)])[0]
    assert torch.equal(seen.encoding.tokens[224 : 224 + sizes[1]], alone.tokens)
    # A coarse token stands at the floor of its centre.
    assert torch.equal(grid.row, (grid.centre_uv[:, 1] * 14).floor().long())
    assert torch.equal(grid.col, (grid.centre_uv[:, 0] * 16).floor().long())


def test_a_look_spreads_over_the_levels_on_one_canvas(engine: HFEngine, picture: Picture) -> None:
    seen, (trace, _), reader = look_at(engine, picture, levels=3, sampler="pyramid", fixations=2)
    level = seen.encoding.grid.level
    first = torch.bincount(level[trace.steps[0].selection.index], minlength=3).tolist()
    assert sum(first) == 20
    assert first == [4, 7, 9]  # 2 : 3 : 4 of 20 is 4.44, 6.67, 8.89
    assert len(torch.cat([step.selection.index for step in trace.steps]).unique()) == 40
    canvas = reader.canvases[1]
    assert (canvas.rows, canvas.cols, len(canvas)) == (14, 16, 40)


def test_one_level_changes_nothing(engine: HFEngine, picture: Picture) -> None:
    plain, one = Episode(**SMALL), Episode(**SMALL, levels=1)  # type: ignore[arg-type]
    seen = see(one, engine, picture, ASKED)
    whole = engine.encode([engine.prepare(picture)])[0]
    assert torch.equal(seen.encoding.tokens, whole.tokens)
    assert seen.encoding.fingerprint == whole.fingerprint
    assert Part.of(seen.encoding).key == Part.of(whole).key
    assert plain == one


def test_a_view_and_a_tiny_page_have_no_more_levels(engine: HFEngine, picture: Picture) -> None:
    for view in ("full", "resize"):
        seen, _, _ = look_at(engine, picture, levels=4, sampler=view)
        assert int(seen.encoding.grid.level.max()) == 0
    dot = Picture.open(tiny.page(28, 28))
    assert torch.bincount(look_at(engine, dot, levels=4)[0].encoding.grid.level).tolist()[1:] in ([], [1])


def test_the_glimpse_stays_beside_the_levels(engine: HFEngine, picture: Picture) -> None:
    seen, _, reader = look_at(engine, picture, levels=2, glimpse=16)
    assert seen.glimpse is not None
    assert len(seen.glimpse) == 16
    assert [len(canvas) for canvas in reader.canvases[:2]] == [16, 16 + 20]
    assert seen.encoder_patches == 4 * (len(seen.encoding) + 16)


def test_the_model_answers_from_several_levels(engine: HFEngine, picture: Picture) -> None:
    """The real reader takes fine and coarse tokens that share a cell."""
    chosen = Episode(**{**SMALL, "levels": 3, "sampler": "pyramid", "fixations": 2})  # type: ignore[arg-type]
    (trace,) = run(episodes(chosen, see(chosen, engine, picture, ASKED[:1])), engine)
    assert isinstance(trace, Trace)
    assert trace.cost.visual_tok == 40
    view = TraceView.from_trace(trace, see(chosen, engine, picture, ASKED[:1]).encoding.grid)
    assert len(view.kept) == 40 and all(0 <= cell < view.num_cells for cell, _ in view.kept)


@pytest.mark.parametrize("canvas", ["private", "shared"])
@pytest.mark.parametrize("planner", names("planners"))
def test_every_planner_looks_over_levels(engine: HFEngine, picture: Picture, planner: str, canvas: str) -> None:
    _, found, _ = look_at(engine, picture, levels=3, planner=planner, canvas=canvas, fixations=3)
    assert all(len(trace.steps) == 3 for trace in found)


@pytest.mark.parametrize("name", names("samplers"))
@pytest.mark.parametrize("keep", [1, 13, 60, 84, 200])
def test_every_sampler_takes_levels(name: str, keep: int) -> None:
    scene = Scene.of([pyramid_item(8, 8), pyramid_item(5, 6, levels=2)])
    importance, sampler = importance_of(84, 36), find("samplers", name, Sampler)()
    found: list[Selection] = sampler(scene, importance, torch.full((2, 2), 0.4), keep)
    assert [len(selection) for selection in found] == [min(keep, 84), min(keep, 36)]
    assert all(int(selection.index.max()) < size for selection, size in zip(found, (84, 36), strict=True))


@pytest.mark.parametrize("name", names("importance"))
def test_every_scorer_scores_levels(name: str) -> None:
    scene = Scene.of([pyramid_item(8, 8), pyramid_item(5, 6, levels=2)])
    scores = default_strategy("importance", name)(replace(scene, attention=scene.received))  # type: ignore[operator]
    assert scores.shape == (2, 84)
    assert not scores.isnan().any()
    assert (scores[1, 36:] == 0).all()


@pytest.mark.parametrize("name", names("importance"))
def test_scoring_levels_does_not_spoil_the_page_alone(name: str) -> None:
    """What a scorer keeps of a picture (maps of its pixels) must not be taken for another stack of the same picture."""
    score = default_strategy("importance", name)
    picture, both, query = pyramid_item(8, 8, levels=2)
    _, three, _ = pyramid_item(8, 8, levels=3)
    for encoding in (both, three):
        scene = Scene.of([(picture, encoding, query)])
        found = score(replace(scene, attention=scene.received))  # type: ignore[operator]
        assert found.shape == (1, len(encoding))


@pytest.mark.parametrize("name", names("budgets"))
def test_every_budget_takes_levels(name: str) -> None:
    budget = default_strategy("budgets", name)
    scene = Scene.of([pyramid_item(8, 8), pyramid_item(5, 6, levels=2)])
    assert isinstance(budget, Budget)
    assert len(budget(scene)) == 2
    shares = budget.shares(scene)
    if shares is not None:
        assert shares.shape == (2, 3)
        assert torch.allclose(shares.sum(-1), torch.ones(2))
        assert (shares >= 0).all()


def test_levels_cross_processes_and_are_stored_and_drawn(engine: HFEngine, picture: Picture) -> None:
    chosen = Episode(**SMALL, levels=3, sampler="pyramid", fixations=2)  # type: ignore[arg-type]
    seen = see(chosen, engine, picture, ASKED[:1])
    again = replace(thaw(freeze(replace(seen, picture=None))), picture=picture)  # type: ignore[arg-type]
    assert torch.equal(again.encoding.grid.level, seen.encoding.grid.level)
    assert Part.of(again.encoding).key == Part.of(seen.encoding).key
    (trace,) = run(episodes(chosen, again), Quiet())
    assert isinstance(trace, Trace)
    made = scored_rows("image", seen, ASKED[:1], [trace], chosen)
    (row,) = table(made, None).to_pylist()
    view = TraceView.from_row(row)
    assert view == replace(
        TraceView.from_trace(trace, seen.encoding.grid), confidence=view.confidence, looks=view.looks
    )
    assert [look.num_tok for look in view.looks] == [20, 20]
    grid = seen.encoding.grid
    for look, step, stored in zip(view.looks, trace.steps, row["fixations"], strict=True):
        assert stored["levels"] == grid.level[step.selection.index].tolist() and set(stored["levels"]) == {0, 1, 2}
        assert look.tokens == tuple(zip(stored["kept"], stored["levels"], strict=True))
    sizes = [224, *(size["rows"] * size["cols"] for size in row["grid"]["levels"])]
    assert sizes == torch.bincount(grid.level).tolist() and view.num_tok == len(grid)
    assert spent(view) == f"40 of {len(grid)} tokens ({100 * 40 / len(grid):.0f} %)"
    # A cell is shown if its centre lies under a token that was kept, whatever its level.
    shown = torch.cat([step.selection.index for step in trace.steps])
    low, high = grid.centre_uv - grid.extent_uv / 2, grid.centre_uv + grid.extent_uv / 2
    centre = grid.centre_uv[grid.level == 0] + 1e-5  # on the border between two tokens: of the second
    under = ((low[shown, None] < centre) & (centre < high[shown, None])).all(-1).any(0)
    assert (view.owners().ravel() >= 0).tolist() == under.tolist()
    importance = torch.rand(len(seen.encoding))
    assert draw_trace(picture, seen.encoding.grid, trace, importance) is not None


def test_a_learned_budget_reaches_the_sampler(engine: HFEngine, picture: Picture) -> None:
    """What a budget wishes for the levels is what a look takes of them."""
    for name, shares in (("difficulty", [0.25, 0.30, 0.25]), ("allocator", [0.1, 0.2, 0.3])):
        budget = {"name": name, "tokens": 20}
        seen, (trace, _), _ = look_at(engine, picture, levels=3, sampler="pyramid", fixations=1, budget=budget)
        level = seen.encoding.grid.level
        room = torch.bincount(level).unsqueeze(0)
        taken = torch.bincount(level[trace.steps[0].selection.index], minlength=3).tolist()
        assert taken == counts(torch.tensor([shares]), 20, room)[0].tolist()


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained pyramid of three levels: it darkens."""
    folder, pyramid = tmp_path_factory.mktemp("filters"), LearnedPyramid(3)
    with torch.no_grad():
        for change in pyramid.change:
            change[[0, 1, 2], [0, 1, 2], 2, 2] = -0.25
    save(pyramid, folder)
    return folder


def test_coarser_levels_are_those_of_a_trained_pyramid(engine: HFEngine, picture: Picture, filters: Path) -> None:
    plain, (before, _), _ = look_at(engine, picture, levels=3, sampler="pyramid")
    seen, (after, _), _ = look_at(engine, picture, levels=3, sampler="pyramid", pyramid=str(filters))
    assert torch.equal(seen.grid.level, plain.grid.level) and torch.equal(seen.grid.centre_uv, plain.grid.centre_uv)
    fine = seen.grid.level == 0
    assert torch.equal(seen.encoding.tokens[fine], plain.encoding.tokens[fine]), "the page itself is as it was"
    encoding = plain.encoding
    finest = resized(picture.rgb, encoding.grid.cols * 28, encoding.grid.rows * 28)
    levels = LearnedPyramid(3)
    levels.load_state_dict(load(LearnedPyramid, filters).state_dict())
    pixels = levels(torch.from_numpy(finest).permute(2, 0, 1)[None] / 255)
    for level in (1, 2):
        here = plain.grid.level == level
        one = plain.grid.some(here.nonzero().flatten())
        rows, cols = (int(round(1 / float(one.extent_uv[0, axis]))) for axis in (1, 0))
        shown = (pixels[level][0].permute(1, 2, 0) * 255).round().clamp(0, 255).byte().numpy()
        alone = engine.encode([engine.prepare(Picture.open(resized(shown, cols * 28, rows * 28)))])[0]
        assert torch.equal(seen.encoding.tokens[here], alone.tokens)
        assert not torch.equal(seen.encoding.tokens[here], plain.encoding.tokens[here])
    assert (
        seen.encoding.fingerprint != encoding.fingerprint and after.cost.encoder_patches == before.cost.encoder_patches
    )


def test_a_pyramid_with_fewer_levels_than_looks_ask_for_is_refused(filters: Path) -> None:
    with pytest.raises(ConfigError, match="has 3 levels, and --levels is 4"):
        Episode(levels=4, sampler="pyramid", pyramid=str(filters))
    with pytest.raises(ConfigError, match="holds no LearnedPyramid"):
        Episode(levels=2, sampler="pyramid", pyramid=str(filters / "nothing"))
