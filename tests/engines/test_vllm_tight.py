"""vLLM with no prefix cache and hardly any room: requests are preempted, computed again, and answer the same.

Answers are long here. The last test of each engine kills it.
"""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from saccade.engines.vllm_plugin import fields, start
from saccade.errors import EngineDead
from tests import tiny
from tests.engines.conftest import BLOCK_TOK, Pair, canvas_of, close, needs_vllm, pair, some

pytestmark = [needs_vllm, pytest.mark.timeout(900)]

NEW_TOK = 64
NUM_BLOCKS = 12  # one of them is vLLM's own

imports_vllm = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # its imports warn


@pytest.fixture(scope="module", params=[pytest.param("qwen2_5_vl", marks=pytest.mark.slow), "qwen3_vl"])
def tight(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = getattr(tiny, request.param)(tmp_path_factory.mktemp(request.param))
    room = {"prefix_caching": False, "num_kv_blocks": NUM_BLOCKS, "max_prompt_tok": 320, "max_num_batched_tok": 512}
    with pytest.MonkeyPatch.context() as patch:
        started = start.engine  # the reader counts nothing by itself
        patch.setattr(start, "engine", lambda **options: started(**{**options, "disable_log_stats": False}))
        with pair(str(folder), max_new_tok=NEW_TOK, **room) as opened:
            yield opened


def num_preemptions() -> int:
    """Requests that the engine has put back so far, as its own metrics tell."""
    from vllm.v1.metrics.reader import Counter, get_metrics_snapshot

    (told,) = (metric for metric in get_metrics_snapshot() if metric.name == "vllm:num_preemptions")
    assert isinstance(told, Counter)
    return told.value


def test_without_a_cache(tight: Pair) -> None:
    encoding = tight.encode()
    grown = some(encoding, 40, 30, 20)
    for count in (1, 3, 3):
        canvas = canvas_of(encoding, *grown[:count])
        answer = tight.vllm.read(canvas, "total?")
        close(answer, tight.expected(canvas, "total?"))
        assert answer.cached_tok == 0


def test_preempted_requests_answer_the_same(tight: Pair) -> None:
    """Three prompts of three full blocks fit into 11; with the first token of each answer they do not."""
    prefix, suffix = tight.hf.family.prompt("total?")
    room_tok = 3 * BLOCK_TOK - len(prefix) - len(suffix)
    encodings = [tight.encode(seed=seed) for seed in range(6)]
    asked = [canvas_of(e, *some(e, room_tok - 20, 20)) for e in encodings]
    expected = [tight.expected(canvas, "total?") for canvas in asked]

    async def ask() -> list[Any]:
        return await asyncio.gather(*(tight.vllm.aread(canvas, "total?") for canvas in asked))

    assert num_preemptions() == 0
    for answer, own in zip(asyncio.run(ask()), expected, strict=True):
        close(answer, own)
    assert num_preemptions() > 0, "nobody was put back: this tests nothing"


@imports_vllm
def test_generated_tokens_on_resumption() -> None:
    """vLLM's V2 runner asks for the positions of prompt and generated tokens when it resumes a request."""
    from saccade.engines.vllm_plugin.models import Positions

    told: Any = Positions.get_mrope_input_positions  # needs no model where a prompt holds a canvas
    cells, shape = torch.tensor([[0, 8], [3, 1]]), torch.tensor([4, 9])
    data = {fields.CELLS: SimpleNamespace(data=cells), fields.SHAPE: SimpleNamespace(data=shape)}
    feature = SimpleNamespace(mm_position=SimpleNamespace(offset=2), data=data)
    prompt, delta = told(None, [0] * 6, [feature])
    resumed, same = told(None, [0] * 9, [feature])
    assert prompt.T.tolist() == [[0] * 3, [1] * 3, [2, 2, 10], [2, 5, 3], [11] * 3, [12] * 3]
    assert torch.equal(resumed[:, :6], prompt) and same == delta == 7
    assert resumed[:, 6:].tolist() == [[13, 14, 15]] * 3


@imports_vllm
def test_registering_twice() -> None:
    from vllm import ModelRegistry

    from saccade.engines import vllm_plugin

    vllm_plugin.register()
    vllm_plugin.register()
    assert {vllm_plugin.PREFIX + name for name in vllm_plugin.MODELS} <= set(ModelRegistry.get_supported_archs())


def test_a_dead_engine_says_so(tight: Pair) -> None:
    encoding = tight.encode(112, 112)
    canvas = canvas_of(encoding, *some(encoding, 9))
    tight.vllm.read(canvas, "total?")
    (core,) = tight.vllm._llm.engine_core.resources.engine_manager.processes
    core.kill()
    for _ in range(2):
        with pytest.raises(EngineDead, match="died"):
            tight.vllm.read(canvas, "total?")
    tight.vllm.close()
    tight.vllm.close()
    with pytest.raises(EngineDead, match="has been closed"):
        tight.vllm.read(canvas, "total?")
