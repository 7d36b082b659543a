"""The episode: what it asks for, when it stops, what it costs. The reader is scripted, the encoder real and tiny."""

import asyncio
from collections.abc import Callable, Generator
from dataclasses import replace

import numpy as np
import pytest
import torch

from saccade.api import Eye
from saccade.config import Episode
from saccade.datasets.synthdoc import render
from saccade.engines import Reader
from saccade.engines.hf import HFEngine
from saccade.episode import AGAIN, GLIMPSE, REST, Ask, arun, episodes, run, see
from saccade.errors import ConfigError, DataError, EngineDead, EngineError, QuestionError, SaccadeError, describe
from saccade.geometry.grid import gaze_at
from saccade.geometry.print_size import legible_tok
from saccade.picture import Picture
from saccade.planners import Planner, Score
from saccade.registry import find, names
from saccade.samplers import Sampler
from saccade.seen import Seen
from saccade.types import Answer, Canvas, Gaze, Question, Scene, Step, Trace
from tests import tiny
from tests.helpers import item, replay

ASKED = [Question("a", "What is the total?"), Question("b", "Who signed?"), Question("c", "When?")]


class Script(Reader):
    """A reader whose confidence is a function of (question, tokens in view). Remembers what it was asked."""

    together = 8

    def __init__(self, confidence: Callable[[str, int], float] = lambda question, tok: 0.1) -> None:
        self.confidence = confidence
        self.asked: list[tuple[str, Canvas]] = []

    def read(self, canvas: Canvas, question: str) -> Answer:
        self.asked.append((question, canvas))
        return Answer(f"{len(canvas)} seen", (-1.0,), self.confidence(question, len(canvas)), len(canvas), 3, 5, 0.01)

    def forget(self) -> None:
        """There is nothing."""


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture.open(tiny.page(440, 400))  # 16 x 14 = 224 tokens


def outcomes(
    engine: HFEngine, picture: Picture, reader: Script, questions: list[Question] = ASKED, **settings: object
) -> list[Trace | SaccadeError]:
    chosen = Episode(**{"budget": {"name": "fixed", "tokens": 20}, "scorer": "variance", **settings})
    seen = see(chosen, engine, picture, questions)
    return run(episodes(chosen, seen), reader)


def traces(*args: object, **kwargs: object) -> list[Trace]:
    made = outcomes(*args, **kwargs)  # type: ignore[arg-type]
    assert all(isinstance(item, Trace) for item in made), made
    return made  # type: ignore[return-value]


def test_fixations_add_tokens_that_no_earlier_one_showed(engine: HFEngine, picture: Picture) -> None:
    reader = Script()
    (trace,) = traces(engine, picture, reader, ASKED[:1], fixations=4)
    shown = torch.cat([step.selection.index for step in trace.steps])
    assert [len(step.selection) for step in trace.steps] == [20] * 4
    assert len(shown.unique()) == 80
    assert [len(canvas) for _, canvas in reader.asked] == [20, 40, 60, 80]
    for (_, earlier), (_, later) in zip(reader.asked, reader.asked[1:], strict=False):
        assert later.parts[: len(earlier.parts)] == earlier.parts, "a canvas only grows at its end"
    assert trace.cost.visual_tok == 80
    assert trace.cost.prefill_tok == 4 * 5
    assert trace.answer.text == "80 seen"


def test_it_stops_when_sure(engine: HFEngine, picture: Picture) -> None:
    reader = Script(lambda question, tok: 0.9 if tok >= 40 else 0.2)
    (trace,) = traces(engine, picture, reader, ASKED[:1], fixations=5, stop_at=0.8)
    assert len(trace.steps) == 2
    (trace,) = traces(engine, picture, reader, ASKED[:1], fixations=5, stop_at=1.1)
    assert len(trace.steps) == 5, "above 1 means never"


def test_it_stops_when_everything_is_shown(engine: HFEngine, picture: Picture) -> None:
    reader = Script()
    (trace,) = traces(
        engine, picture, reader, ASKED[:1], fixations=9, budget={"name": "fixed", "tokens": 100}, stop_at=2
    )
    assert [len(step.selection) for step in trace.steps] == [100, 100, 24]
    assert len(reader.asked) == 3


