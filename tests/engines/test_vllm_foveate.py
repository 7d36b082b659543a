"""Ordinary images foveated inside vLLM: what transformers says of the same tokens at the same positions, to 1e-3.

Prefill comes in chunks of 64 tokens, prefix, processor and encoder caches are on.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from saccade.engines.vllm_plugin.foveation import Foveation, choose
from saccade.geometry.ink import ink_cells
from saccade.geometry.print_size import print_height_px
from saccade.importance import Mix
from saccade.picture import Picture
from saccade.registry import load
from saccade.samplers import Sampler
from saccade.types import Canvas, Encoding, Part, Scene
from tests import tiny
from tests.engines.conftest import Pair, canvas_of, close, needs_vllm, pair, some

pytestmark = [needs_vllm, pytest.mark.timeout(900)]

MOST_PX = 28 * 28 * 640


SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("qwen2_vl", "qwen3_vl")]  # half a minute to start


@pytest.fixture(scope="module", params=["qwen2_5_vl", *SLOW])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with pair(str(roomy(getattr(tiny, request.param)(tmp_path_factory.mktemp(request.param)))), pixels=True) as opened:
        yield opened


def roomy(folder: Path) -> Path:
    """A checkpoint whose pictures may have 300 columns."""
    path = folder / "preprocessor_config.json"
    told = json.loads(path.read_text())
    told["size"]["longest_edge"] = MOST_PX
    path.write_text(json.dumps(told))
    return folder


def page_of(both: Pair, seed: int, cols: int = 15, rows: int = 12) -> np.ndarray:
    """A page of whole tokens: nobody resizes it."""
    cell_px = both.hf.family.cell_px  # type: ignore[attr-defined]
    return tiny.page(cols * cell_px, rows * cell_px, seed)


def prompt(both: Pair, pages: list[np.ndarray], wanted: Any = None, question: str = "total?", **more: Any) -> Any:
    """A prompt as any user of vLLM writes it, `wanted` under "saccade"."""
    prefix, suffix = both.hf.family.prompt(question)
    start, end = prefix[-1], suffix[0]
    image = [start, both.vllm.image_token_id, end]
    return {
        "prompt_token_ids": [*prefix[:-1], *image * len(pages), *suffix[1:]],
        "multi_modal_data": {"image": [Image.fromarray(page) for page in pages]},
        **({} if wanted is None else {"mm_processor_kwargs": {"saccade": wanted}}),
        **more,
    }


async def ask_one(both: Pair, prompt: Any) -> Any:
    """The text's ids, log-probabilities, prompt tokens, cached tokens."""
    output = await both.vllm._generate(await both.vllm._render(prompt))
    (made,) = output.outputs
    logprobs = [chosen[token].logprob for token, chosen in zip(made.token_ids, made.logprobs, strict=True)]
    return list(made.token_ids), torch.tensor(logprobs), len(output.prompt_token_ids), output.num_cached_tokens


def at_once(both: Pair, *prompts: Any) -> list[Any]:
    """What all of these are answered, in the engine together."""

    async def ask() -> list[Any]:
        return await asyncio.gather(*(ask_one(both, prompt) for prompt in prompts))

    return both.vllm._run(ask())


def encoded(both: Pair, page: np.ndarray) -> Encoding:
    return both.hf.encode([both.hf.prepare(Picture.open(page))])[0]


def kept(both: Pair, page: np.ndarray, tokens: int, sampler: Any = "hybrid", scorer: Any = "edges") -> Canvas:
    """The canvas of these tokens, chosen by the library's own strategies from the transformers engine's encoding."""
    encoding = encoded(both, page)
    scene = Scene.of([(Picture.open(page), encoding, both.hf.query("total?"))])
    strategy = load("samplers", sampler, Sampler)
    importance = torch.zeros(1, len(encoding)) if strategy.blind else Mix.parse(scorer)(scene)
    gaze = torch.tensor([[0.5, 0.5]]) if strategy.blind else encoding.grid.centre_uv[importance.argmax(1)]
    return canvas_of(encoding, Part.of(encoding, strategy(scene, importance, gaze, tokens)[0]))


