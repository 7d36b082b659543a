"""What a question attends to: against transformers' own attention matrices, and through an episode."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.runs.config import RunConfig
from pipelines.runs.experiment import Experiment
from saccade import api
from saccade.api import Eye
from saccade.config import Episode
from saccade.engines._attention import attention_of_last
from saccade.engines.hf import HF, HFEngine
from saccade.engines.vllm import VLLM
from saccade.episode import episodes, run, see
from saccade.errors import ConfigError, EngineError, QuestionError
from saccade.geometry.grid import coarse_on
from saccade.geometry.neighbours import covering
from saccade.importance.attention import Attention
from saccade.picture import Picture
from saccade.queries import embed_questions
from saccade.types import Canvas, Encoding, Heard, Part, Query, Question, Scene, Selection, Trace
from tests import tiny
from tests.helpers import item

FAMILIES = ["qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava"]
LOOKS = {"scorer": "attention", "sampler": "topk", "glimpse": 16, "budget": {"name": "fixed", "tokens": 20}}


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture.open(tiny.page(440, 400))  # 16 x 14 = 224 tokens


@pytest.fixture(params=FAMILIES)
def family_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with HF(model=str(getattr(tiny, request.param)(tmp_path)), max_new_tok=2).open() as opened:
        yield opened


def by_transformers(engine: HFEngine, canvas: Canvas, question: str, layer: int) -> torch.Tensor:
    """The same from the attention matrices that transformers gives with its eager attention, in one pass."""
    family, inner = engine.family, engine.family.language_model
    prefix, suffix = family.prompt(question)
    before, parts, after = family.positions(canvas, len(prefix), len(suffix))
    text = [family.embed(torch.tensor(ids)) for ids in (prefix, suffix)]
    wide = torch.cat([part.wide for part in canvas.parts])
    tokens, *levels = wide.split(text[0].shape[-1], dim=-1)
    embeds = torch.cat([text[0], tokens, text[1]])[None]
    places = torch.cat([before, *parts, after], 1)
    more: dict[str, Any] = {}
    if levels:
        mask = torch.zeros(1, embeds.shape[1], dtype=torch.bool)
        mask[:, len(prefix) : len(prefix) + len(canvas)] = True
        more = {"visual_pos_masks": mask, "deepstack_visual_embeds": levels}
    used = inner.config._attn_implementation
    inner.set_attn_implementation("eager")
    try:
        with torch.no_grad():
            out = inner(
                inputs_embeds=embeds,
                position_ids=places[:, None] if len(places) > 1 else places,
                output_attentions=True,
                attention_mask=torch.ones(1, embeds.shape[1], dtype=torch.int64),  # one sequence
                use_cache=False,
                **more,
            )
    finally:
        inner.set_attn_implementation(used)
    asking = out.attentions[layer][0, :, -len(suffix) :].mean((0, 1))  # (heads, T, L)
    return asking[len(prefix) : len(prefix) + len(canvas)]


@pytest.mark.parametrize("layer", [None, 0, 2])
def test_attention_is_transformers_own(family_engine: HFEngine, picture: Picture, layer: int | None) -> None:
    encoding = family_engine.encode([family_engine.prepare(picture, 40)])[0]
    order = torch.randperm(len(encoding), generator=torch.Generator().manual_seed(0))
    grown = [Part.of(encoding, Selection.keep(index, len(encoding))) for index in (order[:9], order[9:20])]
    canvas = Canvas(encoding.grid.rows, encoding.grid.cols, tuple(grown))
    heard = family_engine.attention(canvas, "total?", layer)
    expected = by_transformers(family_engine, canvas, "total?", 1 if layer is None else layer)
    assert heard.attention.shape == (20,)
    torch.testing.assert_close(heard.attention, expected, rtol=1e-3, atol=1e-6)
    other = family_engine.attention(canvas, "A quite different question", layer)
    assert not torch.allclose(other.attention, heard.attention, rtol=1e-3)


def test_paid_attention_by_hand() -> None:
    """One head of width 1, three keys; the last two tokens ask. Zero queries share what they may see."""
    key = torch.tensor([[[1.0], [2.0], [3.0]]])
    assert attention_of_last(torch.zeros(1, 2, 1), key, 1.0).tolist() == pytest.approx([5 / 12, 5 / 12, 2 / 12])
    one = attention_of_last(torch.tensor([[[1.0]]]), key, 0.5)
    assert one.tolist() == pytest.approx(torch.tensor([0.5, 1.0, 1.5]).softmax(0).tolist())


def test_paid_attention_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    make = torch.Generator().manual_seed(0)
    query, key = torch.randn(4, 7, 8, generator=make), torch.randn(2, 30, 8, generator=make)
    whole = attention_of_last(query, key, 0.3)
    monkeypatch.setattr("saccade.engines._attention.CHUNK_BYTES", 4 * 4 * 30 * 2)  # two queries at a time
    torch.testing.assert_close(attention_of_last(query, key, 0.3), whole)
    assert float(whole.sum()) == pytest.approx(1.0)


def test_listening_makes_the_first_read_cheaper_and_changes_no_answer(engine: HFEngine, picture: Picture) -> None:
    encoding = engine.encode([engine.prepare(picture, 40)])[0]
    canvas = Canvas(encoding.grid.rows, encoding.grid.cols, (Part.of(encoding),))
    fresh, prefix = HFEngine(engine.family, engine.spec), engine.family.prompt("total?")[0]
    plain = HFEngine(engine.family, engine.spec).read(canvas, "total?")
    first, second = fresh.attention(canvas, "total?"), fresh.attention(canvas, "Who signed?")
    assert (first.cached_tok, second.cached_tok) == (0, len(prefix) + len(canvas))
    assert first.prefill_tok - len(engine.family.prompt("total?")[1]) == len(prefix) + len(canvas)
    assert second.prefill_tok == len(engine.family.prompt("Who signed?")[1])
    read = fresh.read(canvas, "total?")
    assert read.cached_tok == len(prefix) + len(canvas)
    assert read.text == plain.text and read.logprobs == pytest.approx(plain.logprobs, rel=1e-4)


def test_a_fine_token_has_the_value_of_the_glimpse_token_over_it() -> None:
    fine, coarse = item(4, 6)[1].grid, coarse_on(item(2, 2)[1].grid, item(4, 6)[1].grid)
    by_hand = [0, 0, 0, 1, 1, 1] * 2 + [2, 2, 2, 3, 3, 3] * 2
    assert covering(coarse, fine).tolist() == by_hand
    uneven = covering(item(3, 5)[1].grid, item(7, 8)[1].grid).view(7, 8)
    rows, cols = [int((r + 0.5) * 3 / 7) for r in range(7)], [int((c + 0.5) * 5 / 8) for c in range(8)]
    assert uneven.tolist() == [[5 * r + c for c in cols] for r in rows]


def parts_of(engine: HFEngine, picture: Picture) -> tuple[Encoding, Encoding]:
    seen = see(Episode(scorer="variance", glimpse=16), engine, picture, [])
    assert seen.glimpse is not None
    return seen.encoding, seen.glimpse


def test_it_is_relative_to_the_neutral_prompt(engine: HFEngine, picture: Picture) -> None:
    whole, glimpse = parts_of(engine, picture)
    scorer, asking = Attention(layer=0, neutral="See?"), [Question("a", "What is the total?"), Question("b", "See?")]
    (_, first), (_, second) = embed_questions(engine, asking, scorer, whole.grid, glimpse)
    assert isinstance(first, Query) and first.heard and isinstance(second, Query) and second.heard
    canvas = Canvas(whole.grid.rows, whole.grid.cols, (Part.of(glimpse),))
    here, there = (by_transformers(engine, canvas, text, 0) for text in ("What is the total?", "See?"))
    expected = (here / there)[covering(glimpse.grid, whole.grid)]
    torch.testing.assert_close(first.heard.attention, expected, rtol=1e-3, atol=1e-5)
    assert second.heard.attention.tolist() == pytest.approx([1.0] * len(whole)), "the neutral prompt itself"
    scene = Scene.of([(picture, whole, first), (picture, whole, second)])
    assert scene.attention is not None and Attention()(scene)[0].max() == 1
    assert Attention()(scene)[1].sum() == 0
    without, _ = embed_questions(engine, asking[:1], None, whole.grid, glimpse)[0][1], None
    assert isinstance(without, Query) and without.heard is None


def test_the_neutral_prompt_is_charged_once_an_image(engine: HFEngine, picture: Picture) -> None:
    whole, glimpse = parts_of(engine, picture)
    fresh = HFEngine(engine.family, engine.spec)
    asking = [Question("x", " "), Question("a", "total?"), Question("b", "signed?")]
    (_, empty), (_, first), (_, second) = embed_questions(fresh, asking, Attention(), whole.grid, glimpse)
    assert isinstance(empty, QuestionError)
    assert isinstance(first, Query) and first.heard and isinstance(second, Query) and second.heard
    prefix = fresh.family.prompt("total?")[0]
    lengths = {text: len(fresh.family.prompt(text)[1]) for text in ("total?", "signed?", Attention().neutral)}
    shared = len(prefix) + len(glimpse)
    assert first.heard.prefill_tok == shared + lengths[Attention().neutral] + lengths["total?"]
    assert second.heard.prefill_tok == lengths["signed?"]


def test_an_episode_looks_where_the_question_attends(engine: HFEngine, picture: Picture) -> None:
    settings = Episode(**LOOKS, fixations=2, stop_at=2)
    fresh = HFEngine(engine.family, engine.spec)
    seen = see(settings, fresh, picture, [Question("a", "What is the total?")])
    (trace,) = run(episodes(settings, seen), fresh)
    assert isinstance(trace, Trace)
    query = seen.asked[0][1]
    assert isinstance(query, Query) and query.heard
    best = query.heard.attention[trace.steps[1].selection.index]
    assert best.min() >= query.heard.attention.sort(descending=True).values[19]
    read = sum(step.answer.prefill_tok for step in trace.steps)
    assert trace.cost.prefill_tok == read + query.heard.prefill_tok > read, "what the scorer read is charged"
    assert trace.cost.seconds["plan"] > query.heard.seconds > 0


def test_a_layer_that_is_not_there(engine: HFEngine, picture: Picture) -> None:
    eyes = Eye(engine, Episode(**{**LOOKS, "scorer": ({"name": "attention", "layer": 3},)}))
    with pytest.raises(ConfigError, match="layer 3: this decoder has layers 0 to 2"):
        eyes.look(picture, "total?")


def test_it_needs_a_glimpse() -> None:
    with pytest.raises(ConfigError, match="'attention' reads the language model's attention on a glimpse.*--glimpse K"):
        Episode(scorer="attention")
    Episode(scorer="attention", sampler="full")  # a view asks no scorer
    with pytest.raises(ConfigError, match="none: give --glimpse K"):
        Attention()(Scene.of([item(2, 2)]))


def test_two_of_them_must_agree() -> None:
    twice = ({"name": "attention", "layer": 0}, {"name": "attention", "layer": 1})
    with pytest.raises(ConfigError, match="these scorers differ"):
        Episode(scorer=twice, glimpse=16)
    Episode(scorer=("attention", "edges", {"name": "attention", "weight": 2}), glimpse=16)


class Shut(VLLM):
    """vLLM that must not be started."""

    def open(self) -> Any:
        raise AssertionError("started")


def test_engines_without_attention_are_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="only the engine hf gives it"):
        with api.load(engine=Shut(), **LOOKS):
            pass
    with pytest.raises(ConfigError, match="only the engine hf gives it, where it encodes and reads in one process"):
        RunConfig(dataset={"name": "synthdoc"}, output=tmp_path, engine={"name": "hf"}, episode=Episode(**LOOKS))
    experiment = Experiment(title="t", dataset={"name": "synthdoc"}, variants={"a": LOOKS})
    experiment.resolved()


def test_attention_that_is_not_finite_costs_one_question(
    engine: HFEngine, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, glimpse = parts_of(engine, picture)
    heard = engine.attention

    def broken(canvas: Canvas, question: str, layer: int | None = None) -> Heard:
        if question == "Who?":
            raise EngineError("the model gave attention that is not finite")
        return heard(canvas, question, layer)

    monkeypatch.setattr(engine, "attention", broken)
    asking = [Question("a", "Who?"), Question("b", "total?")]
    (_, failed), (_, asked) = embed_questions(engine, asking, Attention(), whole.grid, glimpse)
    assert isinstance(failed, EngineError) and isinstance(asked, Query) and asked.heard
