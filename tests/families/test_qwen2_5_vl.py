"""Qwen2.5-VL's windows: what its tower keeps in window order comes out in raster order."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl

from saccade.engines.hf import HFEngine
from saccade.picture import Picture
from tests import tiny


def test_received_against_eager_weights(open_tiny: Callable[[str], HFEngine], monkeypatch: pytest.MonkeyPatch) -> None:
    """With windows of 2 x 2 tokens enumerated by hand."""
    engine = open_tiny("qwen2_5_vl")
    prepared = engine.prepare(Picture.open(tiny.page(301, 203)))
    encoding = engine.encode([prepared])[0]
    weights: list[torch.Tensor] = []
    eager = modeling_qwen2_5_vl.eager_attention_forward

    def spy(*args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        out, seen = eager(*args, **kwargs)
        weights.append(seen)
        return out, seen

    monkeypatch.setattr(modeling_qwen2_5_vl, "eager_attention_forward", spy)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(
        engine.spec.model, dtype=torch.float32, attn_implementation="eager"
    )
    with torch.no_grad():
        model.model.visual(prepared.patches, torch.tensor([prepared.grid_thw]))
    in_windows = weights[-1].mean((0, 1, 2)).view(-1, 4).sum(-1)  # one token's four patches lie together
    rows, cols = encoding.grid.rows, encoding.grid.cols
    windows = [
        row * cols + col
        for top in range(0, rows, 2)
        for left in range(0, cols, 2)
        for row in range(top, min(top + 2, rows))
        for col in range(left, min(left + 2, cols))
    ]
    torch.testing.assert_close(encoding.received[windows], in_windows, rtol=1e-4, atol=1e-6)