def same(both: Pair, got: Any, canvas: Canvas, question: str = "total?") -> None:
    """vLLM's answer is that of transformers to this canvas."""
    answer = both.expected(canvas, question)
    prefix, suffix = both.hf.family.prompt(question)
    assert got[2] == len(prefix) + len(canvas) + len(suffix)
    count = min(len(got[1]), len(answer.logprobs))
    assert count > 0
    torch.testing.assert_close(got[1][:count], torch.tensor(answer.logprobs)[:count], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"scorer": "received"},
        {"scorer": "variance"},
        {"scorer": "contrast"},
        {"scorer": "rarity:0.5,frequency:0.5"},
        {"scorer": "entropy:0.9,region:0.1"},
        {"scorer": "norm:0.3,edges:0.7", "sampler": "topk"},
        {"scorer": [{"name": "variance", "at": "after"}], "sampler": {"name": "hybrid", "ratio": 0.4}},
        {"sampler": "uniform"},
        {"sampler": "cortical", "scorer": "received"},
        {"sampler": "diversity"},
        {"sampler": {"name": "diversity", "kind": "dpp"}, "scorer": "contrast"},
    ],
    ids=lambda asked: "-".join(str(value)[:12] for value in asked.values()) or "edges",
)
def test_selected_images_equal_transformers(both: Pair, asked: dict[str, Any]) -> None:
    page = page_of(both, 3)
    (got,) = at_once(both, prompt(both, [page], {"tokens": 50, **asked}))
    same(both, got, kept(both, page, 50, **asked))


def printed(both: Pair, seed: int) -> np.ndarray:
    """A page with blank cells."""
    page, cell_px = page_of(both, seed).copy(), both.hf.family.cell_px  # type: ignore[attr-defined]
    page[2 * cell_px : 7 * cell_px, 3 * cell_px : 12 * cell_px] = page[-5 * cell_px :, :cell_px] = 243
    return page


def encoded_alone(both: Pair, page: np.ndarray, asked: dict[str, Any]) -> Canvas:
    """The canvas of the cells that are asked for, which transformers' tower alone has seen."""
    prepared = both.hf.prepare(Picture.open(page))
    if asked.get("ink"):
        cells = ink_cells(page, prepared.grid)
        assert 0 < len(cells) < len(prepared.grid) - 5
    else:
        number = min(asked["tokens"], len(prepared.grid))
        cells = choose(Foveation.parse(asked), Picture.open(page), prepared.grid, edges(both, page))[:number]
    encoding = both.hf.encode([prepared.some(cells, "test")])[0]
    return canvas_of(encoding, Part.of(encoding))


def edges(both: Pair, page: np.ndarray) -> torch.Tensor:
    encoding = encoded(both, page)
    return Mix.parse("edges")(Scene.of([(Picture.open(page), encoding, both.hf.query("total?"))]))


BEFORE = [{"ink": True}, {"tokens": 50, "before": "tower"}, {"tokens": 9, "before": "tower", "sampler": "uniform"}]


@pytest.mark.parametrize("asked", BEFORE, ids=lambda asked: "-".join(map(str, asked.values())))
def test_what_is_not_kept_is_not_encoded(both: Pair, asked: dict[str, Any]) -> None:
    """Beside whole images and images of which the tower chooses, in the same steps."""
    pages = [printed(both, seed) for seed in (3, 4)]
    wanted = [asked, None, {"tokens": 40, "scorer": "variance"}, asked]
    got = at_once(both, *(prompt(both, [pages[i % 2]], one) for i, one in enumerate(wanted)))
    for i in (0, 3):
        same(both, got[i], encoded_alone(both, pages[i % 2], asked))
    whole = encoded(both, pages[1])
    same(both, got[1], canvas_of(whole, Part.of(whole)))
    same(both, got[2], kept(both, pages[0], 40, scorer="variance"))


@pytest.mark.parametrize("asked", [{}, {"ink": True}, {"tokens": 20, "before": "tower"}], ids=["all", "ink", "tokens"])
def test_an_image_is_shrunk_until_its_print_is_as_high_as_asked(both: Pair, asked: dict[str, Any]) -> None:
    cell_px = both.hf.family.cell_px  # type: ignore[attr-defined]
    letters = Image.new("RGB", (16 * cell_px, 12 * cell_px), (250, 250, 250))
    for line in range(4):
        ImageDraw.Draw(letters).text((20, 20 + 60 * line), "common sense " * 2, fill=(20, 20, 20), font_size=40)
    page = np.asarray(letters)
    height_px = print_height_px(page)
    assert height_px is not None and height_px > 16
    half = np.array(letters.resize((8 * cell_px, 6 * cell_px), Image.Resampling.BICUBIC))
    small, whole = at_once(both, *(prompt(both, [page], {**asked, "print_px": px}) for px in (height_px / 2, 500.0)))
    assert small[2] < whole[2] or "tokens" in asked
    for got, pixels in ((small, half), (whole, page)):
        encoding = encoded(both, pixels)
        same(both, got, encoded_alone(both, pixels, asked) if asked else canvas_of(encoding, Part.of(encoding)))


def test_several_images_of_a_prompt_before_the_tower(both: Pair) -> None:
    """As two prompts' images are: each attends to itself alone."""
    pages = [printed(both, seed) for seed in (5, 6)]
    alone = [both.vllm._run(ask_one(both, prompt(both, [page], {"ink": True}))) for page in pages]
    assert len({tuple(one[1].tolist()) for one in alone}) == 2
    (together,) = at_once(both, prompt(both, pages, {"ink": True}))
    assert together[2] - alone[0][2] == len(ink_cells(pages[1], both.hf.prepare(Picture.open(pages[1])).grid)) + 2


