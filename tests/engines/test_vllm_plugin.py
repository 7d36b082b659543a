"""What the plugin works out by itself: positions of prompts with canvases, and which fields it lets through.

None of this needs vLLM.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from saccade.engines.hf import HFEngine
from saccade.engines.vllm_plugin import fields
from saccade.engines.vllm_plugin.positions import Placed, canvas_positions
from saccade.picture import Picture
from saccade.types import Canvas, Part, Selection
from tests import tiny

WIDTH, MERGE, MOST = 6, 2, 64


def placed(offset: int, cells: list[list[int]], rows: int = 4, cols: int = 9) -> Placed:
    return Placed(offset, torch.tensor(cells), rows, cols)


def test_against_the_family(engine: HFEngine) -> None:
    """The positions are those that the transformers engine gives the same prompt."""
    encoding = engine.encode([engine.prepare(Picture.open(tiny.page(300, 200)))])[0]
    order = torch.randperm(len(encoding), generator=torch.Generator().manual_seed(0))
    parts = [Part.of(encoding, Selection.keep(index, len(encoding))) for index in order[:30].split([12, 3, 15])]
    made = Canvas(encoding.grid.rows, encoding.grid.cols, tuple(parts))
    before, middle, after = engine.family.positions(made, 7, 5)
    offsets = [7, 19, 22]
    told = [
        Placed(offset, torch.stack([part.row, part.col], -1), made.rows, made.cols)
        for offset, part in zip(offsets, parts, strict=True)
    ]
    positions, delta = canvas_positions(7 + 30 + 5, told[::-1])
    assert torch.equal(positions, torch.cat([before, *middle, after], 1))
    assert int(after[0, -1]) + 1 == 42 + delta, "the first generated token, number 42, follows the suffix"


def test_two_canvases_in_one_prompt() -> None:
    """T T [a b] T [c] T: the second canvas starts behind the first one's longer side and the text between them."""
    positions, delta = canvas_positions(7, [placed(2, [[0, 8], [3, 1]]), placed(5, [[1, 0]], 2, 2)])
    assert positions.T.tolist() == [
        *[[0] * 3, [1] * 3],
        *[[2, 2, 10], [2, 5, 3]],
        [11] * 3,
        [12, 13, 12],
        [14] * 3,
    ]
    assert delta == 15 - 7


def test_a_canvas_may_begin_or_end_the_prompt() -> None:
    positions, delta = canvas_positions(3, [placed(0, [[0, 0], [0, 1], [0, 0]], 1, 2)])
    assert positions.T.tolist() == [[0, 0, 0], [0, 0, 1], [0, 0, 0]], "two tokens may share a cell"
    assert 3 + delta == 2, "what is generated stands behind the longer side"


def test_generated_tokens_are_text() -> None:
    """vLLM's V2 runner passes what was generated before a preemption as part of the prompt."""
    parts = [placed(2, [[0, 8], [3, 1]])]
    prompt, delta = canvas_positions(6, parts)
    resumed, same = canvas_positions(9, parts)
    assert torch.equal(resumed[:, :6], prompt) and same == delta
    assert resumed[:, 6:].tolist() == [[6 + delta, 7 + delta, 8 + delta]] * 3


def test_one_canvas_has_one_size() -> None:
    with pytest.raises(ValueError, match="canvas of 2 x 2 cells touches one of 4 x 9"):
        canvas_positions(9, [placed(2, [[0, 8]]), placed(3, [[0, 0]], 2, 2)])


def good() -> dict[str, Tensor]:
    """Two parts, of 3 and 1 tokens, on a canvas of 4 x 9."""
    return {
        "image_embeds": torch.randn(4, WIDTH),
        "image_grid_thw": torch.tensor([[1, 2, 6], [1, 2, 2]]),
        fields.CELLS: torch.tensor([[0, 0], [3, 8], [1, 1], [1, 1]]),
        fields.SHAPE: torch.tensor([[4, 9], [4, 9]]),
    }


def test_good_fields_pass() -> None:
    fields.check(good(), WIDTH, MERGE, MOST)
    encoding = torch.randn(4, WIDTH)
    part = Part(encoding[:3], torch.tensor([0, 3, 1]), torch.tensor([0, 8, 1]), "a")
    one = Part(encoding[3:], torch.tensor([1]), torch.tensor([1]), "b")
    made = fields.of(Canvas(4, 9, (part, one)), torch.float32, MERGE)
    assert torch.equal(made["image_embeds"], encoding)
    assert all(torch.equal(made[key], good()[key]) for key in ("image_grid_thw", *fields.OURS))


