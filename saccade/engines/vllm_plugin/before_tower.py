"""Runs vLLM's own vision tower on some cells of an image only: the same blocks, fewer rows.

A tower takes one dictionary about its images: the position embedding of each patch, and where each attention sequence
begins (an image, in some blocks a window). vLLM builds it for whole images; here it is cut to the kept cells. A cell
is merge x merge patches and becomes one token. N cells of all images together, K of them kept, S sequences, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

ROWS = ("rotary_pos_emb_cos", "rotary_pos_emb_sin", "pos_embeds")  # tensors with one row per patch
IMAGES = ("cu_seqlens", ("max_seqlen", "max_seqlen_full"), ("sequence_lengths", "sequence_lengths_full"))
WINDOWS = ("cu_window_seqlens", ("max_seqlen_window",), ("sequence_lengths_window",))
"""Keys of the dictionary for one kind of sequence: begins, longest, lengths. Each tower has some of them."""


def patches(index: Tensor, unit: int) -> Tensor:
    """(K * unit,) int64 patch rows of the cells `index` (K,); the `unit` patches of a cell are adjacent rows."""
    return (index[:, None] * unit + torch.arange(unit)).flatten()


def embed(tower: Any, pixels: Tensor, grids: Sequence[Sequence[int]], cells: Sequence[Tensor]) -> list[Tensor]:
    """The tokens of the kept cells: (K_i, D) per image, in raster order of the whole image.

    pixels: (K * merge^2, ...) patches of the kept cells, image by image. grids: (time, height, width) of each whole
    image in patches. cells: (K_i,) int64 increasing, the kept cells of each image.

    Raises:
        NotImplementedError: this vLLM's tower takes an entry that is not cut here.
    """
    rows = tower(pixels, grids, encoder_metadata=metadata(tower, grids, cells))
    return list(rows.split([len(index) for index in cells]))


def metadata(tower: Any, grids: Sequence[Sequence[int]], cells: Sequence[Tensor]) -> dict[str, Any]:
    """The tower's dictionary about its images, cut to the kept `cells`; grids, cells and errors as in `embed`."""
    unit = int(tower.spatial_merge_size) ** 2
    whole: dict[str, Any] = tower.prepare_encoder_metadata(grids)
    names = {*ROWS, "window_index", "reverse_indices"}
    names.update(name for begin, longest, lengths in (IMAGES, WINDOWS) for name in (begin, *longest, *lengths))
    if more := set(whole) - names:
        raise NotImplementedError(f"vLLM's {type(tower).__name__} also wants {sorted(more)}: leave out 'before'")
    counts = [int(np.prod(grid)) // unit for grid in grids]
    firsts = np.cumsum([0, *counts])
    flat = torch.cat([index.cpu() + int(first) for index, first in zip(cells, firsts, strict=False)])
    data, order = dict(whole), flat
    if "window_index" in whole:
        order = _in_windows(tower, grids, flat, whole, data, unit)
    data.update(_sequences(tower, whole, IMAGES, np.array([len(index) for index in cells]) * unit))
    for name in ROWS:
        if name in whole:
            data[name] = whole[name][patches(order, unit).to(whole[name].device)]
    return data


def _in_windows(
    tower: Any, grids: Sequence[Sequence[int]], cells: Tensor, whole: Mapping[str, Any], data: dict[str, Any], unit: int
) -> Tensor:
    """(K,) int64 index of the kept `cells` (K,) among all N, window by window; writes order and windows into `data`."""
    index = whole["window_index"]
    is_kept = torch.zeros(len(index), dtype=torch.bool)
    is_kept[cells] = True
    rank = is_kept.cumsum(0) - 1
    order = is_kept[index.cpu()].nonzero()[:, 0]
    turned = rank[index.cpu()[order]]
    data["window_index"] = turned.to(index.device)
    data["reverse_indices"] = turned.argsort().to(whole["reverse_indices"].device)
    ends, first = [], 0
    for grid in grids:
        ends.append(tower.get_window_index_thw(*grid)[1] // unit + first)
        first = int(ends[-1][-1])
    window = torch.bucketize(order, torch.cat(ends), right=True)
    data.update(_sequences(tower, whole, WINDOWS, torch.bincount(window).numpy() * unit))
    return order


def _sequences(
    tower: Any, whole: Mapping[str, Any], names: tuple[str, tuple[str, ...], tuple[str, ...]], lengths: Any
) -> dict[str, Any]:
    """The entries `names` (begins, longest, lengths) of S sequences. lengths: (S,) int, patches; 0 is left out."""
    from vllm.model_executor.layers.attention.mm_encoder_attention import MMEncoderAttention

    begin, longest, each = names
    backend, device = tower.attn_backend, tower.device
    ends = np.concatenate([[0], np.cumsum(lengths[lengths > 0])]).astype(np.int32)
    data: dict[str, Any] = {}
    for name in longest:
        if whole.get(name) is not None:
            data[name] = torch.tensor(MMEncoderAttention.compute_max_seqlen(backend, ends), dtype=torch.int32)
    for name in each:
        if whole.get(name) is not None:
            data[name] = MMEncoderAttention.maybe_compute_seq_lens(backend, ends, device)
    if hasattr(tower, "fp8_padded_hidden_size"):
        data[begin] = MMEncoderAttention.maybe_recompute_cu_seqlens(
            backend, ends, tower.hidden_size, tower.tp_size, device, fp8_padded_hidden_size=tower.fp8_padded_hidden_size
        )
    else:  # Qwen2-VL's tower: no backend needs more
        data[begin] = torch.from_numpy(ends).to(device)
    return data