def test_an_image_that_keeps_everything_is_the_whole_image(both: Pair) -> None:
    page = page_of(both, 7)
    whole = encoded(both, page)
    (got,) = at_once(both, prompt(both, [page], {"tokens": 10_000, "before": "tower"}))
    same(both, got, canvas_of(whole, Part.of(whole)))


def test_canvases_beside_pixels(both: Pair) -> None:
    """In one batch: a canvas of a few tokens, one of all, and the same page as ordinary pixels."""
    page = page_of(both, 2)
    encoding = encoded(both, page)
    few, all_of_it = canvas_of(encoding, *some(encoding, 20, 15)), canvas_of(encoding, Part.of(encoding))

    async def ask() -> list[Any]:
        pixels = asyncio.wrap_future(both.vllm._submit(ask_one(both, prompt(both, [page]))))
        return await asyncio.gather(both.vllm.aread(few, "total?"), both.vllm.aread(all_of_it, "total?"), pixels)

    foveated, whole, own = asyncio.run(ask())
    close(foveated, both.expected(few, "total?"))
    close(whole, both.expected(all_of_it, "total?"))
    same(both, own, all_of_it)


def test_the_comparison_can_fail(both: Pair) -> None:
    page = page_of(both, 3)
    (got,) = at_once(both, prompt(both, [page], {"tokens": 50}))
    encoding = encoded(both, page)
    with pytest.raises(AssertionError):
        same(both, got, canvas_of(encoding, *some(encoding, 50)))


@pytest.mark.parametrize("scorer", ["edges", "received"])
def test_warm_equals_cold(both: Pair, scorer: str) -> None:
    """The same image with other words before it: processor and encoder know it, the prefix cache does not."""
    page, wanted = page_of(both, 4), {"tokens": 40, "scorer": scorer}
    cold = prompt(both, [page], wanted, multi_modal_uuids={"image": ["cold"]})
    cold["prompt_token_ids"] = [5, 6, *cold["prompt_token_ids"]]
    first, other = prompt(both, [page], wanted), prompt(both, [page], wanted)
    other["prompt_token_ids"] = [5, 6, *other["prompt_token_ids"]]
    (expected,), (before,), (warm,), (again,) = (at_once(both, one) for one in (cold, first, other, other))
    assert warm[3] == 0 and expected[0] == warm[0] == again[0]
    torch.testing.assert_close(warm[1], expected[1])
    torch.testing.assert_close(again[1], expected[1], rtol=1e-4, atol=1e-5)
    same(both, before, kept(both, page, 40, scorer=scorer))
    (second,) = at_once(both, prompt(both, [page], wanted, "who?"))
    assert second[3] >= 32, "the image of a second question comes from the prefix cache"
    same(both, second, kept(both, page, 40, scorer=scorer), "who?")


def test_a_batch_of_all_kinds(both: Pair) -> None:
    """Two budgets, two scorers, whole images and two images in one prompt, in the engine together, twice."""
    pages = [page_of(both, seed) for seed in (5, 6)]
    asked = [
        (page, {"tokens": tokens, "scorer": scorer})
        for page in pages
        for tokens, scorer in ((50, "edges"), (21, "edges"), (33, "received"), (9999, "received"))
    ]
    double = prompt(both, pages, {"tokens": 30, "scorer": "variance"})
    (alone,) = at_once(both, double)
    for _ in range(2):
        *got, whole, two = at_once(
            both, *(prompt(both, [page], wanted) for page, wanted in asked), prompt(both, [pages[0]]), double
        )
        for answer, (page, wanted) in zip(got, asked, strict=True):
            same(both, answer, kept(both, page, **wanted))
        same(both, whole, kept(both, pages[0], 9999))
        torch.testing.assert_close(two[1], alone[1], rtol=1e-3, atol=1e-5)


def test_enough_tokens_are_vllm_without_selection(both: Pair) -> None:
    """To the last bit, in one prompt with another image too."""
    pages = [page_of(both, 7), page_of(both, 8, 7, 7)]
    for shown in (pages[:1], pages):
        (own,), (got,), (late,) = (
            at_once(both, prompt(both, shown, wanted))
            for wanted in (None, {"tokens": 9999}, {"tokens": 9999, "scorer": "received"})
        )
        assert torch.equal(own[1], got[1]) and own[:1] == got[:1] and own[2] == got[2]
        assert torch.equal(own[1], late[1])


