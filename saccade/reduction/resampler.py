"""Resampler: a fixed number of learned queries read all tokens by attention, and go on in their place.

After the Perceiver (Jaegle et al. 2021, arXiv:2103.03206) and Flamingo's resampler (Alayrac et al. 2022,
arXiv:2204.14198). A query stands where it looks: at the centroid of its attention, floored to a cell.
"""

from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from saccade.errors import ConfigError
from saccade.heads.files import holds, load_cached
from saccade.heads.queries import Queries
from saccade.reduction import Reduction
from saccade.types import Encoding, cells_at


class Resampler(Reduction):
    """Trained queries in the place of the tokens, as many whatever the picture's size."""

    regroups: ClassVar[bool] = True

    weights: Annotated[str, holds(Queries)] = Field(
        description="Folder of a trained resampler (saccade.training.reduction)."
    )

    def active(self, num_layers: int) -> bool:
        return False

    @torch.inference_mode()
    def after(self, encoding: Encoding) -> Encoding:
        module = load_cached(Queries, self.weights, encoding.tokens.device)
        check_width(module.width, encoding)
        if encoding.deepstack is not None:
            raise ConfigError("resampler: not for Qwen3-VL, whose DeepStack levels belong to the tokens it replaces")
        if module.num_queries >= len(encoding):
            return encoding
        tokens, seen = (each[0] for each in module(encoding.tokens[None], encoding.grid.centre_uv[None]))
        grid = encoding.grid
        centre = seen @ grid.centre_uv
        spread = (seen @ grid.centre_uv.square() - centre.square()).clamp(min=0).sqrt()
        cell = 1 / torch.tensor([grid.cols, grid.rows])
        row, col = cells_at(centre, grid.rows, grid.cols)
        order = torch.argsort(row * grid.cols + col, stable=True)
        place = replace(
            grid,
            centre_uv=centre[order],
            extent_uv=(2 * spread + cell)[order].clamp(max=1),
            level=torch.zeros_like(row),
            row=row[order],
            col=col[order],
            source=_whose(seen[order], grid.source),
        )
        mixed = torch.einsum("kn,nmf->kmf", seen, encoding.features.float()).to(encoding.features.dtype)
        share = seen / seen.sum(0).clamp(min=1e-9)  # of each token, among the queries
        return replace(
            encoding,
            tokens=tokens[order],
            features=mixed[order],
            received=(share @ encoding.received)[order],
            grid=place,
        )


def _whose(seen: Tensor, source: Tensor | None) -> Tensor:
    """(H*W,): the query that looks most at each cell."""
    best = seen.argmax(0)
    return best if source is None else torch.where(source >= 0, best[source.clamp(min=0)], -1)


def check_width(width: int, encoding: Encoding) -> None:
    """Raises ConfigError: trained for tokens of another width."""
    if encoding.tokens.shape[-1] != width:
        raise ConfigError(
            f"trained for tokens of width {width}; this model's are {encoding.tokens.shape[-1]} wide. "
            "Train one for this model"
        )
