"""FastV and PyramidDrop inside every family's decoder, against the untouched model with masks.

The reference drops nothing: from a cut on, it hides the keys of the dropped tokens in eager attention, and it reads the
ranking off the attention weights that transformers itself returns.
"""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from saccade.api import Eye
from saccade.config import Episode
from saccade.engines._dropping import Staged, last_attention
from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError, EngineError
from saccade.picture import Picture
from saccade.reduction._drop import Cut, Drop
from saccade.reduction.fastv import FastV
from saccade.reduction.pyramiddrop import PyramidDrop
from saccade.types import Answer, Canvas, Encoding, Part, Selection
from tests import tiny
from tests.families.untouched import decode

QUESTION = "What is the total?"
DROPS = [FastV(layer=1, keep=0.5), FastV(layer=2, keep=0.2), PyramidDrop(stages=3), PyramidDrop(stages=2, ratio=0.1)]


def encoded(engine: HFEngine) -> Encoding:
    return engine.encode([engine.prepare(Picture.open(tiny.page(301, 203)))])[0]


def canvas_of(encoding: Encoding, *parts: Part) -> Canvas:
    return Canvas(encoding.grid.rows, encoding.grid.cols, parts)


def some(encoding: Encoding, *sizes: int) -> list[Part]:
    order = torch.randperm(len(encoding), generator=torch.Generator().manual_seed(3))
    return [Part.of(encoding, Selection.keep(index, len(encoding))) for index in order[: sum(sizes)].split(sizes)]


def dropping(engine: HFEngine, drop: Drop) -> HFEngine:
    return HFEngine(engine.family, engine.spec.model_copy(update={"drop": drop.spec()}))


@dataclasses.dataclass
class Prompt:
    """One canvas and question, laid out."""

    embeds: Tensor  # (1, T, D (1 + L))
    positions: Tensor  # (P, T)
    start: int
    num_tok: int

    @classmethod
    def of(cls, engine: HFEngine, canvas: Canvas) -> "Prompt":
        prefix, suffix = engine.family.prompt(QUESTION)
        before, parts, after = engine.family.positions(canvas, len(prefix), len(suffix))
        visual = torch.cat([part.wide for part in canvas.parts])
        first, last = (engine.family.embed(torch.tensor(ids)) for ids in (prefix, suffix))
        wide = [torch.nn.functional.pad(text, (0, visual.shape[1] - text.shape[1])) for text in (first, last)]
        embeds = torch.cat([wide[0], visual, wide[1]])[None]
        return cls(embeds, torch.cat([before, *parts, after], 1), len(prefix), len(canvas))

    def longer(self, token: Tensor) -> "Prompt":
        """With one generated token (D,) behind."""
        token = torch.nn.functional.pad(token, (0, self.embeds.shape[-1] - len(token)))[None, None]
        return dataclasses.replace(
            self,
            embeds=torch.cat([self.embeds, token], 1),
            positions=torch.cat([self.positions, self.positions[:, -1:] + 1], 1),
        )


@contextmanager
def hidden_from(engine: HFEngine, length: int, hidden: dict[int, list[int]]) -> Iterator[list[Tensor]]:
    """While it runs: layer l of the decoder cannot see the columns `hidden[l]`; its attention weights are collected."""
    decoder, weights, handles = engine.family.language_model, [], []
    usual = decoder.config._attn_implementation
    decoder.config._attn_implementation = "eager"

    def blind(columns: list[int]) -> Any:
        mask = torch.full((length, length), float("-inf")).triu(1)
        mask[:, columns] = float("-inf")
        for row in columns:
            mask[row, row] = 0.0  # a hidden token sees itself, so that its row is a number; nobody sees it

        def hook(layer: Any, args: Any, kwargs: Any) -> Any:
            return args, {**kwargs, "attention_mask": mask[None, None]}

        return hook

    try:
        for number, layer in enumerate(decoder.layers):
            hook = blind(hidden.get(number, []))
            handles.append(layer.register_forward_pre_hook(hook, with_kwargs=True))
            handles.append(layer.self_attn.register_forward_hook(lambda *call: weights.append(call[-1][1])))
        yield weights
    finally:
        decoder.config._attn_implementation = usual
        for handle in handles:
            handle.remove()


