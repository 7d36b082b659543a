"""Kept tokens by eccentricity (distance from the gaze), compared with the eye's acuity there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saccade.geometry.biology import ACUITY_CPD, acuity_cpd
from saccade.geometry.fovea import band_shares, in_bands, token_eccentricity_deg
from saccade.types import Grid

BANDS_DEG = (0.0, 2.0, 5.0, 10.0, 20.0, math.inf)


@dataclass(frozen=True, slots=True)
class Band:
    """Tokens in [low_deg, high_deg) around a gaze; means over gazes that have tokens there."""

    low_deg: float
    high_deg: float
    page: float  # share of all tokens that lie here
    kept: float  # share of the kept ones
    density: float | None  # share of the tokens here that are kept; None: no tokens lie here
    acuity: float | None  # mean over the tokens here, of the gaze's own
    eye: float  # share of the kept ones if their density followed acuity squared, as an eye's samples would


def bands(
    looks: Sequence[tuple[Grid, tuple[float, float], Tensor]], bands_deg: Sequence[float] = BANDS_DEG
) -> list[Band]:
    """Means per band over looks: (grid of N tokens, gaze in uv, kept (N,) bool), each with at least one token kept.

    Acuity is in cycles per degree, so the density of samples on the page goes with its square.
    """
    rows: list[Tensor] = []
    for grid, gaze, kept_tok in looks:
        e = token_eccentricity_deg(grid.centre_uv[None], torch.tensor([gaze]), [grid])
        sharp = acuity_cpd(e) / ACUITY_CPD
        inside = in_bands(e, bands_deg)[0].double()  # (bands, N)
        num_tok = inside.sum(-1)
        everywhere, own, eye = (
            band_shares(e.double(), weight.double(), bands_deg)[0]
            for weight in (torch.ones_like(e), kept_tok[None].float(), sharp.square())
        )
        density, acuity = (
            (inside @ kept_tok.double()) / num_tok,
            (inside @ sharp[0].double()) / num_tok,
        )  # nan: no tokens
        rows.append(torch.stack([everywhere, own, density, acuity, eye], -1))
    mean = torch.stack(rows).nanmean(0).tolist() if rows else []
    edges = zip(bands_deg[:-1], bands_deg[1:], strict=True)
    return [
        Band(low, high, page, own, _or_none(density), _or_none(acuity), eye)
        for (low, high), (page, own, density, acuity, eye) in zip(edges, mean, strict=bool(rows))
    ]


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else value
