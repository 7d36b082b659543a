"""Pictures of what the eye's geometry does to a page: allocation, log-polar maps, foveation, homunculus.

Pixels in, a sheet of panels out; a ring marks the gaze.
"""

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from saccade.geometry.fovea import PX_PER_DEG, eccentricity_deg, magnification_mm_per_deg
from saccade.geometry.homunculus import homunculus
from saccade.geometry.logpolar import log_polar
from saccade.geometry.sceneaware import scene_places
from saccade.viz.pixels import Pixels, cell_map, scaled, shade
from saccade.viz.sheet import Panel, panel_size, panels

Gaze = tuple[float, float]
RING, DOT = (213, 94, 0), (0, 114, 178)
VEIL = 0.75  # how far what was not kept fades


def allocation(page: Pixels, gaze_uv: Gaze, kept: NDArray[np.bool_], facts: str) -> Figure:
    """Picture, magnification, kept tokens (rows, cols) bool of a sampler that draws as the cortex is allotted."""
    size = _size(page, 3)
    shown = scaled(page, *size)
    height, width = page.shape[:2]
    density = magnification_mm_per_deg(eccentricity_deg(height, width, torch.tensor([gaze_uv])))[0].numpy()
    level = np.log(density) - np.log(density.min())
    heat = (255 * shade(level / level.max())).astype(np.uint8)
    cells = kept.ravel()[cell_map(kept.shape[0], kept.shape[1], *size)]
    lit = np.where(cells[..., None], shown, (shown * (1 - VEIL) + 140 * VEIL).astype(np.uint8))
    seen = f"{width:,} x {height:,} px, {width / PX_PER_DEG:.0f} x {height / PX_PER_DEG:.0f} degrees"
    return panels(
        "Tokens as the cortex is allotted",
        facts,
        [
            Panel("Picture and gaze", _ring(shown, gaze_uv), seen),
            Panel(
                "M(e), mm of cortex a degree",
                _ring(scaled(heat, *size), gaze_uv),
                "human, 17.3/(e + 0.75); colours on a logarithmic scale",
                (float(density.min()), float(density.max())),
            ),
            Panel("Kept tokens", _ring(lit, gaze_uv), f"{kept.sum()} of {kept.size:,}"),
        ],
        3,
    )


def invariances(page: Pixels, gaze_uv: Gaze, bins: tuple[int, int], turn_deg: float, zoom: float) -> Figure:
    """The page, turned, enlarged around the gaze; below each its log-polar map, which only moves."""
    height, width = page.shape[:2]
    centre = gaze_uv[0] * width - 0.5, gaze_uv[1] * height - 0.5
    columns = round(turn_deg / 360 * bins[1])
    far = max(np.hypot(centre[0] - x, centre[1] - y) for x in (0, width - 1) for y in (0, height - 1))
    rows = np.log(zoom) / np.log1p(far) * (bins[0] - 1)
    paper = tuple(int(value) for value in np.median(page.reshape(-1, 3), axis=0))
    moved = [("The picture", page, "")]
    for name, angle, scale, note in (
        (f"Turned by {turn_deg:g} degrees", -turn_deg, 1.0, f"moved {columns} of {bins[1]} columns to the right"),
        (f"Enlarged {zoom:g} times", 0.0, zoom, f"moved {rows:.1f} of {bins[0]} rows down"),
    ):
        matrix = cv2.getRotationMatrix2D(centre, angle, scale)
        image = cv2.warpAffine(page, matrix, (width, height), borderValue=paper)
        moved.append((name, image, note))
    size = _size(page, 3)
    above = [Panel(name, _ring(scaled(image, *size), gaze_uv)) for name, image, _ in moved]
    map_size = size[0], round(size[0] * bins[0] / bins[1])
    below = [
        Panel("Its map: angle across, log radius down", scaled(log_polar(image, gaze_uv, *bins), *map_size), note)
        for _, image, note in moved
    ]
    facts = f"{bins[0]} x {bins[1]} bins; rows near the gaze repeat single pixels"
    return panels("Turning and scaling become translations of the log-polar map", facts, [*above, *below], 3)


