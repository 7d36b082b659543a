"""The parts of a canvas as vLLM carries them: a dictionary of tensors, made and checked here.

`image_embeds` and `image_grid_thw` are vLLM's own names; the grid only sizes the placeholder. The cells and the shape
of the canvas are ours.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from saccade.types import Canvas

CELLS = "canvas_cells"  # (sum of K, 2) int64, row and column of each token
SHAPE = "canvas_shape"  # (parts, 2) int64, rows and columns of the canvas each part stands on
OURS = (CELLS, SHAPE)
ALL = ("image_embeds", "image_grid_thw", *OURS)


def of(canvas: Canvas, dtype: torch.dtype, merge: int) -> dict[str, Tensor]:
    """The parts of a canvas, one after the other: sum of K tokens (K, D * (1 + L)), cells (K, 2), shapes (parts, 2).

    `dtype` is that of the embeddings, `merge` the checkpoint's spatial merge size.

    Raises:
        ValueError: a part's cells do not match its tokens.
    """
    for part in canvas.parts:
        if part.wide.ndim != 2 or not len(part) == len(part.row) == len(part.col):
            raise ValueError(
                f"a part has tokens of shape {tuple(part.wide.shape)} for {len(part.row)} rows and {len(part.col)} "
                "columns; it needs one row and one column for each token"
            )
    widths = {part.wide.shape[1] for part in canvas.parts}
    if len(widths) > 1:
        raise ValueError(f"the parts of a canvas have tokens of different widths: {sorted(widths)}")
    return {
        "image_embeds": torch.cat([part.wide for part in canvas.parts]).to(dtype),
        "image_grid_thw": torch.tensor([[1, merge, merge * len(part)] for part in canvas.parts]),
        CELLS: torch.cat([torch.stack([part.row, part.col], -1) for part in canvas.parts]),
        SHAPE: torch.tensor([[canvas.rows, canvas.cols]] * len(canvas.parts)),
    }


def check(data: Mapping[str, Any], width: int, merge: int, max_position: int) -> None:
    """Refuses a canvas that would crash the engine or be read wrongly.

    Raises:
        ValueError: a field is missing, of a wrong type, shape or range; the message names it.
    """
    for key in ALL:
        if not isinstance(data.get(key), Tensor):
            raise ValueError(f"a canvas needs the tensors {', '.join(ALL)}; {key} is {type(data.get(key)).__name__}")
    embeds, grid, cells, shape = (data[key] for key in ALL)
    _check_integers(image_grid_thw=(grid, 3), canvas_cells=(cells, 2), canvas_shape=(shape, 2))
    if embeds.ndim != 2 or embeds.shape[1] != width or not embeds.is_floating_point():
        raise ValueError(
            f"image_embeds is {tuple(embeds.shape)} {embeds.dtype}, but this model takes floating-point tokens of "
            f"width {width} (tokens, {width}), DeepStack levels included"
        )
    if not embeds.isfinite().all():
        raise ValueError("image_embeds holds values that are not finite (NaN or infinite)")
    if (
        (grid[:, 0] != 1).any()
        or (grid[:, 1] != merge).any()
        or (grid[:, 2] < merge).any()
        or (grid[:, 2] % merge).any()
    ):
        raise ValueError(f"image_grid_thw is {grid.tolist()}; a part of K tokens has [1, {merge}, {merge} * K], K >= 1")
    counts = grid[:, 2] // merge
    if not int(counts.sum()) == len(embeds) == len(cells) or len(shape) != len(grid):
        raise ValueError(
            f"image_grid_thw counts {counts.tolist()} tokens, but there are {len(embeds)} embeddings, {len(cells)} "
            f"cells and {len(shape)} canvas shapes for {len(grid)} parts"
        )
    if (shape < 1).any() or (shape > max_position).any():
        raise ValueError(f"canvas_shape is {shape.tolist()}; sides are from 1 to {max_position}, the model's positions")
    off = ((cells < 0) | (cells >= shape.repeat_interleave(counts, 0))).any(-1)
    if off.any():
        first = int(off.nonzero()[0])
        raise ValueError(
            f"token {first} stands at row, column {cells[first].tolist()}, off its canvas; "
            f"canvases are {shape.tolist()} rows, columns"
        )


def _check_integers(**fields: tuple[Tensor, int]) -> None:
    for name, (field, columns) in fields.items():
        if field.ndim != 2 or field.shape[1] != columns or field.dtype != torch.int64 or not len(field):
            raise ValueError(f"{name} is {tuple(field.shape)} {field.dtype}; it must be (1 or more, {columns}) int64")
