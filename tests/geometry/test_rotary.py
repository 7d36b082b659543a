"""The rotary module against transformers' own, and the laws that any rotary embedding keeps."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Qwen2_5_VLTextConfig, Qwen2VLTextConfig, Qwen3VLTextConfig, Qwen3VLVisionConfig
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen2_vl import modeling_qwen2_vl
from transformers.models.qwen3_vl import modeling_qwen3_vl

from saccade.geometry.rotary import Rotary, angles, axial, embed, frequencies, interleaved, rotate, sectioned

THETA = 5e5
SECTIONED, INTERLEAVED = (16, 24, 24), (24, 20, 20)
TEXT: list[Any] = [
    (modeling_qwen2_vl.Qwen2VLRotaryEmbedding, Qwen2VLTextConfig, SECTIONED, sectioned, modeling_qwen2_vl),
    (modeling_qwen2_5_vl.Qwen2_5_VLRotaryEmbedding, Qwen2_5_VLTextConfig, SECTIONED, sectioned, modeling_qwen2_5_vl),
    (modeling_qwen3_vl.Qwen3VLTextRotaryEmbedding, Qwen3VLTextConfig, INTERLEAVED, interleaved, modeling_qwen3_vl),
]


def scattered(num_axes: int, num_tok: int = 40, seed: int = 0) -> Tensor:
    """(A, T) places in no order, some of them shared: what a foveated canvas looks like."""
    return torch.randint(0, 300, (num_axes, num_tok), generator=torch.Generator().manual_seed(seed))


def heads(num_tok: int = 40, width: int = 128, seed: int = 1) -> Tensor:
    return torch.randn(2, 3, num_tok, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("theirs", "config", "sections", "ours", "module"), TEXT, ids=["2", "2.5", "3"])
def test_mrope_is_that_of_transformers(theirs: Any, config: Any, sections: Any, ours: Any, module: Any) -> None:
    rope = {"rope_type": "default", "rope_theta": THETA, "mrope_section": list(sections)}
    made = theirs(config(hidden_size=256, num_attention_heads=2, num_key_value_heads=2, rope_parameters=rope))
    positions, queries, keys = scattered(3), heads(), heads(seed=2)
    cos, sin = made(queries, positions[:, None])
    expected = module.apply_rotary_pos_emb(queries, keys, cos, sin)
    rotary = ours(sections, THETA)
    angle = angles(rotary, positions)
    torch.testing.assert_close(torch.cat([angle, angle], -1).cos(), cos[0], rtol=0, atol=0)
    for given, known in zip((queries, keys), expected, strict=True):
        torch.testing.assert_close(embed(rotary, given, positions), known, rtol=1e-5, atol=1e-5)


def test_axial_is_that_of_the_vision_towers() -> None:
    config = Qwen3VLVisionConfig(hidden_size=96, num_heads=2, rope_parameters={"rope_type": "axial", "rope_theta": 1e4})
    positions, queries = scattered(2), heads(width=48)[0].transpose(0, 1)  # (T, heads, width), as the towers have them
    cos, sin = modeling_qwen3_vl.Qwen3VLVisionRotaryEmbedding(config)(queries, positions.T)
    expected, _ = modeling_qwen3_vl.apply_rotary_pos_emb_vision(queries, queries, cos, sin)
    ours = embed(axial(48), queries.transpose(0, 1), positions).transpose(0, 1)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_planes_by_hand() -> None:
    assert sectioned((1, 2, 1), 10.0).axis.tolist() == [0, 1, 1, 2]
    assert interleaved((4, 2, 2), 10.0).axis.tolist() == [0, 1, 2, 0, 1, 2, 0, 0]
    assert axial(8).axis.tolist() == [0, 0, 1, 1]
    torch.testing.assert_close(axial(8).frequency, torch.tensor([1.0, 0.01, 1.0, 0.01]))
    torch.testing.assert_close(frequencies(4, 1e4), torch.tensor([1.0, 0.1, 0.01, 0.001]))
    quarter = Rotary(torch.tensor([torch.pi / 2, 0.0]), torch.tensor([1, 0]))
    turned = embed(quarter, torch.tensor([[1.0, 5.0, 0.0, 7.0]]), torch.tensor([[9], [1]]))
    torch.testing.assert_close(turned, torch.tensor([[0.0, 5.0, 1.0, 7.0]]))  # plane 0 is numbers 0 and 2
    with pytest.raises(ValueError, match="a multiple of 4"):
        axial(6)


@pytest.mark.parametrize(
    "rotary", [axial(128), axial(128, 1), sectioned(SECTIONED, 1e6), interleaved(INTERLEAVED, 1e6)]
)
def test_laws(rotary: Rotary) -> None:
    num_axes = int(rotary.axis.max()) + 1
    positions, queries, keys = scattered(num_axes), heads(), heads(seed=2)
    assert torch.equal(embed(rotary, queries, torch.zeros_like(positions)), queries), "the origin turns nothing"
    turned, angle = embed(rotary, queries, positions), angles(rotary, positions)
    torch.testing.assert_close(rotate(turned, angle.cos(), -angle.sin()), queries, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(turned.norm(dim=-1), queries.norm(dim=-1))
    scores = turned @ embed(rotary, keys, positions).transpose(-1, -2)
    moved = positions + torch.arange(7, 7 * num_axes + 1, 7)[:, None]
    there = embed(rotary, queries, moved) @ embed(rotary, keys, moved).transpose(-1, -2)
    torch.testing.assert_close(there, scores, rtol=1e-3, atol=2e-3)  # only distances count
    order = torch.randperm(positions.shape[1], generator=torch.Generator().manual_seed(3))[:9]
    kept = embed(rotary, queries[..., order, :], positions[:, order])
    torch.testing.assert_close(kept, turned[..., order, :])  # dropping and reordering tokens moves none


def test_batches_and_fractions() -> None:
    rotary = axial(16)
    positions = torch.stack([scattered(2, 5, seed) for seed in range(3)], 1)  # (A, B, T)
    together = angles(rotary, positions)
    assert together.shape == (3, 5, 8)
    for item in range(3):
        assert torch.equal(together[item], angles(rotary, positions[:, item]))
    between = angles(rotary, torch.tensor([[2.5], [3.0]]))
    torch.testing.assert_close(between * 2, angles(rotary, torch.tensor([[5], [6]])))


def test_low_precision_heads_turn_in_float32() -> None:
    rotary, queries, positions = axial(64), heads(width=64), scattered(2)
    ours = embed(rotary, queries.bfloat16(), positions)
    assert ours.dtype == torch.bfloat16
    assert torch.equal(ours, embed(rotary, queries.bfloat16().float(), positions).bfloat16())