def test_private_canvases_know_nothing_of_each_other(engine: HFEngine, picture: Picture) -> None:
    made = traces(engine, picture, Script(), fixations=2)
    alone = [traces(engine, picture, Script(), [question], fixations=2)[0] for question in ASKED]
    for together, single in zip(made, alone, strict=True):
        assert [s.selection.index.tolist() for s in together.steps] == [
            s.selection.index.tolist() for s in single.steps
        ]


def test_the_encoder_is_charged_once(engine: HFEngine, picture: Picture) -> None:
    made = traces(engine, picture, Script(), glimpse=16)
    assert [trace.cost.encoder_patches for trace in made] == [4 * (224 + 16), 0, 0]
    assert made[0].cost.encoder_passes == pytest.approx((224 + 16) / 224)
    assert [trace.cost.seconds["encode"] > 0 for trace in made] == [True, False, False]


def test_the_glimpse_opens_every_canvas(engine: HFEngine, picture: Picture) -> None:
    reader = Script()
    traces(engine, picture, reader, glimpse=16, fixations=1)
    first = {canvas.parts[0].key for _, canvas in reader.asked}
    assert len(first) == 1
    assert [len(canvas) for _, canvas in reader.asked] == [16, 16, 16, 36, 36, 36], "all read it before one looks"
    part = reader.asked[0][1].parts[0]
    # 16 coarse tokens of a 4 x 4 grid stand at the floor of their centres on the 14 x 16 canvas.
    assert sorted(set(part.row.tolist())) == [int((i + 0.5) * 14 / 4) for i in range(4)]
    assert sorted(set(part.col.tolist())) == [int((i + 0.5) * 16 / 4) for i in range(4)]


def test_a_shared_canvas_is_a_capped_union(engine: HFEngine, picture: Picture) -> None:
    reader = Script()
    made = traces(engine, picture, reader, canvas="shared", canvas_cap=110, fixations=3)
    # Round robin: a b c a b fill 100, the sixth look gets the last 10, then everyone reads the whole union.
    looks = [question for question, _ in reader.asked]
    assert looks == [q.text for q in (ASKED * 2)] + [ASKED[0].text, ASKED[1].text]
    assert [len(canvas) for _, canvas in reader.asked] == [20, 40, 60, 80, 100, 110, 110, 110]
    assert {trace.answer.text for trace in made} == {"110 seen"}
    shown = [i for trace in made for step in trace.steps for i in step.selection.index.tolist()]
    assert len(shown) == len(set(shown)) == 110


def test_a_full_shared_canvas_is_still_read(engine: HFEngine, picture: Picture) -> None:
    made = traces(engine, picture, Script(), canvas="shared", canvas_cap=20, fixations=1)
    assert [len(trace.steps[0].selection) for trace in made] == [20, 0, 0]
    assert {trace.answer.visual_tok for trace in made} == {20}


def test_what_an_answer_was_read_from_is_known(engine: HFEngine, picture: Picture) -> None:
    """Sure at once: never read again, so what others add to the shared canvas later is not what it saw."""
    reader = Script(lambda question, tok: 1.0 if question == ASKED[1].text else 0.1)
    made = traces(engine, picture, reader, canvas="shared", canvas_cap=110, fixations=3)
    assert [int(trace.shown.sum()) for trace in made] == [trace.answer.visual_tok for trace in made]
    first, sure, third = (trace.shown for trace in made)
    assert int(sure.sum()) == 40 < int(first.sum()) == int(third.sum())
    assert not (sure & ~first).any()


@pytest.mark.parametrize("view", ["full", "resize"])
def test_a_cap_on_shared_canvases_does_not_crop_a_view(engine: HFEngine, picture: Picture, view: str) -> None:
    private, shared = (
        traces(engine, picture, Script(), sampler=view, canvas=canvas, canvas_cap=30, fixations=3)
        for canvas in ("private", "shared")
    )
    assert [t.cost.visual_tok for t in shared] == [t.cost.visual_tok for t in private]
    assert shared[0].cost.visual_tok > 30


