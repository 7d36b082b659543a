"""Scanpath statistics: amplitudes, regressions, revisits and coverage, beside those of human eyes.

Degrees are those of a page on a screen of 33.3 px/deg (`saccade.geometry.fovea`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from saccade.geometry.fovea import PX_PER_DEG

LINE_DEG = 1.0
"""Gazes closer than this up or down count as on one line: less than the fovea's radius apart, both are seen at once."""
FOVEA_DEG, PARAFOVEA_DEG = 1.0, 5.0
"""Radii in which an eye sees sharply (the fovea is 2 degrees wide) and still reads (the parafovea)."""
CELLS = 64  # a side, on which coverage is counted

HUMAN = {
    "reading": {"amplitude_deg": (2.0, 8.0), "regressions": (0.10, 0.15), "fixation_ms": (200.0, 300.0)},
    "scenes": {"amplitude_deg": (4.0, 15.0), "fixation_ms": (250.0, 400.0)},
}
"""Figures of human eyes as the project's first notes give them, without a source; usual values of the literature are
of this size (Rayner 1998). The notes' "about 50 % of a scene after 30 saccades" names no radius and is not compared."""
HUMAN_COVERAGE = (31, 0.5)
"""Fixations (30 saccades join 31) and the share of a scene that the notes say they cover."""


@dataclass(frozen=True, slots=True)
class Scanpath:
    """The gazes of one question, in order. L gazes make L - 1 saccades."""

    amplitude_uv: tuple[float, ...]  # of each saccade, in units of the longer side
    amplitude_deg: tuple[float, ...]
    backward: tuple[bool, ...]  # whether it went against the order of reading
    revisit: tuple[bool, ...]  # whether it landed within a fovea's radius of an earlier gaze
    coverage: tuple[tuple[float, float], ...]  # after each fixation: share of the page in the fovea, in the parafovea


@dataclass(frozen=True, slots=True)
class ScanpathStatistics:
    """Statistics of all scanpaths together; None where there was no saccade."""

    paths: int
    fixations: int
    saccades: int
    mean_uv: float | None
    mean_deg: float | None
    median_deg: float | None
    regressions: float | None  # share of saccades
    revisits: float | None
    coverage: tuple[tuple[float, float], ...]  # after n fixations, mean over the paths that had as many or ended before


def scanpath(gazes_uv: Sequence[tuple[float, float]], width_px: int, height_px: int) -> Scanpath:
    """The scanpath of one question: its gazes (x, y) in uv on a page of this size in pixels.

    A regression goes up by more than a line (`LINE_DEG`), or left on the same line. A move left and down, to the
    beginning of the next line, is not a regression.
    """
    longer = max(width_px, height_px)
    gazes = torch.tensor(gazes_uv, dtype=torch.float64).view(-1, 2)
    at_px = gazes * torch.tensor([width_px, height_px])
    step = (at_px[1:] - at_px[:-1]) / PX_PER_DEG
    length = step.norm(dim=-1)
    backward = (step[:, 1] < -LINE_DEG) | ((step[:, 1].abs() <= LINE_DEG) & (step[:, 0] < 0))
    away = torch.cdist(at_px, at_px) / PX_PER_DEG
    again = [bool((away[number, :number] <= FOVEA_DEG).any()) for number in range(1, len(at_px))]
    fovea, parafovea = (coverage(at_px, width_px, height_px, radius) for radius in (FOVEA_DEG, PARAFOVEA_DEG))
    return Scanpath(
        tuple((length * PX_PER_DEG / longer).tolist()),
        tuple(length.tolist()),
        tuple(backward.tolist()),
        tuple(again),
        tuple(zip(fovea.tolist(), parafovea.tolist(), strict=True)),
    )


def coverage(at_px: Tensor, width_px: int, height_px: int, radius_deg: float) -> Tensor:
    """(L,) share of the page within `radius_deg` of any of the first 1, 2, ... gazes (L, 2) in px.

    It is counted at the centres of `CELLS` x `CELLS` equal cells.
    """
    x, y = ((torch.arange(CELLS) + 0.5) / CELLS * side for side in (width_px, height_px))
    cells = torch.cartesian_prod(x, y).to(at_px.dtype)
    near = torch.cdist(at_px, cells) <= radius_deg * PX_PER_DEG  # (L, cells)
    return near.long().cummax(0).values.double().mean(-1)


def scanpath_statistics(paths: Sequence[Scanpath]) -> ScanpathStatistics:
    """Statistics of the saccades pooled over all scanpaths. A path that has ended keeps its last coverage."""
    degrees = [each for path in paths for each in path.amplitude_deg]
    longest = max((len(path.coverage) for path in paths), default=0)
    looked = [path.coverage for path in paths if path.coverage]
    covered = []
    for number in range(longest):
        here = torch.tensor([path[min(number, len(path) - 1)] for path in looked], dtype=torch.float64).mean(0)
        covered.append((float(here[0]), float(here[1])))
    return ScanpathStatistics(
        paths=len(paths),
        fixations=sum(len(path.coverage) for path in paths),
        saccades=len(degrees),
        mean_uv=_mean([each for path in paths for each in path.amplitude_uv]),
        mean_deg=_mean(degrees),
        median_deg=float(torch.tensor(degrees, dtype=torch.float64).quantile(0.5)) if degrees else None,
        regressions=_mean([float(each) for path in paths for each in path.backward]),
        revisits=_mean([float(each) for path in paths for each in path.revisit]),
        coverage=tuple(covered),
    )


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def sequence_score(first_px: Tensor, second_px: Tensor) -> float:
    """Similarity of two sequences of gazes (L, 2) in px, in place and order: 0 to 1, 1 for equal sequences.

    The best alignment of the two (Needleman & Wunsch 1970), as ScanMatch scores it (Cristino et al. 2010): a pair of
    gazes is worth 1 less its distance over the parafovea's radius, at least 0, a gaze without a partner nothing, and
    the sum is divided by the longer sequence's length. Durations and ScanMatch's bins are left out.
    """
    longest = max(len(first_px), len(second_px))
    if longest == 0:
        return 1.0
    away = torch.cdist(first_px.double(), second_px.double()) / (PARAFOVEA_DEG * PX_PER_DEG)
    worth = (1 - away).clamp(min=0).tolist()
    best = [0.0] * (len(second_px) + 1)  # of the gazes so far against the first 0, 1, ... of the others
    for row in worth:
        before, best = best, [0.0]
        for number, value in enumerate(row):
            best.append(max(before[number] + value, before[number + 1], best[number]))
    return best[-1] / longest
