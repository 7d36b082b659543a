"""Token fusion: norms, pruning early and merging late, and gates that learn which is better where."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import ViTConfig, ViTModel

from saccade.families._vit import encode
from saccade.reduction import Reduction, Stage
from saccade.reduction.fusion import Fusion
from saccade.reduction.tome import ToMe
from saccade.tokens.fusing import fuse
from saccade.training.fit import fit
from saccade.training.reduction import Gates


def tower(layers: int = 4, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=32,
        patch_size=8,
    )
    model = ViTModel(config, add_pooling_layer=False).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3) if parameter.ndim > 1 else None
    return model


def pixels(count: int, seed: int) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def stage(layer: int, num_layers: int, keys: Tensor) -> Stage:
    length = keys.shape[1]
    valid = torch.ones(1, length, dtype=torch.bool)
    image, states = torch.zeros(1, dtype=torch.int64), keys[:, :, None]
    return Stage(layer, num_layers, states, states, valid.float(), valid, ~valid, image)


def test_norms_by_hand() -> None:
    """Two tokens at right angles, 3 and 4 long: their mean is (1.5, 2), 2.5 long, and becomes 4 long."""
    values = torch.tensor([[3.0, 0.0], [0.0, 4.0], [7.0, 7.0], [1.0, 0.0], [-1.0, 0.0]])
    into = torch.tensor([0, 0, 1, 2, 2])
    found = fuse(values, into, torch.ones(5), 3)
    torch.testing.assert_close(found[0], torch.tensor([2.4, 3.2]))
    assert torch.equal(found[1], values[2]), "alone: bit by bit"
    assert found[2].abs().max() < 1e-6, "opposite tokens point nowhere"
    mostly = fuse(values[:2], into[:2], torch.tensor([1.0, 1e-6]), 1)
    torch.testing.assert_close(mostly[0], torch.tensor([4.0, 0.0]), rtol=1e-4, atol=1e-4)


def test_fusing_against_a_loop() -> None:
    make = torch.Generator().manual_seed(0)
    values, weight = torch.randn(20, 3, 5, generator=make), torch.rand(20, generator=make) + 0.1
    into = torch.randint(-1, 6, (20,), generator=make)
    into[:6] = torch.arange(6)
    found = fuse(values, into, weight, 6)
    for slot in range(6):
        members = [token for token in range(20) if into[token] == slot]
        for patch in range(3):
            mean = sum(float(weight[m]) * values[m, patch] for m in members)
            longest = max(float(values[m, patch].norm()) for m in members)
            torch.testing.assert_close(found[slot, patch], mean / mean.norm() * longest)


def test_prunes_early_and_merges_late() -> None:
    keys = torch.tensor([[[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [-1.0, 0.0]]])  # token 0 is most like token 1
    early, late = (Fusion(r=1).inside(stage(layer, 4, keys)) for layer in (1, 2))
    assert early is not None and late is not None
    assert early[0].tolist() == [[-1, 0, 1, 2]] and late[0].tolist() == [[0, 0, 1, 2]]
    half = Fusion(r=1, gates=(0.25,)).inside(stage(3, 4, keys))
    assert half is not None and half[0].tolist() == [[0, 0, 1, 2]] and half[1].tolist() == [[0.25, 1, 1, 1]]
    assert Fusion(r=0).inside(stage(0, 4, keys)) is None
    with pytest.raises(ValueError, match="gates lie between"):
        Fusion(gates=(1.5,))


def test_in_a_tower_against_tome() -> None:
    """Same tokens leave in the first block; its states differ where tokens met, by length only."""
    model, images = tower(1), pixels(3, 0)
    merged, fused = encode(model, images, ToMe(r=3)), encode(model, images, Fusion(r=3, switch=0.0))
    pruned = encode(model, images, Fusion(r=3, switch=1.0))
    assert len(merged.states) == len(fused.states) == len(pruned.states) == 3 * (17 - 3)
    assert torch.equal(merged.into, fused.into)
    together = torch.bincount(merged.into)[merged.into.clamp(min=0)] > 1
    alone = merged.into[~together]
    torch.testing.assert_close(merged.states[alone], fused.states[alone])
    assert not torch.allclose(merged.states, fused.states)
    assert int((pruned.into < 0).sum()) == 9 and float(pruned.size.max()) == 1.0
    untouched = model(images).last_hidden_state
    assert torch.equal(encode(model, images, Fusion(r=0)).states.view_as(untouched), untouched)


def train_gates(start: Fusion, loss_of: Callable[[Reduction], Tensor], steps: int) -> tuple[Fusion, list[float]]:
    gates = Gates(start, len(start.gates or ()))
    curve = fit(gates, (loss_of(gates.learning()) for _ in range(steps)), steps, 0.1)
    return gates.settled(), curve


def test_gates_learn_what_is_worth_merging() -> None:
    """In one block the token that leaves is noise, in the other it is half of what is asked for."""
    make = torch.Generator().manual_seed(0)
    keys = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]])

    def loss_of(reduction: Reduction) -> Tensor:
        total = torch.zeros(())
        for layer in (0, 1):
            decided = reduction.inside(stage(layer, 2, keys))
            assert decided is not None
            states = torch.randn(32, 4, 1, 6, generator=make)
            wanted = states[:, 1] if layer == 0 else states[:, :2].mean(1)
            for state, want in zip(states, wanted, strict=True):
                made = reduction.mean(state, decided[0][0], decided[1][0], 3)[0]
                total = total + (1 - torch.cosine_similarity(made, want, dim=-1)).mean() / 64
        return total

    trained, curve = train_gates(Fusion(r=1, gates=(0.5, 0.5)), loss_of, 60)
    assert trained.gates is not None and trained.gates[0] < 0.1 and trained.gates[1] > 0.7, trained.gates
    assert sum(curve[-5:]) < 0.5 * sum(curve[:5])
    assert trained == Fusion(**{k: v for k, v in trained.spec().items() if k != "name"}), "kept as plain settings"


def test_gates_learn_through_a_tower() -> None:
    """The class token of a reduced tower comes closer to the untouched one's, on images that were not trained on."""
    model, seen, unseen = tower(), pixels(16, 1), pixels(64, 2)

    def away(reduction: Reduction, images: Tensor) -> Tensor:
        tokens = encode(model, images, reduction)
        return (tokens.states[tokens.fixed][:, 0] - model(images).last_hidden_state[:, 0]).square().mean()

    start = Fusion(r=4, gates=(0.5,) * 4)
    trained, _ = train_gates(start, lambda reduction: away(reduction, seen), 25)
    assert float(away(trained, unseen)) < float(away(start, unseen))
