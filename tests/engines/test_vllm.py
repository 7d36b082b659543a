"""vLLM against transformers on tiny random checkpoints, float32 on a CPU: every log-probability within 1e-3.

Prefill comes in chunks of 64 tokens and the prefix cache is on; `test_vllm_tight` has neither, and preempts.
"""

import asyncio
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from saccade.api import Eye
from saccade.config import Episode
from saccade.engines.hf import wide
from saccade.engines.vllm import VLLM, VLLMEngine
from saccade.engines.vllm_plugin import fields
from saccade.errors import ConfigError, EngineError, QuestionError
from saccade.picture import Picture
from saccade.types import Answer, Canvas, Part
from tests import tiny
from tests.engines.conftest import BLOCK_TOK, Pair, canvas_of, close, needs_vllm, pair, some
from tests.families import untouched

pytestmark = [needs_vllm, pytest.mark.timeout(900)]


@pytest.fixture(scope="module", params=["qwen2_5_vl", "qwen2_vl", "qwen3_vl"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(str(getattr(tiny, request.param)(tmp_path_factory.mktemp(request.param)))) as opened:
        yield opened


def at_once(both: Pair, *asked: tuple[Canvas, str]) -> list[Answer]:
    """All of these in the engine together."""

    async def ask() -> list[Answer]:
        return await asyncio.gather(*(both.vllm.aread(canvas, question) for canvas, question in asked))

    return asyncio.run(ask())


@pytest.mark.parametrize("size", [(420, 330), (640, 64)])
def test_identity_law(both: Pair, size: tuple[int, int]) -> None:
    """All tokens: the log-probabilities of the untouched transformers model."""
    encoding = both.encode(*size)
    answer = both.vllm.read(canvas_of(encoding, Part.of(encoding)), "What is the total?")
    reference = untouched.logprobs(both.hf, Picture.open(tiny.page(*size)), "What is the total?")
    torch.testing.assert_close(torch.tensor(answer.logprobs), reference[: len(answer.logprobs)], rtol=1e-3, atol=1e-5)


def test_fixations_one_by_one_and_at_once(both: Pair) -> None:
    encoding = both.encode()
    grown = some(encoding, 40, 30, 30, 20, 10)
    prefix, suffix = both.hf.family.prompt("total?")
    before_tok = 0
    for count in range(1, 6):
        canvas = canvas_of(encoding, *grown[:count])
        answer = both.vllm.read(canvas, "total?")
        close(answer, both.expected(canvas, "total?"))
        assert answer.cached_tok >= before_tok // BLOCK_TOK * BLOCK_TOK, "earlier fixations come from the cache"
        assert answer.cached_tok + answer.prefill_tok == len(prefix) + len(canvas) + len(suffix)
        before_tok = len(prefix) + len(canvas)
    (whole,) = some(encoding, 130)
    unordered = canvas_of(encoding, *some(encoding, 90, 40, seed=0))
    close(both.vllm.read(unordered, "total?"), both.expected(unordered, "total?"))
    close(both.vllm.read(canvas_of(encoding, whole), "who?"), both.expected(canvas_of(encoding, whole), "who?"))


def test_a_second_question_finds_the_canvas_in_the_cache(both: Pair) -> None:
    encoding = both.encode(seed=5)
    canvas = canvas_of(encoding, *some(encoding, 60, 60))
    both.vllm.read(canvas, "total?")
    second = both.vllm.read(canvas, "who signed it?")
    prefix, _ = both.hf.family.prompt("who signed it?")
    assert second.cached_tok >= (len(prefix) + 120) // BLOCK_TOK * BLOCK_TOK
    close(second, both.expected(canvas, "who signed it?"))


def test_a_batch_of_all_kinds(both: Pair) -> None:
    """Foveated, whole, text only, several pictures and questions, in the engine together."""
    encodings = [both.encode(seed=seed) for seed in (1, 2)] + [both.encode(640, 64)]
    asked = [(canvas_of(e, *some(e, 9, 13)), f"what is at {i}?") for i, e in enumerate(encodings)]
    asked += [(canvas_of(e, Part.of(e)), "total?") for e in encodings]
    asked += [(Canvas(1, 1), "is there nothing?"), (canvas_of(encodings[0], *some(encodings[0], 9)), "who?")]
    for answer, (canvas, question) in zip(at_once(both, *asked), asked, strict=True):
        if canvas.parts:
            close(answer, both.expected(canvas, question))
    assert answer.visual_tok == 9


def test_a_wrong_position_fails(both: Pair) -> None:
    """The comparison can fail: one column to the right, or a canvas one column wider, gives other numbers."""
    encoding = both.encode()
    right, moved, wider = [], [], []
    for seed in range(4):
        (part,) = some(encoding, 50, seed=seed)
        part = dataclasses.replace(part, col=part.col.clamp(max=encoding.grid.cols - 2))
        aside = dataclasses.replace(part, col=part.col + 1, key=f"moved {seed}")
        right.append(both.expected(canvas_of(encoding, part), "total?"))
        moved.append(both.vllm.read(canvas_of(encoding, aside), "total?"))
        longer = max(encoding.grid.rows, encoding.grid.cols) + 3
        wider.append(both.vllm.read(Canvas(longer, longer, (part,)), "total?"))
    for wrong in (moved, wider):
        with pytest.raises(AssertionError):
            for one, other in zip(right, wrong, strict=True):
                close(one, other)


def test_no_leak_between_images(both: Pair) -> None:
    """200 pictures, same selection and question, in the engine together, cold and warm: each its own answer."""
    encodings = [both.encode(224, 168, seed=seed) for seed in range(200)]
    asked = [(canvas_of(e, *some(e, 30)), "total?") for e in encodings]
    expected = [both.expected(*one) for one in asked]
    assert len({answer.logprobs for answer in expected}) == len(asked)
    before_tok = len(both.hf.family.prompt("total?")[0])
    for warm in (False, True):
        for answer, own in zip(at_once(both, *asked), expected, strict=True):
            close(answer, own)
            assert answer.cached_tok > before_tok or not warm, "tokens of the picture come from the cache"


def test_an_episode_is_the_same(both: Pair) -> None:
    settings = Episode(glimpse=12, budget={"name": "fixed", "tokens": 20}, fixations=3, stop_at=2)
    page = Picture.open(tiny.page(420, 330, seed=9))
    expected = Eye(both.hf, settings).look(page, "What is the total?")
    trace = Eye(VLLMEngine(both.hf, both.vllm), settings).look(page, "What is the total?")
    assert len(trace.steps) == 4, "the glimpse and three looks"
    for step, own in zip(trace.steps, expected.steps, strict=True):
        assert step.gaze.uv == own.gaze.uv and torch.equal(step.selection.index, own.selection.index)
        close(step.answer, own.answer)
    assert trace.steps[3].answer.cached_tok > 0


def test_ink_alone_reads_the_same(both: Pair) -> None:
    """Some cells of a page, encoded without the others: the tokens that vLLM gets, where they stand."""
    page = np.full((336, 420, 3), 255, np.uint8)
    page[60:72, 40:200:4] = 0
    page[250:262, 200:260:3] = 30
    settings = Episode(sampler="full", encoder="ink")
    expected = Eye(both.hf, settings).look(page, "What is the total?")
    trace = Eye(VLLMEngine(both.hf, both.vllm), settings).look(page, "What is the total?")
    assert 0 < trace.cost.visual_tok < 60 and trace.cost.encoder_passes < 0.5
    close(trace.answer, expected.answer)


def test_malformed_canvases_are_refused_and_the_engine_goes_on(both: Pair) -> None:
    encoding = both.encode(112, 112)
    (part,) = some(encoding, 10)
    width = part.wide.shape[1]
    nan = dataclasses.replace(part, tokens=part.tokens.index_fill(0, torch.tensor([3]), float("nan")), key="nan")
    narrow = dataclasses.replace(part, tokens=part.tokens[:, :-2], key="narrow")
    off = dataclasses.replace(part, row=part.row + 100, key="off")
    short = dataclasses.replace(part, tokens=part.tokens[:-1], deepstack=None, key="short")
    empty = Part(part.tokens[:0], part.row[:0], part.col[:0], "empty")
    cases = [(nan, "not finite"), (narrow, f"width {width}"), (off, "off its canvas")]
    cases += [(short, "one row and one column"), (empty, "1 or more|width")]
    for bad, message in cases:
        with pytest.raises(EngineError, match=message):
            both.vllm.read(canvas_of(encoding, bad), "total?")
    with pytest.raises(EngineError, match="sides are from 1"):
        both.vllm.read(Canvas(0, 0, (part,)), "total?")
    with pytest.raises(QuestionError, match=r"the prompt is \d+ tokens"):
        both.vllm.read(canvas_of(encoding, part), "why " * 2000)
    good = canvas_of(encoding, part)
    close(both.vllm.read(good, "total?"), both.expected(good, "total?"))


def test_two_canvases_in_one_prompt(both: Pair) -> None:
    """T [canvas] T [canvas] T: what the reader does not do by itself, the plugin reads all the same."""
    first, second = both.encode(), both.encode(640, 64)
    (a, b), (c,) = some(first, 30, 10), some(second, 12)
    family, pad = both.hf.family, both.vllm.image_token_id
    prefix, suffix = family.prompt("which?")
    between = family.tokenizer("and")["input_ids"]
    canvases = [canvas_of(first, a, b), canvas_of(second, c)]
    ids = [*prefix, pad, pad, *between, pad, *suffix]
    data = [fields.of(canvas, torch.float32, both.vllm.merge) for canvas in canvases]
    joined = {key: torch.cat([one[key] for one in data]) for key in fields.ALL}
    output = ask_raw(both, {"prompt_token_ids": ids, "multi_modal_data": {"image": joined}})
    got = next(iter(output.outputs[0].logprobs[0].values())).logprob
    before, parts, _ = family.positions(canvases[0], len(prefix), 0)
    start = len(prefix) + max(first.grid.rows, first.grid.cols)
    place = start + torch.arange(len(between)).expand(3, -1)
    _, (last,), after = family.positions(canvases[1], start + len(between), len(suffix))
    before_question = [both.hf._embed(prefix), a.wide, b.wide, both.hf._embed(between), c.wide]
    with torch.inference_mode():
        memory = both.hf.decoder.memory()
        both.hf.decoder.grow(memory, wide(before_question), torch.cat([before, *parts, place, last], 1))
        _, hidden = both.hf.decoder.ask(memory, [both.hf._embed(suffix)], [after])
        reference = float(family.logits(hidden[0]).log_softmax(-1).max())
    assert got == pytest.approx(reference, rel=1e-3)
    mixed = {**joined, fields.SHAPE: joined[fields.SHAPE] + torch.tensor([[0, 0], [1, 1], [0, 0]])}
    with pytest.raises(ValueError, match="touches one of"):
        ask_raw(both, {"prompt_token_ids": ids, "multi_modal_data": {"image": mixed}})


def ask_raw(both: Pair, prompt: dict[str, Any]) -> Any:
    """A prompt as any user of vLLM writes it."""

    async def ask() -> Any:
        return await both.vllm._generate(await both.vllm._render(prompt))

    return both.vllm._run(ask())


def test_checkpoints_that_vllm_does_not_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tiny.llava(tmp_path_factory.mktemp("llava"))
    with pytest.raises(ConfigError, match="not LlavaForConditionalGeneration; use engine hf"):
        VLLM(model=str(folder)).open_reader().__enter__()
    with pytest.raises(ConfigError, match="Give 'nano', a checkpoint folder, or a name on the hub"):
        VLLM(model="/nowhere/at/all").open_reader().__enter__()
