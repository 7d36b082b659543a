"""Similarity of an encoder's patches after each layer: what pruning inside it could drop at that depth.

print(redundancy(states(family, family.prepare(picture))))
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from saccade.errors import ConfigError
from saccade.families import Family, Prepared
from saccade.tokens.likeness import NUM_BINS, Likeness, compare

MOST = 4096
"""Most patches compared. Of more patches every k-th is taken, and the share of pairs is an estimate."""


@dataclass(frozen=True, slots=True)
class LayerLikeness:
    """Cosines between all pairs of the patches after one block."""

    layer: int  # from 0
    patches: int  # that were compared
    mean: float  # cosine of two different patches, to within a bin of the histogram (0.01)
    redundant: float  # share of pairs above the threshold
    likeness: Likeness


def blocks(family: Family) -> Sequence[Any]:
    """The blocks of a family's vision tower, first to last.

    Raises:
        ConfigError: the family's tower keeps them elsewhere.
    """
    model = family.model.model
    if (tower := getattr(model, "visual", None)) is not None:
        return list(tower.blocks)
    tower = getattr(model, "vision_tower", None)
    layers = getattr(getattr(tower, "encoder", None), "layers", None)
    if layers is None:
        raise ConfigError(f"the vision tower of {type(family).__name__} has no blocks that are known here")
    return list(layers)


@torch.inference_mode()
def states(family: Family, prepared: Prepared) -> list[Tensor]:
    """(patches, F) states after each block of the tower, on the CPU, in the tower's own order (windows stay together).

    Raises:
        ConfigError: a reduction works inside the tower, so that its blocks do not see all patches.
    """
    watched = blocks(family)
    if family.reduction is not None and family.reduction.active(len(watched)):
        raise ConfigError("a reduction works inside the vision tower, so no block of it runs whole. Analyse without it")
    states_after: list[Tensor] = []

    def keep(_module: Any, _given: Any, output: Any) -> None:
        state = output[0] if isinstance(output, tuple) else output
        states_after.append(state.detach().flatten(0, -2).float().cpu())

    handles = [block.register_forward_hook(keep) for block in watched]
    try:
        family.run_tower(prepared)
    finally:
        for handle in handles:
            handle.remove()
    return states_after


def redundancy(layers: Sequence[Tensor], threshold: float = 0.9, most: int = MOST) -> tuple[LayerLikeness, ...]:
    """Cosine similarity of the patches (patches, F) of each layer, one layer at a time.

    Cosines ignore the norms, which differ widely between layers.
    """
    likenesses = []
    for number, state in enumerate(layers):
        part = state[:: -(-len(state) // most)]
        cosines = compare(part, threshold)
        likenesses.append(LayerLikeness(number, len(part), _mean(cosines), cosines.redundant, cosines))
    return tuple(likenesses)


def _mean(parts: Likeness) -> float:
    middles = (torch.arange(NUM_BINS) + 0.5) * 2 / NUM_BINS - 1
    return float((parts.counts * middles).sum() / parts.counts.sum().clamp(min=1))
