"""Encoding window by window: all windows asked is the whole encoding, each is exact before the first full block."""

import pytest
import torch

from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError
from saccade.families._lazy import Windows
from saccade.picture import Picture
from saccade.reduction.pooling import Pooling
from saccade.reduction.tome import ToMe
from tests import tiny

SIZES = [(301, 203), (97, 410), (112, 112), (30, 30)]


@pytest.fixture
def engine(open_tiny) -> HFEngine:
    return open_tiny("qwen2_5_vl")


@pytest.mark.parametrize("size", SIZES)
def test_all_windows_are_the_whole_encoding(engine: HFEngine, size: tuple[int, int]) -> None:
    prepared = engine.prepare(Picture.open(tiny.page(*size)))
    (whole,) = engine.encode([prepared])
    index, tokens, features, received = engine.windows(prepared).encode(torch.ones(len(whole), dtype=torch.bool))
    assert torch.equal(index, torch.arange(len(whole)))
    torch.testing.assert_close(tokens, whole.tokens, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(features, whole.features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(received, whole.received, rtol=1e-4, atol=1e-6)


def test_all_windows_of_the_bundled_model() -> None:
    with HF(model="nano").open() as nano:
        prepared = nano.prepare(Picture.open(tiny.page(500, 330)))
        (whole,) = nano.encode([prepared])
        windows = nano.windows(prepared)
        _, tokens, _, received = windows.encode(torch.ones(len(whole), dtype=torch.bool))
    assert windows.num_patches == whole.num_patches
    torch.testing.assert_close(tokens, whole.tokens, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(received, whole.received, rtol=1e-4, atol=1e-6)


def rounds(windows: Windows, *wanted: list[int]) -> dict[int, torch.Tensor]:
    """Tokens by their place, after these requests one by one."""
    made: dict[int, torch.Tensor] = {}
    for each in wanted:
        mask = torch.zeros(len(windows.encoded), dtype=torch.bool)
        mask[each] = True
        index, tokens, _, _ = windows.encode(mask)
        assert not made.keys() & set(index.tolist()), "a window is encoded once"
        made |= dict(zip(index.tolist(), tokens, strict=True))
    return made


def test_one_token_asks_for_its_window(engine: HFEngine) -> None:
    """7 x 11 tokens in windows of 2 x 2, enumerated by hand."""
    prepared = engine.prepare(Picture.open(tiny.page(301, 203)))
    rows, cols = prepared.grid.rows, prepared.grid.cols
    assert (rows, cols) == (7, 11)
    windows = engine.windows(prepared)
    assert sorted(rounds(windows, [2 * 11 + 5])) == [2 * 11 + 4, 2 * 11 + 5, 3 * 11 + 4, 3 * 11 + 5]
    assert windows.num_patches == 4 * 4
    assert sorted(rounds(windows, [2 * 11 + 4, 6 * 11 + 10])) == [6 * 11 + 10], "the corner's window is one token"
    assert windows.num_patches == 4 * 4 + 4 and int(windows.encoded.sum()) == 5
    assert rounds(windows, [3 * 11 + 4]) == {} and windows.num_patches == 20


def test_a_window_is_exact_where_no_block_looks_beyond_it(engine: HFEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With windows in every block it does not matter which windows are encoded, nor when."""
    tower = engine.family.model.model.visual
    monkeypatch.setattr(tower, "fullatt_block_indexes", [])
    prepared = engine.prepare(Picture.open(tiny.page(301, 203)))
    (whole,) = engine.encode([prepared])
    made = rounds(engine.windows(prepared), [60], [3, 8], [0, 22, 41])
    index = torch.tensor(list(made))
    assert 4 * 4 <= len(index) < len(whole)
    torch.testing.assert_close(torch.stack(list(made.values())), whole.tokens[index], rtol=1e-4, atol=1e-4)


def test_later_windows_see_earlier_ones_and_not_the_other_way(engine: HFEngine) -> None:
    """In the full block the last of all windows attends to all tokens, as in the whole encoding: it is exact.

    Those before it are not: the tiny tower has one full block, its last.
    """
    prepared = engine.prepare(Picture.open(tiny.page(301, 203)))
    (whole,) = engine.encode([prepared])
    last = [24, 25, 35, 36]
    rest = [cell for cell in range(77) if cell not in last]
    made = rounds(engine.windows(prepared), rest, last)
    assert len(made) == 77
    apart = torch.stack([(made[cell] - whole.tokens[cell]).abs().max() for cell in range(77)])
    assert float(apart[last].max()) < 1e-4 and float(apart[rest].min()) > 1e-4


def test_what_does_not_encode_window_by_window_says_so(open_tiny, engine: HFEngine) -> None:
    for name in ("qwen2_vl", "qwen3_vl", "llava"):
        other = open_tiny(name)
        with pytest.raises(ConfigError, match=r"has no windows.*Qwen2\.5-VL"):
            other.windows(other.prepare(Picture.open(tiny.page(112, 112))))
    family, fingerprint = engine.family, engine.family.fingerprint
    try:
        for reduction in (ToMe(), Pooling()):
            family.reduction, family.fingerprint = None, fingerprint
            family.reduce(reduction)
            with pytest.raises(ConfigError, match=f"'{reduction.name()}' do not go together"):
                engine.windows(engine.prepare(Picture.open(tiny.page(112, 112))))
    finally:
        family.reduction, family.fingerprint = None, fingerprint