def scene_aware(page: Pixels, saliency: Tensor, gaze_uv: Gaze, bins: tuple[int, int], beta: float) -> Figure:
    """Saliency (H, W) in [0, 1]; where a map samples without it and with it."""
    size = _size(page, 3)
    gaze = torch.tensor([gaze_uv])
    panels_of, counts = [], []
    for strength in (0.0, beta):
        place = scene_places(saliency[None], gaze, *bins, strength)[0]  # (R, T, 2) in [-1, 1]
        uv = (place.flatten(0, 1) + 1) / 2
        inside = ((uv >= 0) & (uv < 1)).all(-1)
        cells = (uv[inside] * torch.tensor([saliency.shape[1], saliency.shape[0]])).long()
        counts.append(int((saliency[cells[:, 1], cells[:, 0]] > 0.5).sum()))
        dotted = _faded(scaled(page, *size))
        for x, y in (uv[inside] * torch.tensor(size)).long().tolist():
            cv2.circle(dotted, (x, y), 2, DOT, -1, cv2.LINE_AA)
        panels_of.append(dotted)
    heat = (255 * shade(saliency.double().numpy())).astype(np.uint8)
    share = float((saliency > 0.5).float().mean())
    shown = [
        Panel("Saliency", _ring(scaled(heat, *size), gaze_uv), f"above 0.5 on {share:.0%} of the page", (0.0, 1.0)),
        Panel("Plain map", _ring(panels_of[0], gaze_uv), f"{counts[0]:,} samples where it is above 0.5"),
        Panel("Scene-aware map", _ring(panels_of[1], gaze_uv), f"{counts[1]:,} samples there, beta = {beta:g}"),
    ]
    return panels("Samples drawn to what is salient", f"{bins[0]} x {bins[1]} bins around the gaze", shown, 3)


def foveations(page: Pixels, gaze_uv: Gaze, maps: dict[str, tuple[Pixels, str]]) -> Figure:
    """The page as each way leaves it: name -> (pixels, what to say below)."""
    size = _size(page, 3)
    shown = [Panel("The picture", _ring(scaled(page, *size), gaze_uv), "the ring is the gaze")]
    shown += [Panel(name, scaled(pixels, *size), note) for name, (pixels, note) in maps.items()]
    return panels("What foveation keeps", "Through a log-polar map and back; SSIM by eccentricity below", shown, 3)


def homunculi(page: Pixels, density: Tensor, name: str) -> Figure:
    """The page, and the page redrawn so that each place takes the area that a density (h, w) says."""
    size = _size(page, 3)
    image = torch.from_numpy(page.copy()).permute(2, 0, 1)[None].float()
    drawn = [
        homunculus(image, density[None], straight)[0].round().byte().permute(1, 2, 0).numpy()
        for straight in (False, True)
    ]
    shown = [
        Panel("The picture", scaled(page, *size)),
        Panel("Homunculus", scaled(drawn[0], *size), "every place takes the area that its density says, exactly"),
        Panel("With straight columns", scaled(drawn[1], *size), "by the product of the two marginal densities"),
    ]
    return panels("The homunculus of a page", f"density: {name}", shown, 3)


def _size(page: Pixels, columns: int) -> tuple[int, int]:
    return panel_size(page.shape[1], page.shape[0], columns)


def _faded(page: Pixels) -> Pixels:
    faded: Pixels = (255 - 0.35 * (255 - page.astype(np.float64))).astype(np.uint8)
    return faded


def _ring(page: Pixels, gaze_uv: Gaze) -> Pixels:
    """The page with a ring around the gaze."""
    height, width = page.shape[:2]
    ringed = np.ascontiguousarray(page).copy()
    centre, radius = (round(gaze_uv[0] * width), round(gaze_uv[1] * height)), max(6, width // 40)
    cv2.circle(ringed, centre, radius, (255, 255, 255), max(4, width // 110), cv2.LINE_AA)
    cv2.circle(ringed, centre, radius, RING, max(2, width // 200), cv2.LINE_AA)
    return ringed
