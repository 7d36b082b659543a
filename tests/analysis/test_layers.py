"""Redundancy by block: the hooked states are those the tower computes, and the shares those of all pairs."""

from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity

from saccade.analysis.layers import blocks, redundancy, states
from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError
from saccade.picture import Picture
from saccade.reduction.tome import ToMe
from tests import tiny


def test_shares_are_those_of_all_pairs_counted_one_by_one() -> None:
    layers = [torch.randn(9, 4, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)]
    for number, one in enumerate(redundancy(layers, threshold=0.3)):
        state = layers[number]
        pairs = [float(cosine_similarity(state[i], state[j], 0)) for i in range(9) for j in range(9) if i != j]
        assert one.layer == number and one.patches == 9
        assert one.redundant == pytest.approx(sum(pair > 0.3 for pair in pairs) / 72)
        assert one.mean == pytest.approx(sum(pairs) / 72, abs=0.005)  # half a bin


def test_equal_patches_are_all_redundant_whatever_their_length() -> None:
    (one,) = redundancy([torch.tensor([[1.0, 2.0], [2.0, 4.0], [0.1, 0.2]])])
    assert one.redundant == 1


def test_many_patches_are_sampled_evenly() -> None:
    (one,) = redundancy([torch.randn(100, 3)], most=30)
    assert one.patches == 25  # every fourth


@torch.inference_mode()
def test_the_states_are_what_the_tower_computes(engine: HFEngine) -> None:
    """The last block's, merged, are the tokens of the encoding, in the tower's order of windows."""
    prepared = engine.prepare(Picture.open(tiny.page(200, 160)))
    found = states(engine.family, prepared)
    assert [tuple(state.shape) for state in found] == [(len(prepared.patches), 32)] * 3
    tokens = engine.family.model.model.visual.merger(found[-1])
    encoded = engine.encode([prepared])[0].tokens
    nearest = torch.cdist(tokens, encoded, compute_mode="donot_use_mm_for_euclid_dist")
    assert sorted(nearest.argmin(1).tolist()) == list(range(len(encoded)))
    assert float(nearest.amin(1).max()) < 1e-3
    assert not any(block._forward_hooks for block in blocks(engine.family))


@pytest.mark.parametrize("make, depth", [(tiny.qwen3_vl, 4), (tiny.qwen2_vl, 2), (tiny.llava, 3)])
def test_every_family_is_heard(make, depth: int, tmp_path: Path) -> None:
    with HF(model=str(make(tmp_path))).open() as opened:
        found = states(opened.family, opened.prepare(Picture.open(tiny.page(160, 160))))
    assert len(found) in (depth, depth - 1)  # LLaVA reads the last block but one; transformers still runs the last
    assert len({tuple(state.shape) for state in found}) == 1


def test_a_tower_that_merges_is_refused(qwen2_5_vl: Path) -> None:
    spec = HF(model=str(qwen2_5_vl), reduction=ToMe(r=4).spec())
    with spec.open() as opened, pytest.raises(ConfigError, match="a reduction works inside the vision tower"):
        states(opened.family, opened.prepare(Picture.open(tiny.page(200, 160))))
