"""Early exit in a real tower: the tower's own states up to the block where it leaves, then its merger."""

import pytest
import torch

from saccade.engines.hf import HF, HFEngine
from saccade.picture import Picture
from saccade.reduction.early_exit import EarlyExit
from saccade.tokens.halting import change
from saccade.types import Encoding
from tests import tiny


def encode(folder: object, **settings: object) -> Encoding:
    with HF(model=str(folder), reduction={"name": "early_exit", **settings}).open() as engine:
        return engine.encode([engine.prepare(Picture.open(tiny.page(301, 203)))])[0]


def states_behind(engine: HFEngine) -> list[torch.Tensor]:
    """The untouched tower's states before its first block and behind each, heard by hooks; in raster order."""
    tower, heard = engine.family.model.model.visual, []
    hooks = [tower.blocks[0].register_forward_pre_hook(lambda _, args: heard.append(args[0]))]
    hooks += [block.register_forward_hook(lambda *call: heard.append(call[-1])) for block in tower.blocks]
    prepared = engine.prepare(Picture.open(tiny.page(301, 203)))
    engine.family.run_tower(prepared)
    for hook in hooks:
        hook.remove()
    raster = torch.argsort(engine.family._windows(torch.tensor([prepared.grid_thw]))[0])
    return [state.view(-1, 4, state.shape[-1])[raster] for state in heard]


def test_leaves_where_its_features_are_still(engine: HFEngine, qwen2_5_vl: object) -> None:
    states = states_behind(engine)
    moved = [float(change(a.flatten(1)[None], b.flatten(1)[None])) for a, b in zip(states, states[1:], strict=False)]
    left = set()
    for tolerance, least in [(max(moved) * 1.1, 1), (max(moved) * 1.1, 2), (sorted(moved)[1] * 1.01, 2)]:
        ran = next((n for n in (1, 2, 3) if n >= least and moved[n - 1] < tolerance), 3)
        found = encode(qwen2_5_vl, tolerance=tolerance, least=least)
        torch.testing.assert_close(found.features, states[ran], rtol=1e-4, atol=1e-4)
        with torch.inference_mode():
            tokens = engine.family.model.model.visual.merger(states[ran].flatten(0, 1))
        torch.testing.assert_close(found.tokens, tokens, rtol=1e-3, atol=1e-3)
        assert len(found) == len(states[0]), "it drops no tokens"
        left.add(ran)
    assert len(left) > 1


def test_at_once_and_never(engine: HFEngine, qwen2_5_vl: object) -> None:
    states = states_behind(engine)
    torch.testing.assert_close(encode(qwen2_5_vl, tolerance=2.0).features, states[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(encode(qwen2_5_vl, tolerance=2.0, least=2).features, states[2], rtol=1e-4, atol=1e-4)
    untouched = engine.encode([engine.prepare(Picture.open(tiny.page(301, 203)))])[0]
    for settings in ({"tolerance": 0.0}, {"tolerance": 2.0, "least": 3}):
        never = encode(qwen2_5_vl, **settings)
        assert torch.equal(never.tokens, untouched.tokens) and torch.equal(never.received, untouched.received)
        assert never.fingerprint != untouched.fingerprint


def test_settings() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        EarlyExit(tolerance=-1)
    assert not EarlyExit(tolerance=0).active(12) and EarlyExit().active(12) and not EarlyExit(least=12).active(12)