@pytest.mark.parametrize("view", ["full", "resize", "random", "uniform"])
def test_one_look_spends_the_whole_budget(engine: HFEngine, picture: Picture, view: str) -> None:
    made = traces(engine, picture, Script(), sampler=view, fixations=3)
    for trace in made:
        assert len(trace.steps) == 1
        tok = trace.cost.visual_tok
        assert tok == 224 if view == "full" else tok == 60 if view != "resize" else 50 <= tok <= 60


def test_a_failed_read_costs_one_question(engine: HFEngine, picture: Picture) -> None:
    class Failing(Script):
        def read(self, canvas: Canvas, question: str) -> Answer:
            if question == ASKED[1].text:
                raise EngineError("boom")
            return super().read(canvas, question)

    for canvas in ("private", "shared"):
        made = outcomes(engine, picture, Failing(), canvas=canvas, fixations=2)
        assert [type(item) for item in made] == [Trace, EngineError, Trace]


def test_a_bad_question_costs_one_question(engine: HFEngine, picture: Picture) -> None:
    for canvas in ("private", "shared"):
        made = outcomes(engine, picture, Script(), [ASKED[0], Question("x", " "), ASKED[2]], canvas=canvas)
        assert [type(item) for item in made] == [Trace, QuestionError, Trace]


def test_a_question_with_a_wrong_field_is_not_asked(engine: HFEngine, picture: Picture) -> None:
    reader = Script()
    wrong = Question("x", "What?", error="DataError: answers[1] = 5 (int) must be text")
    made = outcomes(engine, picture, reader, [ASKED[0], wrong])
    assert [type(item) for item in made] == [Trace, DataError]
    assert describe(made[1]) == wrong.error  # type: ignore[arg-type]
    assert "What?" not in [question for question, _ in reader.asked]


def test_a_dead_engine_is_not_an_answer(engine: HFEngine, picture: Picture) -> None:
    class Dead(Script):
        def read(self, canvas: Canvas, question: str) -> Answer:
            raise EngineDead("gone")

    with pytest.raises(EngineDead):
        outcomes(engine, picture, Dead())


def test_both_drivers_give_the_same(engine: HFEngine, picture: Picture) -> None:
    chosen = Episode(budget={"name": "fixed", "tokens": 20}, scorer="variance", canvas="shared", canvas_cap=110)

    async def read(ask: Ask) -> Answer:
        await asyncio.sleep(0)
        return Script().read(ask.canvas, ask.question)

    seen = see(chosen, engine, picture, ASKED)
    (one,), (two,) = episodes(chosen, seen), episodes(chosen, seen)
    left, right = run([one], Script()), asyncio.run(arun(two, read))
    for a, b in zip(left, right, strict=True):
        assert isinstance(a, Trace)
        assert isinstance(b, Trace)
        assert [s.gaze.uv for s in a.steps] == [s.gaze.uv for s in b.steps]
        assert a.answer.text == b.answer.text


@pytest.mark.parametrize("planner", ["query", "uncertainty", "saliency"])
def test_replaying_a_trace_gives_its_gazes(engine: HFEngine, picture: Picture, planner: str) -> None:
    chosen = Episode(budget={"name": "fixed", "tokens": 20}, planner=planner, fixations=4, stop_at=2)
    seen = see(chosen, engine, picture, ASKED[:1])
    (trace,) = run(episodes(chosen, seen), Script())
    assert isinstance(trace, Trace)
    scene = Scene.of([(picture, seen.encoding, seen.asked[0][1])])  # type: ignore[list-item]
    again = replay(chosen.strategies.planner, scene, chosen.strategies.score, trace.steps)
    assert [gaze.uv for gaze in again] == [step.gaze.uv for step in trace.steps]
    assert len({gaze.uv for gaze in again}) == 4, "inhibition of return"