def masked(engine: HFEngine, prompt: Prompt, hidden: dict[int, list[int]]) -> tuple[Tensor, list[Tensor]]:
    """Last hidden states (T, D) and each layer's attention weights (heads, T, T), nothing dropped."""
    with torch.inference_mode(), hidden_from(engine, prompt.embeds.shape[1], hidden) as weights:
        states = decode(engine, prompt.embeds, prompt.positions)
    return states[0], [each[0] for each in weights]


@torch.inference_mode()
def reference(engine: HFEngine, prompt: Prompt, cuts: tuple[Cut, ...], num_new: int) -> tuple[list[float], list[Any]]:
    """Log-probabilities of the greedy answer, and which visual tokens are left after each cut."""
    num_layers = len(engine.family.language_model.layers)
    hidden: dict[int, list[int]] = {}
    left, kept = list(range(prompt.num_tok)), []
    for cut in cuts:
        weights = masked(engine, prompt, hidden)[1][cut.rank]
        paid = {token: float(weights[:, -1, prompt.start + token].mean()) for token in left}
        left = sorted(sorted(left, key=lambda token: -paid[token])[: cut.keep])
        gone = [prompt.start + token for token in range(prompt.num_tok) if token not in left]
        hidden |= {layer: gone for layer in range(cut.before, num_layers)}
        kept.append(left)
    logprobs = []
    for _ in range(num_new):
        last = masked(engine, prompt, hidden)[0][-1]
        logprob, token = engine.family.logits(last).float().log_softmax(-1).max(-1)
        logprobs.append(float(logprob))
        if int(token) in engine.speech.end_ids:
            break
        prompt = prompt.longer(engine.family.embed(token[None])[0])
    return logprobs, kept


@pytest.mark.parametrize("drop", DROPS, ids=str)
def test_dropping_is_hiding_keys_from_there_on(family_engine: HFEngine, drop: Drop) -> None:
    encoding = encoded(family_engine)
    canvas = canvas_of(encoding, *some(encoding, 25, 15))
    prompt = Prompt.of(family_engine, canvas)
    cuts = drop.cuts(3, 40)
    with torch.inference_mode():
        answer = dropping(family_engine, drop).read(canvas, QUESTION)
        expected, kept = reference(family_engine, prompt, cuts, family_engine.spec.max_new_tok)
        staged = Staged(family_engine.family, cuts)
        staged.prefill(prompt.embeds, prompt.positions, prompt.start, prompt.num_tok)
    assert [each.tolist() for each in staged.kept] == kept
    torch.testing.assert_close(torch.tensor(answer.logprobs), torch.tensor(expected), rtol=1e-4, atol=1e-4)
    usual = family_engine.read(canvas, QUESTION)
    assert abs(usual.logprobs[0] - answer.logprobs[0]) > 1e-3, "what was dropped had been of no use"


def test_layers_hold_what_they_saw(family_engine: HFEngine) -> None:
    """Hand-worked: 40 visual tokens, 3 stages of one layer each, halved twice."""
    encoding = encoded(family_engine)
    prompt = Prompt.of(family_engine, canvas_of(encoding, *some(encoding, 40)))
    text_tok = prompt.embeds.shape[1] - 40
    drop = PyramidDrop(stages=3)
    assert drop.cuts(3, 40) == (Cut(1, 1, 20), Cut(2, 2, 10))
    with torch.inference_mode():
        staged = Staged(family_engine.family, drop.cuts(3, 40))
        staged.prefill(prompt.embeds, prompt.positions, prompt.start, 40)
        assert [staged.cache.get_seq_length(layer) - text_tok for layer in range(3)] == [40, 20, 10]
        staged.step(prompt.embeds[:, -1], prompt.positions[:, -1:] + 1)
    assert [staged.cache.get_seq_length(layer) - text_tok for layer in range(3)] == [41, 21, 11]
    assert drop.effective_tok(3, 40) == pytest.approx((40 + 20 + 10) / 3)


def test_no_cut_is_the_untouched_decoder_bit_by_bit(family_engine: HFEngine) -> None:
    encoding = encoded(family_engine)
    canvas = canvas_of(encoding, *some(encoding, 40))
    prompt = Prompt.of(family_engine, canvas)
    with torch.inference_mode():
        staged = Staged(family_engine.family, ())
        once = staged.prefill(prompt.embeds, prompt.positions, prompt.start, prompt.num_tok)
        assert torch.equal(once, decode(family_engine, prompt.embeds, prompt.positions))
    for drop in (FastV(layer=1, keep=1.0), PyramidDrop(stages=3, ratio=1.0)):
        usual, none = (HFEngine(family_engine.family, e.spec) for e in (family_engine, dropping(family_engine, drop)))
        assert none.read(canvas, QUESTION).logprobs == usual.read(canvas, QUESTION).logprobs
        assert none.read(canvas, QUESTION).cached_tok > 0, "nothing is dropped: caches hold"