def changed(key: str, change: Callable[[Tensor], object]) -> dict[str, object]:
    return {**good(), key: change(good()[key])}


def spoilt(value: float) -> Callable[[Tensor], Tensor]:
    return lambda embeds: embeds.index_fill(0, torch.tensor([2]), value)


BAD = {
    "missing": (changed(fields.CELLS, lambda _: None), "canvas_cells is NoneType"),
    "list": (changed(fields.SHAPE, lambda shape: shape.tolist()), "canvas_shape is list"),
    "width": (changed("image_embeds", lambda e: e[:, 1:]), r"width 6 \(tokens, 6\)"),
    "rank": (changed("image_embeds", lambda e: e[None]), r"image_embeds is \(1, 4, 6\)"),
    "integers": (changed("image_embeds", lambda e: e.long()), "floating-point tokens"),
    "nan": (changed("image_embeds", spoilt(float("nan"))), "not finite"),
    "infinite": (changed("image_embeds", spoilt(float("inf"))), "not finite"),
    "fewer embeddings": (changed("image_embeds", lambda e: e[:3]), "there are 3 embeddings, 4 cells"),
    "fewer cells": (changed(fields.CELLS, lambda c: c[:3]), "there are 4 embeddings, 3 cells"),
    "fewer shapes": (changed(fields.SHAPE, lambda s: s[:1]), "1 canvas shapes for 2 parts"),
    "no tokens": (changed("image_grid_thw", lambda g: g[:0]), r"image_grid_thw is \(0, 3\)"),
    "empty part": (changed("image_grid_thw", lambda g: g * torch.tensor([1, 1, 0])), "K >= 1"),
    "odd grid": (changed("image_grid_thw", lambda g: g + 1), r"a part of K tokens has \[1, 2, 2 \* K\]"),
    "row off": (changed(fields.CELLS, lambda c: c + torch.tensor([1, 0])), r"token 1 stands at row, column \[4, 8\]"),
    "column off": (changed(fields.CELLS, lambda c: c + torch.tensor([0, 1])), r"\[3, 9\], off its canvas"),
    "negative": (changed(fields.CELLS, lambda c: c - 1), r"token 0 stands at row, column \[-1, -1\]"),
    "float cells": (changed(fields.CELLS, lambda c: c.float()), "canvas_cells is .* torch.float32"),
    "no canvas": (changed(fields.SHAPE, lambda s: s * 0), "sides are from 1 to 64"),
    "endless canvas": (changed(fields.SHAPE, lambda s: s * 100), "sides are from 1 to 64"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_fields_are_refused(name: str) -> None:
    data, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        fields.check(data, WIDTH, MERGE, MOST)


def test_a_part_that_does_not_fit_itself_is_refused() -> None:
    row = torch.zeros(3, dtype=torch.int64)
    whole = Part(torch.randn(3, WIDTH), row, row, "a")
    for part in (Part(torch.randn(2, WIDTH), row, row, "a"), Part(torch.randn(3, WIDTH), row[:2], row, "a")):
        with pytest.raises(ValueError, match="one row and one column for each token"):
            fields.of(Canvas(4, 9, (part,)), torch.float32, MERGE)
    with pytest.raises(ValueError, match="different widths"):
        fields.of(Canvas(4, 9, (whole, Part(torch.randn(3, WIDTH + 1), row, row, "b"))), torch.float32, MERGE)


ORPHAN = """
import multiprocessing, os, signal, sys, time
from saccade.engines.vllm_plugin import start

def core():
    start.follow_owner(), start.follow_owner()
    print(os.getpid(), flush=True)
    time.sleep(60)

if __name__ == "__main__":
    os.environ[start.OWNER] = str(os.getpid() if sys.argv[1] == "owner" else 1)
    multiprocessing.get_context("fork").Process(target=core).start()
    time.sleep(3)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("owner", ["owner", "another"])
def test_an_engine_ends_with_its_owner(owner: str, tmp_path: Path) -> None:
    """And only with the process that opened it: a `vllm serve` of somebody else's is left alone."""
    script = tmp_path / "orphan.py"
    script.write_text(ORPHAN)
    # Its output ends when the last process that holds it does.
    run = subprocess.Popen([sys.executable, str(script), owner], stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    core, ended = int(run.stdout.readline()), False
    assert run.wait(30) == -signal.SIGKILL
    try:
        for _ in range(100):
            os.kill(core, 0)
            time.sleep(0.1 if owner == "owner" else 0.02)
        os.kill(core, signal.SIGKILL)
    except ProcessLookupError:
        ended = True
    assert ended == (owner == "owner")