def test_the_eye(engine: HFEngine, picture: Picture) -> None:
    eye = Eye(engine, Episode(budget={"name": "fixed", "tokens": 20}, fixations=2, stop_at=2))
    trace = eye.look(picture, "What is the total?")
    assert trace.answer.visual_tok == 40
    many = eye.look_many(picture.rgb, ["What is the total?", "Who?"], fixations=1)
    assert [len(item.steps) for item in many] == [1, 1]
    with pytest.raises(QuestionError, match="look_many takes several"):
        eye.look(picture, ["Who?", "When?"])  # type: ignore[arg-type]
    with pytest.raises(QuestionError, match="look takes one"):
        eye.look_many(picture, "Who?")
    with pytest.raises(QuestionError):
        eye.look_many(picture, ["Who?", ""])


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"sampler": "hybird"}, r"no sampler named 'hybird'. Did you mean 'hybrid'\? In saccade/samplers/: .*hybrid"),
        ({"sampler": {"name": "hybrid", "ratoi": 0.5}}, "ratoi"),
        ({"scorer": "query:-1"}, "weight must be a positive number"),
        ({"sampler": "resize", "print_px": 8}, "leave one out"),
        ({"planner": "nowhere"}, "no planner named 'nowhere'"),
        ({"canvas": "shared", "glimpse": 2000}, "leaves nothing of a canvas capped at 1638"),
    ],
)
def test_wrong_settings_fail_before_anything_is_loaded(settings: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Episode(**settings)


@pytest.fixture(scope="module")
def printed() -> Picture:
    """A page of large letters."""
    page = render(9, 0, 512, x_height_px=16.0)
    return Picture.open(np.repeat(page.image[..., None], 3, axis=-1))


def test_a_page_is_shrunk_until_its_print_is_as_high_as_asked(engine: HFEngine, printed: Picture) -> None:
    as_it_is, shrunk = (traces(engine, printed, Script(), sampler="full", print_px=px)[0] for px in (0, 8))
    whole = engine.family.whole_grid(printed)
    assert as_it_is.cost.visual_tok == len(whole) and as_it_is.cost.encoder_passes == 1
    tokens = legible_tok(printed.rgb, whole, 8)
    assert tokens is not None and 0.9 * tokens < shrunk.cost.visual_tok <= tokens < 0.5 * len(whole)
    assert shrunk.cost.encoder_passes == pytest.approx(shrunk.cost.visual_tok / len(whole)), "of the page as it is"
    looked = traces(engine, printed, Script(), sampler="topk", print_px=8, fixations=2)[0]
    assert looked.cost.encoder_passes == shrunk.cost.encoder_passes, "looks choose among the tokens of the shrunk page"


def test_ink_is_shown_as_large_as_the_checkpoint_reads_best(
    engine: HFEngine, printed: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tokens(**settings: object) -> int:
        return traces(engine, printed, Script(), **settings)[0].cost.visual_tok

    unknown = {view: tokens(sampler=view) for view in ("ink", "full", "topk")}
    monkeypatch.setattr(engine.family, "print_px", 8.0)
    assert (
        tokens(sampler="ink")
        == tokens(sampler="ink", print_px=8.0)
        < unknown["ink"]
        == tokens(sampler="ink", print_px=0)
    )
    assert (tokens(sampler="full"), tokens(sampler="topk")) == (unknown["full"], unknown["topk"]), "only ink follows it"
    assert tokens(effort="low", sampler="ink") == tokens(sampler="ink", print_px=7.0)


def test_who_is_sure_of_the_glimpse_never_looks_and_pays_for_nothing_else(engine: HFEngine, picture: Picture) -> None:
    sure = Script(lambda question, tok: 0.9)
    made = traces(engine, picture, sure, glimpse=16)
    assert [len(canvas) for _, canvas in sure.asked] == [16, 16, 16]
    assert all([step.gaze.reason for step in trace.steps] == [GLIMPSE] for trace in made)
    assert all(not trace.shown.any() and trace.cost.visual_tok == 16 for trace in made)
    patches = [trace.cost.encoder_patches for trace in made]
    assert patches == [16 * 4, 0, 0], "the page itself was never encoded"


def test_the_page_is_encoded_when_the_first_question_looks(engine: HFEngine, picture: Picture) -> None:
    """One of three is unsure of the glimpse: it looks, and the first that ends after the page was encoded pays."""
    reader = Script(lambda question, tok: 0.1 if question == ASKED[1].text and tok == 16 else 0.9)
    chosen = Episode(budget={"name": "fixed", "tokens": 20}, scorer="variance", glimpse=16)
    seen = see(chosen, engine, picture, ASKED)
    assert seen.encoder_patches == 16 * 4, "so far"
    made = run(episodes(chosen, seen), reader)
    assert [len(trace.steps) for trace in made] == [1, 2, 1]  # type: ignore[union-attr]
    assert sum(trace.cost.encoder_patches for trace in made) == seen.encoder_patches == (16 + 224) * 4  # type: ignore[union-attr]
    assert seen.bill() == (0, 0.0)


@pytest.mark.parametrize("canvas", ["private", "shared"])
def test_the_rest_is_shown_to_who_is_unsure_after_its_looks(engine: HFEngine, picture: Picture, canvas: str) -> None:
    reader = Script()
    made = traces(engine, picture, reader, rest="all", fixations=1, canvas=canvas, canvas_cap=1000, questions=ASKED[:1])
    assert [step.gaze.reason for step in made[0].steps][1:] == [REST]
    assert [len(step.selection) for step in made[0].steps] == [20, 224 - 20] and made[0].shown.all()
    sure = traces(engine, picture, Script(lambda question, tok: 0.9), rest="all", fixations=1)
    assert all(len(trace.steps) == 1 for trace in sure)


def test_a_glimpse_and_then_everything(engine: HFEngine, picture: Picture) -> None:
    """No looks at all: the small page first, and the whole of it for who is unsure."""
    reader = Script(lambda question, tok: 0.9 if question == ASKED[0].text else 0.1)
    made = traces(engine, picture, reader, fixations=0, glimpse=16, rest="all")
    assert [[step.gaze.reason for step in trace.steps] for trace in made] == [[GLIMPSE], *[[GLIMPSE, REST]] * 2]
    keys = {canvas.parts[1].key for _, canvas in reader.asked if len(canvas.parts) > 1}
    assert len(keys) == 1, "all of them are shown the same"
    with pytest.raises(ConfigError, match="nothing to read"):
        Episode(fixations=0)


def again(engine: HFEngine, printed: Picture, reader: Script, **settings: object) -> list[Trace]:
    return traces(engine, printed, reader, print_px=8, reread=1.5, **settings)


@pytest.mark.parametrize("better", [True, False])
def test_who_is_unsure_in_the_end_is_shown_the_page_again_and_the_surer_answer_counts(
    engine: HFEngine, printed: Picture, better: bool
) -> None:
    whole = engine.family.whole_grid(printed)
    small = legible_tok(printed.rgb, whole, 8)
    assert small is not None
    second = {True: 0.6, False: 0.2}[better]
    sure = ASKED[0].text
    reader = Script(lambda question, tok: 0.9 if question == sure else 0.4 if tok <= small else second)
    first, *others = again(engine, printed, reader, sampler="full")
    assert len(first.steps) == 1 and first.cost.visual_tok <= small
    sizes = [len(canvas) for question, canvas in reader.asked if question != sure]
    assert sizes[2:] == sizes[3:] * 2 and small < sizes[3] <= int(1.5**2 * small), (
        "one read of each canvas per question"
    )
    for trace in others:
        assert [step.gaze.reason for step in trace.steps] == ["view: full", AGAIN]
        assert trace.answer.text == f"{sizes[3] if better else sizes[0]} seen"
        assert trace.cost.visual_tok == sizes[0] + sizes[3] and trace.cost.prefill_tok == 2 * 5, "both reads are paid"
    paid = sum(trace.cost.encoder_patches for trace in (first, *others))
    assert paid == 4 * (sizes[0] + sizes[3]), "each size is encoded once for all questions"


def test_the_page_again_is_one_canvas_at_its_own_size(engine: HFEngine, printed: Picture) -> None:
    """After looks it is all ink of the page as it is; the same page again is never read twice."""
    reader = Script()
    (looked, *_) = traces(engine, printed, reader, sampler="topk", fixations=1, reread=1.0)
    last = reader.asked[-1][1]
    assert len(last.parts) == 1 and len(last) < len(engine.family.whole_grid(printed)), "no blank cells"
    assert [step.gaze.reason for step in looked.steps][1:] == [AGAIN]
    assert looked.shown.sum() == 20, "what looks have shown"
    for view in ("ink", "full"):
        (once, *_) = traces(engine, printed, Script(), sampler=view, reread=1.5)
        assert len(once.steps) == 1, "it was as large as it is already"
    roomy = {"name": "fixed", "tokens": 5000}  # more than the page has
    (once, *_) = traces(engine, printed, Script(), sampler="resize", budget=roomy, reread=1.5)
    assert len(once.steps) == 1
    small = Script()
    traces(engine, printed, small, sampler="full", reread=0.5, questions=ASKED[:1])
    assert 0.2 < len(small.asked[1][1]) / len(small.asked[0][1]) <= 0.25


def test_cells_attended_to_on_the_page_again_are_told_where_they_lie_on_the_page(
    engine: HFEngine, printed: Picture
) -> None:
    class Attentive(Script):
        def read(self, canvas: Canvas, question: str) -> Answer:
            corner = canvas.rows * canvas.cols - 1
            said = super().read(canvas, question)
            return replace(said, confidence=len(canvas) / 1e4, attended=((0, 0.25), (corner, 0.75)))

    (trace, *_) = again(engine, printed, Attentive(), sampler="full", questions=ASKED[:1])
    assert trace.steps[-1].answer is trace.answer
    cells = dict(trace.answer.attended)
    grid = see(Episode(sampler="full", print_px=8), engine, printed, ASKED[:1]).grid
    corners = {0: 0.25, grid.rows * grid.cols - 1: 0.75}
    assert cells == corners


def test_an_error_on_the_page_again_costs_that_question_only(engine: HFEngine, printed: Picture) -> None:
    class Failing(Script):
        def read(self, canvas: Canvas, question: str) -> Answer:
            said = super().read(canvas, question)
            if question == ASKED[1].text and len([q for q, _ in self.asked if q == question]) == 2:
                raise EngineError("out of memory")
            return said

    made = outcomes(engine, printed, Failing(), sampler="full", print_px=8, reread=1.5)
    assert [isinstance(each, EngineError) for each in made] == [False, True, False]


def test_the_surest_of_glimpse_and_looks_is_chosen(engine: HFEngine, picture: Picture) -> None:
    reader = Script(lambda question, tok: 0.5 if tok == 16 else 0.3)
    (first, *_) = traces(engine, picture, reader, glimpse=16, fixations=2, integrate="confident")
    assert first.answer.text == "16 seen" and first.cost.visual_tok == 56


@pytest.mark.parametrize("sampler", [name for name in names("samplers") if not find("samplers", name, Sampler).blind])
def test_a_look_depends_on_its_gaze(sampler: str) -> None:
    """4,096 tokens, gazes in opposite corners: with a fovea every sampler keeps other tokens; hardly any without."""
    picture, encoding, query = item(64, 64, seed=5)
    kept = {}
    for fovea in (0.0, 3.0):
        for corner in (0, 4095):
            planner = {"name": "tests.test_episode", "at": corner}
            chosen = Episode(sampler=sampler, planner=planner, scorer="variance", fovea=fovea)
            seen = Seen(picture, encoding, None, ((ASKED[0], query),), encoding.num_patches, 0.0, picture.size_px)
            (trace,) = run(episodes(chosen.with_settings(fixations=1), seen), Script())
            assert isinstance(trace, Trace)
            kept[fovea, corner] = set(trace.steps[0].selection.index.tolist())
            assert len(kept[fovea, corner]) >= 100, "one per slot at least"
    near, far = kept[3.0, 0], kept[3.0, 4095]
    assert len(near & far) / len(near) < 0.2
    assert len(kept[0.0, 0] & kept[0.0, 4095]) / 273 > len(near & far) / 273 or sampler == "cortical"


class Corner(Planner):
    """Looks at one token, always."""

    at: int = 0

    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        while True:
            yield gaze_at(scene.grids[0], self.at, "corner", 1.0)


def test_who_is_sure_of_what_others_have_shown_is_not_shown_the_page_again(engine: HFEngine, printed: Picture) -> None:
    reader = Script(lambda question, tok: 0.95 if tok == 40 else 0.5)
    made = traces(
        engine, printed, reader, sampler="topk", canvas="shared", fixations=1, reread=1.5, stop_at=0.9,
        questions=ASKED[:2],
    )  # fmt: skip
    assert [trace.answer.confidence for trace in made] == [0.95, 0.95]
    assert all(step.gaze.reason != AGAIN for trace in made for step in trace.steps)
