"""What is done behind the tower: HiRED and pooling."""

from dataclasses import replace

import pytest
import torch

from saccade.api import Eye
from saccade.config import Episode
from saccade.engines.hf import HF
from saccade.geometry.grid import plain_grid
from saccade.picture import Picture
from saccade.reduction._slots import regroup
from saccade.reduction.hired import HiRED
from saccade.reduction.pooling import Pooling
from saccade.types import Encoding
from tests import tiny
from tests.helpers import item


def encoding(rows: int, cols: int, seed: int = 0) -> Encoding:
    """Random, with DeepStack levels."""
    made = item(rows, cols, seed=seed)[1]
    return replace(made, deepstack=torch.randn(rows * cols, 2, 6, generator=torch.Generator().manual_seed(seed)))


def merged(made: Encoding, into: list[list[int]]) -> Encoding:
    """Written out: slot s holds the tokens into[s]; slots in raster order of their centroid's cell."""
    grid, slots = made.grid, []
    for members in into:
        row, col = (int(2 * side[members].sum() + len(members)) // (2 * len(members)) for side in (grid.row, grid.col))
        slots.append((row * grid.cols + col, row, col, members))
    slots.sort(key=lambda slot: slot[0])
    pick = [members for *_, members in slots]
    return replace(
        made,
        tokens=torch.stack([made.tokens[m].mean(0) for m in pick]),
        features=torch.stack([made.features[m].mean(0) for m in pick]),
        received=torch.stack([made.received[m].sum() for m in pick]),
        deepstack=torch.stack([made.deepstack[m].mean(0) for m in pick]),
        grid=replace(grid, row=torch.tensor([s[1] for s in slots]), col=torch.tensor([s[2] for s in slots])),
    )


def same(a: Encoding, b: Encoding) -> None:
    for name in ("tokens", "features", "received", "deepstack"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), msg=name)
    assert a.grid.row.tolist() == b.grid.row.tolist() and a.grid.col.tolist() == b.grid.col.tolist()


def test_regrouping_against_a_loop() -> None:
    made = encoding(5, 7)
    into = torch.randint(-1, 9, (35,), generator=torch.Generator().manual_seed(2))
    into[torch.arange(9) * 3] = torch.arange(9)  # none is empty
    found = regroup(made, into, 9)
    same(found, merged(made, [[t for t in range(35) if into[t] == slot] for slot in range(9)]))
    cells = found.grid.source
    assert cells is not None and ((cells < 0) == (into < 0)).all()
    assert all(len({int(c) for c in cells[into == slot]}) == 1 for slot in range(9))


def test_what_was_merged_before_is_counted_by_its_cells() -> None:
    """2 x 4 cells: the left half merged into one token first, then with one cell more: the centroid of five cells."""
    made = encoding(2, 4)
    once = regroup(made, torch.tensor([0, 0, 1, 2, 0, 0, 3, 4]), 5)
    assert once.grid.source is not None
    big = int(once.grid.source[0])
    into = torch.arange(5)
    other = int(once.grid.source[2])  # cell (0, 2)
    into[other] = into[big]
    into = into.unique(return_inverse=True)[1]
    twice = regroup(once, into, 4)
    slot = int(twice.grid.source[0])
    expected = made.grid.centre_uv[[0, 1, 2, 4, 5]].mean(0)
    torch.testing.assert_close(twice.grid.centre_uv[slot], expected)
    torch.testing.assert_close(twice.received.sum(), made.received.sum())


@pytest.mark.parametrize(("rows", "cols", "side"), [(4, 6, 2), (5, 7, 2), (5, 7, 3), (3, 3, 5)])
@pytest.mark.parametrize("how", ["mean", "max"])
def test_pooling_against_a_loop(rows: int, cols: int, side: int, how: str) -> None:
    made = encoding(rows, cols)
    found = Pooling(side=side, how=how).after(made)
    blocks = [
        [r * cols + c for r in range(top, min(top + side, rows)) for c in range(left, min(left + side, cols))]
        for top in range(0, rows, side)
        for left in range(0, cols, side)
    ]
    expected = merged(made, blocks)
    if how == "max":
        expected = replace(
            expected,
            tokens=torch.stack([made.tokens[m].amax(0) for m in blocks]),
            features=torch.stack([made.features[m].amax(0) for m in blocks]),
            deepstack=torch.stack([made.deepstack[m].amax(0) for m in blocks]),
        )
    same(found, expected)


