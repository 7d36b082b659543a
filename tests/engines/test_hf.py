"""The transformers engine: a canvas that grew is a canvas that came at once, caches change costs and never answers."""

import dataclasses
import gc
import math
import shutil
import weakref
from functools import partial
from pathlib import Path

import pytest
import torch

from saccade.card import CARD_FILE
from saccade.engines import ForwardingEncoder, _decoder
from saccade.engines._answers import Embeddings, Speech
from saccade.engines._decoder import passes
from saccade.engines.hf import HF, HFEngine
from saccade.engines.vllm import VLLMReader
from saccade.errors import ConfigError, EngineError, QuestionError
from saccade.families import fingerprint
from saccade.metrics.calibration import Calibration
from saccade.picture import Picture
from saccade.types import Answer, Canvas, Encoding, Part, Selection
from tests import tiny


@pytest.fixture(scope="module")
def encoding(engine: HFEngine) -> Encoding:
    return engine.encode([engine.prepare(Picture.open(tiny.page(500, 400)))])[0]


def parts(encoding: Encoding, *sizes: int, seed: int = 0) -> list[Part]:
    """Disjoint random parts of an encoding."""
    order = torch.randperm(len(encoding), generator=torch.Generator().manual_seed(seed))
    return [Part.of(encoding, Selection.keep(index, len(encoding))) for index in order[: sum(sizes)].split(sizes)]


def canvas(encoding: Encoding, made: list[Part]) -> Canvas:
    return Canvas(encoding.grid.rows, encoding.grid.cols, tuple(made))


def uncached(engine: HFEngine, *args: object) -> Answer:
    """Read by an engine that remembers nothing."""
    return HFEngine(engine.family, engine.spec).read(*args)  # type: ignore[arg-type]


def same(a: Answer, b: Answer) -> None:
    assert a.text == b.text
    torch.testing.assert_close(torch.tensor(a.logprobs), torch.tensor(b.logprobs), rtol=1e-4, atol=1e-5)


def test_growing_equals_at_once(engine: HFEngine, encoding: Encoding) -> None:
    fresh = HFEngine(engine.family, engine.spec)
    grown = parts(encoding, 40, 40, 40, 20, 20)
    for count in range(1, 6):
        answer = fresh.read(canvas(encoding, grown[:count]), "total?")
        same(answer, uncached(engine, canvas(encoding, grown[:count]), "total?"))
        prefix, suffix = engine.family.prompt("total?")
        new = len(grown[count - 1]) if count > 1 else len(grown[0]) + len(prefix)
        assert answer.prefill_tok == new + len(suffix), "a fixation prefills its new tokens and the question"
        assert answer.cached_tok == (sum(map(len, grown[: count - 1])) + len(prefix) if count > 1 else 0)


def test_against_one_forward_pass_by_hand(engine: HFEngine, encoding: Encoding) -> None:
    """First-token log-probability from the whole model in one call, with positions written down by hand."""
    (part,) = parts(encoding, 50)
    answer = engine.read(canvas(encoding, [part]), "total?")
    family = engine.family
    prefix, suffix = family.prompt("total?")
    embeds = torch.cat([family.embed(torch.tensor(prefix)), part.tokens, family.embed(torch.tensor(suffix))])
    start, after = len(prefix), len(prefix) + max(encoding.grid.rows, encoding.grid.cols)
    places = [(i, i, i) for i in range(start)]
    places += [(start, start + int(r), start + int(c)) for r, c in zip(part.row, part.col, strict=True)]
    places += [(after + i,) * 3 for i in range(len(suffix))]
    with torch.no_grad():
        hidden = family.language_model(inputs_embeds=embeds[None], position_ids=torch.tensor(places).T[:, None])
        reference = family.logits(hidden.last_hidden_state[0, -1]).log_softmax(-1).max()
    assert answer.logprobs[0] == pytest.approx(float(reference), rel=1e-4)


def test_a_wrong_position_changes_the_answer(engine: HFEngine, encoding: Encoding) -> None:
    """The parity tests above can fail: one column to the right gives other numbers."""
    differences = []
    for seed in range(4):
        (part,) = parts(encoding, 50, seed=seed)
        moved = dataclasses.replace(part, col=part.col + 1, key="moved")
        right, wrong = (uncached(engine, canvas(encoding, [p]), "total?") for p in (part, moved))
        differences.append(abs(right.logprobs[0] - wrong.logprobs[0]))
    assert max(differences) > 1e-3