@pytest.mark.parametrize("scorer", ["edges", "received"])
def test_300_columns(both: Pair, scorer: str) -> None:
    cell_px = both.hf.family.cell_px  # type: ignore[attr-defined]
    cols = min(300, MOST_PX // cell_px**2 // 2)
    page = page_of(both, 9, cols, 2)
    canvas = kept(both, page, 150, scorer=scorer)
    assert canvas.cols == cols > 240 and int(canvas.parts[0].col.max()) > 230
    (got,) = at_once(both, prompt(both, [page], {"tokens": 150, "scorer": scorer}))
    same(both, got, canvas)


def test_no_leak_between_images(both: Pair) -> None:
    pages = [page_of(both, seed, 4, 4) for seed in range(12)]
    wanted = {"tokens": 9, "scorer": "received"}
    for _ in range(2):
        for page, got in zip(pages, at_once(both, *(prompt(both, [page], wanted) for page in pages)), strict=True):
            same(both, got, kept(both, page, **wanted))


def video(seed: int = 0) -> tuple[np.ndarray, dict[str, Any]]:
    frames = np.stack([tiny.page(112, 112, seed + number) for number in range(4)])
    told = {"fps": 2.0, "duration": 2.0, "total_num_frames": 4, "frames_indices": [0, 1, 2, 3]}
    return frames, {**told, "video_backend": "opencv", "do_sample_frames": False}


def test_videos_are_untouched(both: Pair) -> None:
    """Alone, and in front of an image that has as many tokens as asked for."""
    words = both.hf.family.tokenizer
    page = page_of(both, 0, 4, 4)
    start, pad, end = words.convert_tokens_to_ids(["<|vision_start|>", "<|video_pad|>", "<|vision_end|>"])
    for pages in ([], [page]):
        asked = prompt(both, pages)
        asked["prompt_token_ids"] = [start, pad, end, *asked["prompt_token_ids"]]
        asked["multi_modal_data"] = {
            "video": [video()],
            **({"image": asked["multi_modal_data"]["image"]} if pages else {}),
        }
        (own,) = at_once(both, asked)
        (got,) = at_once(both, {**asked, "mm_processor_kwargs": {"saccade": {"tokens": 16, "scorer": "received"}}})
        assert got[2] == own[2] and torch.equal(own[1], got[1])
    (fewer,) = at_once(both, {**asked, "mm_processor_kwargs": {"saccade": {"tokens": 5, "scorer": "received"}}})
    assert fewer[2] == own[2] - (own_tok(both, page) - 5)


def own_tok(both: Pair, page: np.ndarray) -> int:
    return len(encoded(both, page))


BAD: list[tuple[Any, str]] = [
    ({"tokens": 0}, "greater than or equal to 1"),
    ({"tokens": -5}, "greater than or equal to 1"),
    ({"tokens": "9"}, "valid integer"),
    ({"tokens": True}, "valid integer"),
    ({"tokens": 10**30}, "less than or equal"),
    ({}, "say how many 'tokens'"),
    (7, "not 7"),
    ({"tokens": 9, "token": 9}, "there is no such setting"),
    ({"tokens": 9, "sampler": "nope"}, "no sampler named 'nope'"),
    ({"tokens": 9, "sampler": 3}, "sampler"),
    ({"tokens": 9, "sampler": {"name": "hybrid", "ratio": 7}}, "at least 0 and at most 1"),
    ({"tokens": 9, "sampler": {"name": "hybrid", "num_rho": 10**9}}, "at most 1024"),
    ({"tokens": 9, "sampler": {"name": "os.path"}}, "not one of saccade's own"),
    ({"tokens": 9, "sampler": "slots"}, "'slots' merges tokens"),
    ({"tokens": 9, "sampler": "ptp"}, "'ptp' reads the question"),
    ({"tokens": 2000, "sampler": "diversity"}, "at most 1024 tokens here, not 2000"),
    ({"tokens": 9, "scorer": "nope"}, "no scorer named 'nope'"),
    ({"tokens": 9, "scorer": "query"}, "needs a question"),
    ({"tokens": 9, "scorer": "edges:-1"}, "positive number"),
    ({"tokens": 9, "scorer": []}, "at least 1"),
    ({"tokens": 9, "gaze": [0.5]}, "gaze"),
    ({"tokens": 9, "gaze": [0.5, 7]}, "off the picture"),
    ({"tokens": 9, "gaze": [0.5, float("nan")]}, "off the picture"),
]


def test_what_cannot_be_had_is_refused_and_the_engine_goes_on(both: Pair) -> None:
    page = page_of(both, 0, 4, 4)
    for wanted, message in BAD:
        with pytest.raises(ValueError, match=message):
            at_once(both, prompt(both, [page], wanted))
    (got,) = at_once(both, prompt(both, [page], {"tokens": 9}))
    same(both, got, kept(both, page, 9))