def test_pooling_of_four_by_hand() -> None:
    made = encoding(2, 2)
    made = replace(made, tokens=torch.tensor([[1.0, 5], [2, 0], [3, 0], [6, 3]]))
    assert Pooling().after(made).tokens.tolist() == [[3.0, 2.0]]
    assert Pooling(how="max").after(made).tokens.tolist() == [[6.0, 5.0]]
    assert Pooling().after(made).grid.row.tolist() == [1], "floor of the centre (0.5, 0.5) of 2 x 2"


def test_nothing_to_do_is_the_same_encoding() -> None:
    made = encoding(4, 5)
    assert Pooling(side=1).after(made) is made
    assert HiRED(keep=20).after(made) is made and HiRED(keep=99).after(made) is made


def test_hired_by_hand() -> None:
    """4 x 4 in quarters that receive 8 : 4 : 2 : 2 in all: of 8 tokens 4, 2, 1 and 1, each quarter's best."""
    received = torch.zeros(4, 4)
    received[:2, :2] = torch.tensor([[3.5, 2.5], [1.5, 0.5]])
    received[:2, 2:] = torch.tensor([[0.5, 0.5], [1.0, 2.0]])
    received[2:, :2] = torch.tensor([[1.9, 0.1], [0.0, 0.0]])
    received[2:, 2:] = torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    made = replace(encoding(4, 4), received=received.flatten())
    found = HiRED(keep=8).after(made)
    assert list(zip(found.grid.row.tolist(), found.grid.col.tolist(), strict=True)) == [
        (0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (1, 3), (2, 0), (3, 3),
    ]  # fmt: skip
    kept = [0, 1, 4, 5, 6, 7, 8, 15]
    assert torch.equal(found.tokens, made.tokens[kept]) and torch.equal(found.deepstack, made.deepstack[kept])
    best = received.flatten().topk(8).indices.sort().values.tolist()
    assert best != kept, "it is not the best eight of the whole image"


def test_hired_through_the_engine(qwen2_5_vl) -> None:
    """As a setting: 40 tokens leave the encoder, all enter the language model, the cache keys say by whom chosen."""
    spec = HF(model=str(qwen2_5_vl), reduction={"name": "hired", "keep": 40}, max_new_tok=4)
    with spec.open() as engine:
        trace = Eye(engine, Episode(sampler="full")).look(tiny.page(301, 203), "What is the total?")
        assert trace.answer.visual_tok == 40 and trace.cost.visual_tok == 40
        plain = HF(model=str(qwen2_5_vl))
        with plain.open() as untouched:
            whole = untouched.encode([untouched.prepare(page())])[0]
        few = engine.encode([engine.prepare(page())])[0]
    assert few.fingerprint != whole.fingerprint and few.num_patches == whole.num_patches
    places = {(r, c) for r, c in zip(few.grid.row.tolist(), few.grid.col.tolist(), strict=True)}
    assert len(places) == 40 and (few.grid.rows, few.grid.cols) == (whole.grid.rows, whole.grid.cols)
    index = few.grid.row * few.grid.cols + few.grid.col
    assert torch.equal(few.tokens, whole.tokens[index])


def page() -> Picture:
    return Picture.open(tiny.page(301, 203))


def test_grids_of_one_row() -> None:
    made = replace(encoding(1, 5), grid=plain_grid(1, 5, 80, 16))
    assert len(Pooling(side=2).after(made)) == 3
    assert len(HiRED(keep=3).after(made)) == 3