def test_a_shared_beginning_is_copied_not_stolen(engine: HFEngine, encoding: Encoding) -> None:
    fresh = HFEngine(engine.family, engine.spec)
    glimpse, one, two = parts(encoding, 30, 30, 30)
    for made in ([glimpse, one], [glimpse, two], [glimpse, one], [glimpse], [glimpse, two, one]):
        same(fresh.read(canvas(encoding, made), "who?"), uncached(engine, canvas(encoding, made), "who?"))
    assert fresh.read(canvas(encoding, [glimpse, two, one]), "where?").cached_tok > 90


def test_no_leak_between_images(engine: HFEngine) -> None:
    """Same selection, same question, different pictures: each its own answer with caches warm."""
    fresh = HFEngine(engine.family, engine.spec)
    encodings = engine.encode([engine.prepare(Picture.open(tiny.page(300, 200, seed=i))) for i in range(12)])
    kept = Selection.keep(torch.arange(0, 40, 2), len(encodings[0]))
    canvases = [canvas(e, [Part.of(e, kept)]) for e in encodings]
    cold = [uncached(engine, c, "total?") for c in canvases]
    for _ in range(2):
        for c, expected in zip(canvases, cold, strict=True):
            same(fresh.read(c, "total?"), expected)
    assert len({answer.logprobs for answer in cold}) == 12
    assert len(fresh._memories) <= engine.spec.num_canvases