def test_last_attention_is_that_of_transformers(family_engine: HFEngine) -> None:
    encoding = encoded(family_engine)
    prompt = Prompt.of(family_engine, canvas_of(encoding, *some(encoding, 40)))
    weights = masked(family_engine, prompt, {})[1][0]
    decoder = family_engine.family.language_model
    hidden = prompt.embeds[..., : decoder.config.hidden_size]
    places = prompt.positions[:, None] if len(prompt.positions) > 1 else prompt.positions
    with torch.inference_mode():
        heard = last_attention(decoder.layers[0], hidden, decoder.rotary_emb(hidden, places))
    torch.testing.assert_close(heard, weights[:, -1].mean(0), rtol=1e-4, atol=1e-6)


def test_tokens_selected_first_then_dropped_inside(family_engine: HFEngine) -> None:
    """Encoder-side selection and PyramidDrop together: what entered the model is what the sampler kept."""
    engine = dropping(family_engine, PyramidDrop(stages=3))
    settings = Episode(sampler="hybrid", budget={"name": "fixed", "tokens": 24}, fixations=2, stop_at=2.0)
    trace = Eye(engine, settings).look(tiny.page(301, 203), QUESTION)
    assert [step.answer.visual_tok for step in trace.steps] == [24, 48] and trace.cost.visual_tok == 48
    prefix, suffix = family_engine.family.prompt(QUESTION)
    assert trace.cost.prefill_tok == 24 + 48 + 2 * len(prefix + suffix) and trace.cost.cached_tok == 0
    encoding = encoded(family_engine)
    parts = [Part.of(encoding, step.selection) for step in trace.steps]
    prompt = Prompt.of(family_engine, canvas_of(encoding, *parts))
    expected, _ = reference(family_engine, prompt, PyramidDrop(stages=3).cuts(3, 48), 6)
    last = trace.steps[-1].answer  # not the trace's: an empty one loses to the look before it
    torch.testing.assert_close(torch.tensor(last.logprobs), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_settings_that_cannot_be() -> None:
    assert HF(drop="fastv").drop == {"name": "fastv", "layer": 2, "keep": 0.5} and HF().drop is None
    with pytest.raises(ConfigError, match="engine.drop.name=fastv"):
        HF(reduction="fastv")
    with pytest.raises(ConfigError, match="engine.reduction.name=tome"):
        HF(drop="tome")
    with pytest.raises(ConfigError, match="no reduction named 'nothing'"):
        HF(drop="nothing")
    with pytest.raises(ConfigError, match=r"layer is 5, but this decoder has 5"):
        FastV(layer=5).cuts(5, 100)
    with pytest.raises(ConfigError, match="4 stages, but this decoder has 3 layers"):
        PyramidDrop().cuts(3, 100)


def test_cuts_as_published() -> None:
    assert FastV().cuts(32, 576) == (Cut(2, 1, 288),)
    assert PyramidDrop().cuts(32, 576) == (Cut(8, 8, 288), Cut(16, 16, 144), Cut(24, 24, 72))
    assert PyramidDrop().effective_tok(32, 576) == 576 * (1 + 1 / 2 + 1 / 4 + 1 / 8) / 4
    assert FastV().effective_tok(32, 576) == 576 * (2 + 30 / 2) / 32
    assert FastV(keep=0.01).cuts(4, 3) == (Cut(2, 1, 1),) and FastV().cuts(4, 1) == ()


def test_a_failure_while_dropping_costs_one_question(engine: HFEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    encoding = encoded(engine)
    canvas, staged = canvas_of(encoding, *some(encoding, 40)), dropping(engine, FastV(layer=1, keep=0.5))
    usual, logits, calls = staged.read(canvas, QUESTION), engine.family.logits, itertools.count()
    monkeypatch.setattr(engine.family, "logits", lambda hidden: logits(hidden) * (math.nan if not next(calls) else 1))
    failed, read = staged.read_many([(canvas, "Who signed?"), (canvas, QUESTION)])
    assert isinstance(failed, EngineError) and isinstance(read, Answer) and read.logprobs == usual.logprobs
