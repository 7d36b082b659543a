"""Images of which only some cells go through vLLM's vision tower: its own blocks, on fewer rows.

A tower takes all that it must know of its images as one dictionary: where each patch stands, and where the sequences
begin that attend to themselves (an image; in some blocks a window). Here it is made for whole images and cut to the
cells that are kept. A cell is merge x merge patches and becomes one token; N cells of all images together, K kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROWS = ("rotary_pos_emb_cos", "rotary_pos_emb_sin", "pos_embeds")  # one per patch
IMAGES = ("cu_seqlens", ("max_seqlen", "max_seqlen_full"), ("sequence_lengths", "sequence_lengths_full"))
WINDOWS = ("cu_window_seqlens", ("max_seqlen_window",), ("sequence_lengths_window",))
"""Names of a kind of sequences: where they begin, the longest, their lengths; the towers differ in them."""


def patches(index: Tensor, unit: int) -> Tensor:
    """(K * unit,) rows of the patches of some cells (K,); a cell's patches are neighbours."""
    return (index[:, None] * unit + torch.arange(unit)).flatten()


def embed(tower: Any, pixels: Tensor, grids: Sequence[Sequence[int]], kept: Sequence[Tensor]) -> list[Tensor]:
    """The tokens of the kept cells, (K_i, D) for each image, in the order of the whole image.

    pixels: (K * merge^2, ...) the kept cells' patches, image by image. grids: time, height and width in patches.
    kept: (K_i,) int64 increasing, the cells of each image.

    Raises:
        NotImplementedError: this version's tower has to know something that is not cut here.
    """
    rows = tower(pixels, grids, encoder_metadata=metadata(tower, grids, kept))
    return list(rows.split([len(index) for index in kept]))


def metadata(tower: Any, grids: Sequence[Sequence[int]], kept: Sequence[Tensor]) -> dict[str, Any]:
    """The tower's own dictionary for whole images, cut to the kept cells."""
    unit = int(tower.spatial_merge_size) ** 2
    whole: dict[str, Any] = tower.prepare_encoder_metadata(grids)
    known = {*ROWS, "window_index", "reverse_indices"}
    known.update(name for begin, longest, lengths in (IMAGES, WINDOWS) for name in (begin, *longest, *lengths))
    if more := set(whole) - known:
        raise NotImplementedError(f"vLLM's {type(tower).__name__} also wants {sorted(more)}: leave out 'before'")
    counts = [int(np.prod(grid)) // unit for grid in grids]
    firsts = np.cumsum([0, *counts])
    cells = torch.cat([index.cpu() + int(first) for index, first in zip(kept, firsts, strict=False)])
    made, order = dict(whole), cells
    if "window_index" in whole:
        order = _in_windows(tower, grids, cells, whole, made, unit)
    made.update(_sequences(tower, whole, IMAGES, np.array([len(index) for index in kept]) * unit))
    for name in ROWS:
        if name in whole:
            made[name] = whole[name][patches(order, unit).to(whole[name].device)]
    return made


def _in_windows(
    tower: Any, grids: Sequence[Sequence[int]], cells: Tensor, whole: Mapping[str, Any], made: dict[str, Any], unit: int
) -> Tensor:
    """(K,) where the kept cells stand among all N, window by window; `made` gets their order and their windows."""
    index = whole["window_index"]
    is_kept = torch.zeros(len(index), dtype=torch.bool)
    is_kept[cells] = True
    rank = is_kept.cumsum(0) - 1
    order = is_kept[index.cpu()].nonzero()[:, 0]
    turned = rank[index.cpu()[order]]
    made["window_index"] = turned.to(index.device)
    made["reverse_indices"] = turned.argsort().to(whole["reverse_indices"].device)
    ends, first = [], 0
    for grid in grids:
        ends.append(tower.get_window_index_thw(*grid)[1] // unit + first)
        first = int(ends[-1][-1])
    window = torch.bucketize(order, torch.cat(ends), right=True)
    made.update(_sequences(tower, whole, WINDOWS, torch.bincount(window).numpy() * unit))
    return order


def _sequences(
    tower: Any, whole: Mapping[str, Any], names: tuple[str, tuple[str, ...], tuple[str, ...]], lengths: Any
) -> dict[str, Any]:
    """What the tower calls the beginnings, the longest and the lengths of sequences; lengths (S,) in patches, or 0."""
    from vllm.model_executor.layers.attention.mm_encoder_attention import MMEncoderAttention

    begin, longest, each = names
    backend, device = tower.attn_backend, tower.device
    ends = np.concatenate([[0], np.cumsum(lengths[lengths > 0])]).astype(np.int32)
    made: dict[str, Any] = {}
    for name in longest:
        if whole.get(name) is not None:
            made[name] = torch.tensor(MMEncoderAttention.compute_max_seqlen(backend, ends), dtype=torch.int32)
    for name in each:
        if whole.get(name) is not None:
            made[name] = MMEncoderAttention.maybe_compute_seq_lens(backend, ends, device)
    if hasattr(tower, "fp8_padded_hidden_size"):
        made[begin] = MMEncoderAttention.maybe_recompute_cu_seqlens(
            backend, ends, tower.hidden_size, tower.tp_size, device, fp8_padded_hidden_size=tower.fp8_padded_hidden_size
        )
    else:  # Qwen2-VL's tower, which no backend asks for more
        made[begin] = torch.from_numpy(ends).to(device)
    return made
