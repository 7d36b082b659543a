"""An engine that loads the vision tower as well: ordinary pixels beside canvases, each as it should be."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from PIL import Image

from saccade.types import Part
from tests import tiny
from tests.engines.conftest import Pair, canvas_of, close, needs_vllm, pair, some

pytestmark = [needs_vllm, pytest.mark.timeout(900)]

SIZE = 420, 336  # whole tokens, so that nobody resizes


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(str(tiny.qwen2_5_vl(tmp_path_factory.mktemp("qwen2_5_vl"))), pixels=True) as opened:
        yield opened


def test_pixels_beside_canvases(both: Pair) -> None:
    """Pixels in vLLM's own tower give what all tokens of the same page give, in one batch with a foveated request."""
    encoding, reader = both.encode(*SIZE), both.vllm
    whole, few = canvas_of(encoding, Part.of(encoding)), canvas_of(encoding, *some(encoding, 20, 15))
    prefix, suffix = reader.family.prompt("total?")
    prompt = {
        "prompt_token_ids": [*prefix, reader.image_token_id, *suffix],
        "multi_modal_data": {"image": [Image.fromarray(tiny.page(*SIZE))]},
    }

    async def raw() -> Any:
        return await reader._generate(await reader._render(prompt))

    async def ask() -> tuple[Any, ...]:
        pixels = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(raw(), reader._loop))
        return tuple(await asyncio.gather(pixels, reader.aread(few, "total?"), reader.aread(whole, "total?")))

    pixels, foveated, full = asyncio.run(ask())
    close(foveated, both.expected(few, "total?"))
    close(full, both.expected(whole, "total?"))
    (made,) = pixels.outputs
    logprobs = [chosen[token].logprob for token, chosen in zip(made.token_ids, made.logprobs, strict=True)]
    torch.testing.assert_close(torch.tensor(logprobs), torch.tensor(full.logprobs), rtol=1e-3, atol=1e-4)