def test_a_failed_read_leaves_nothing_behind(
    engine: HFEngine, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh = HFEngine(engine.family, engine.spec)
    one, two = parts(encoding, 30, 30)
    expected = uncached(engine, canvas(encoding, [one, two]), "who?")
    fresh.read(canvas(encoding, [one]), "who?")
    with monkeypatch.context() as patched:
        patched.setattr(engine.family, "logits", lambda hidden: torch.full((1, 9), float("nan")))
        with pytest.raises(EngineError, match="not finite"):
            fresh.read(canvas(encoding, [one, two]), "who?")
    same(fresh.read(canvas(encoding, [one, two]), "who?"), expected)


def test_confidence_is_the_geometric_mean_over_tokens(engine: HFEngine, encoding: Encoding) -> None:
    answer = engine.read(canvas(encoding, parts(encoding, 50)), "total?")
    mean = torch.tensor(answer.logprobs, dtype=torch.float64).mean().exp()
    assert answer.confidence == pytest.approx(float(mean))
    assert answer.tokens is not None
    assert answer.tokens.shape[1] == encoding.tokens.shape[1]


def test_questions_that_cannot_be_asked(engine: HFEngine, encoding: Encoding) -> None:
    with pytest.raises(QuestionError, match="the question is empty"):
        engine.query("  ")
    with pytest.raises(QuestionError, match=r"the prompt is \d+ tokens.*the model takes 4096"):
        engine.read(canvas(encoding, parts(encoding, 50)), "why " * 2000)
    with pytest.raises(QuestionError, match=r"the prompt is \d+ tokens.*the model takes 4096"):
        engine.query("why " * 2000)  # before a page is scored by each of its tokens


def test_no_such_model() -> None:
    with (
        pytest.raises(ConfigError, match="Give 'nano', a checkpoint folder, or a name on the hub"),
        HF(model="/nowhere/at/all").open(),
    ):
        pass


def test_confidence_is_calibrated_and_nothing_else(engine: HFEngine, encoding: Encoding) -> None:
    made = canvas(encoding, parts(encoding, 40))
    raw = uncached(engine, made, "total?")
    calibration = Calibration(mean=0.5, least=0.25, intercept=1.0)
    mapped = HFEngine(engine.family, engine.spec, calibration).read(made, "total?")
    same(raw, mapped)
    assert raw.confidence == pytest.approx(math.exp(sum(raw.logprobs) / len(raw.logprobs)))
    assert mapped.confidence == calibration(raw.logprobs) != raw.confidence


def test_a_checkpoint_brings_its_card(qwen2_5_vl: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(qwen2_5_vl, tmp_path / "model")
    before = fingerprint(str(folder))
    (folder / CARD_FILE).write_text('{"print_px": 9, "confidence": {"mean": 0.25, "intercept": -1}}')
    assert fingerprint(str(folder)) != before, "a run may stop elsewhere now: it is another run"
    with HF(model=str(folder)).open() as opened:
        assert (opened.calibration.mean, opened.calibration.intercept) == (0.25, -1)
        assert opened.family.print_px == 9


def test_halves_of_an_engine(engine: HFEngine, qwen2_5_vl: Path) -> None:
    """The encoder alone has no decoder layers and encodes the same; embeddings read from the file are the model's."""
    pixels = Picture.open(tiny.page(300, 200))
    with HF(model=str(qwen2_5_vl)).open_encoder() as encoder:
        assert not list(encoder.family.language_model.layers)  # type: ignore[attr-defined]
        alone, query = encoder.encode([encoder.prepare(pixels)])[0], encoder.query("total?")
    both = engine.encode([engine.prepare(pixels)])[0]
    assert torch.equal(alone.tokens, both.tokens) and alone.fingerprint == both.fingerprint
    assert torch.equal(query.tokens, engine.query("total?").tokens)
    ids = engine.family.tokenizer("total?")["input_ids"]
    rows = Embeddings(str(qwen2_5_vl))
    assert rows([]) is None
    torch.testing.assert_close(rows(ids), engine.query("total?").tokens, rtol=0, atol=0)
    with HF(model=str(qwen2_5_vl), max_new_tok=6).open_reader() as reader:
        made = canvas(both, [Part.of(both)])
        same(reader.read(made, "total?"), engine.read(made, "total?"))


def test_questions_read_together_are_read_alone(engine: HFEngine, encoding: Encoding) -> None:
    """Of two canvases and of many lengths; one that is too long costs itself; the first of a canvas pays for it."""
    one, two = (canvas(encoding, [part]) for part in parts(encoding, 60, 40))
    texts = ["total?", "Who signed the letter?", "?", "What is printed below 'Invoice'?", "when"]
    asks = [(c, text) for text in texts for c in (one, two)]
    asks.insert(3, (one, "long " * 40_000))
    fresh = HFEngine(engine.family, engine.spec)
    answers = fresh.read_many(asks)
    assert isinstance(answers[3], QuestionError)
    for (made, text), answer in zip(asks, answers, strict=True):
        if isinstance(answer, Answer):
            same(answer, uncached(engine, made, text))
    del answers[3]
    assert all(isinstance(answer, Answer) for answer in answers)
    prefix = len(engine.family.prompt("")[0])
    assert [a.cached_tok for a in answers[:4]] == [0, prefix, prefix + 60, prefix + 40]  # type: ignore[union-attr]
    few = HFEngine(engine.family, engine.spec.with_settings(together=2, num_canvases=1))
    for answer, again in zip(answers, few.read_many([a for i, a in enumerate(asks) if i != 3]), strict=True):
        same(answer, again)  # type: ignore[arg-type]


def test_a_long_question_among_short_ones_is_read_by_itself(
    engine: HFEngine, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all of a pass are padded to its length, and 16 questions cost 16 times what the longest costs."""
    assert passes([30] * 5, 400, 3) == [slice(0, 3), slice(3, 5)]
    assert passes([30, 12, 60, 9], 4096, 16) == [slice(0, 4)], "ordinary questions of one page"
    assert passes([30, 12, 3000, 9, 40], 400, 16) == [slice(0, 2), slice(2, 3), slice(3, 5)]
    assert passes([3000, 2500, 2900], 400, 16) == [slice(0, 3)]
    assert passes([5000], 0, 1) == [slice(0, 1)]

    monkeypatch.setattr(_decoder, "FEW_PAIRS", 0)
    fresh, read = HFEngine(engine.family, engine.spec), list[int]()
    ask = fresh.decoder.ask
    monkeypatch.setattr(
        fresh.decoder, "ask", lambda memory, embeds, *more: read.append(len(embeds)) or ask(memory, embeds, *more)
    )
    one = canvas(encoding, parts(encoding, 20))
    texts = ["total?", "when?", "why " * 300, "who?", "why " * 299]
    answers = fresh.read_many([(one, text) for text in texts])
    assert read == [2, 1, 1, 1]
    for text, answer in zip(texts, answers, strict=True):
        same(answer, uncached(engine, one, text))  # type: ignore[arg-type]


def test_an_endless_question_is_refused_before_it_is_spelled(
    engine: HFEngine, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To count the tokens of some MB takes half a minute, and nobody else is answered meanwhile."""
    endless, one = "long " * 1_000_000, canvas(encoding, parts(encoding, 20))

    def spell(self: object, text: str, **options: object) -> None:
        raise AssertionError(f"{len(text)} characters were spelled")

    monkeypatch.setattr(type(engine.family.tokenizer), "__call__", spell)
    by_vllm = object.__new__(VLLMReader)  # not started
    by_vllm.speech = engine.speech
    asks = (engine.query, partial(engine.read, one), partial(engine.attention, one), partial(by_vllm._prompt, one))
    for ask in asks:
        with pytest.raises(QuestionError, match="5,000,000 characters long; the model takes .* Ask a shorter question"):
            ask(endless)


@pytest.mark.parametrize("question", ["caf\udce9?", "\ud83e total"])  # Latin-1 in a shell, half an emoji in JSON
def test_a_question_that_is_no_unicode_text_is_refused(engine: HFEngine, encoding: Encoding, question: str) -> None:
    one = canvas(encoding, parts(encoding, 20))
    by_vllm = object.__new__(VLLMReader)  # not started
    by_vllm.speech = engine.speech
    for ask in (engine.query, partial(engine.read, one), partial(by_vllm._prompt, one)):
        with pytest.raises(QuestionError, match=r"half a character, '\\ud...', at place \d: it must be Unicode"):
            ask(question)


def test_an_answer_that_is_not_finite_costs_itself(
    engine: HFEngine, encoding: Encoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, fresh, logits = (
        canvas(encoding, parts(encoding, 50)),
        HFEngine(engine.family, engine.spec),
        engine.family.logits,
    )
    expected = uncached(engine, made, "total?")

    def broken(hidden: torch.Tensor) -> torch.Tensor:
        found = logits(hidden).clone()
        if len(found) == 3:
            found[1] = float("nan")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(engine.family, "logits", broken)
        first, second, third = fresh.read_many([(made, "total?"), (made, "who?"), (made, "total?")])
    assert isinstance(second, EngineError) and "not finite" in str(second)
    same(first, expected)  # type: ignore[arg-type]
    same(third, expected)  # type: ignore[arg-type]


def test_a_closed_engine_holds_nothing_of_the_model() -> None:
    with HF().open() as opened:
        forwarding = ForwardingEncoder(opened)
        model = weakref.ref(forwarding.family.model)
        opened.read(Canvas(1, 1), "total?")
    gc.collect()
    assert model() is None, "what comes next has the memory, whoever still holds the engine"


def test_the_half_that_encodes_holds_nothing_that_writes(qwen2_5_vl: Path) -> None:
    with HF(model=str(qwen2_5_vl)).open_encoder() as encoder:
        held = {name.split(".")[0] for name, _ in encoder.family.model.named_parameters()}
        assert "lm_head" not in held
        assert len(encoder.encode([encoder.prepare(Picture.open(tiny.page(140, 112)))])[0])


def test_an_answer_is_closed_as_the_model_closes_it() -> None:
    """Qwen's generation ends at two tokens; it writes its tokenizer's after an answer, not the lower one."""
    words = tiny.tokenizer()
    lower = words.eos_token_id - 1
    speech = Speech.of(words, [words.eos_token_id, lower], 100, 10)
    assert speech.closed("total")[-1] == words.eos_token_id and {ids[-1] for ids in speech.written(["total"])} == {
        lower,
        words.eos_token_id,
    }


def test_closing_after_an_error_of_the_device_is_not_another_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise torch.AcceleratorError("device-side assert")

    monkeypatch.setattr("torch.cuda.empty_cache", broken)
    with pytest.raises(EngineError, match="^the first$"), HF().open() as opened:
        opened.device = torch.device("cuda")
        raise EngineError("the first")
