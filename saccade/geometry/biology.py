"""What is known of the eye and the visual cortex, as data and as the formulas drawn through it.

Everything takes and gives tensors of any shape; eccentricities in degrees of visual angle. The tables are those the
project started from. They are rounded readings of the papers, not the papers' own measurements, and so a fit to them
describes these readings only.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from saccade.geometry.fovea import E0_DEG, M0_MM, PX_PER_DEG

MACAQUE_DEG = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0)
MACAQUE_MM_PER_DEG = (6.0, 5.5, 4.8, 3.2, 2.4, 1.5, 0.75, 0.5, 0.3, 0.15, 0.1)
"""Magnification of macaque V1, after Daniel & Whitteridge (1961)."""
CONES_DEG = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 40.0, 60.0)
CONES_PER_MM2 = (150e3, 120e3, 80e3, 40e3, 20e3, 10e3, 6e3, 4e3, 2e3)
"""Cone density of the retina, first table. It is given as Daniel & Whitteridge's, who measured cortex, not cones."""
HUMAN_DEG = (0.0, 2.0, 5.0, 10.0, 20.0, 40.0)
HUMAN_CONES_PER_MM2 = (175e3, 50e3, 20e3, 10e3, 5e3, 3e3)  # the first is the middle of 150,000 to 200,000
"""Cone density of the human retina, second table, after Curcio et al. (1990)."""
HUMAN_ACUITY_CPD = (60.0, 30.0, 20.0, 15.0, 8.0, 4.0)
HUMAN_MM_PER_DEG = (21.0, 7.3, 3.5, 1.9, 1.0, 0.5)  # the first is the middle of 20 to 22
"""Acuity and V1 magnification of the second table."""

HYPERCOLUMN_MM2 = 4.0  # 2 mm x 2 mm of cortex (Hubel & Wiesel 1974)
V1_MM2 = {"macaque": 1200.0, "human": 2500.0}  # of one hemisphere (Van Essen et al. 1984; Horton & Hoyt 1991)

CONE_PEAK_PER_MM2 = 199_000.0  # Curcio et al. (1990)
CONE_FALL_PER_DEG = 0.42
ROD_PEAK_PER_MM2, ROD_PEAK_DEG, ROD_FREE_DEG = 150_000.0, 20.0, 0.6  # Curcio et al. (1990): 1.25 deg without rods
ACUITY_CPD, ACUITY_PER_DEG = 60.0, 0.35
CYCLES_PER_X_HEIGHT = 2.5  # five strokes a letter, as on Snellen's chart


@dataclass(frozen=True, slots=True)
class Hyperbola:
    """y = scale / (e + e0_deg), and how far it is from the points it was fitted to."""

    scale: float  # M0 in mm for a magnification
    e0_deg: float
    residual: tuple[float, ...]  # data - fit, one a point

    @property
    def rms(self) -> float:
        return math.sqrt(sum(value**2 for value in self.residual) / len(self.residual))

    def __call__(self, eccentricity: Tensor) -> Tensor:
        return self.scale / (eccentricity + self.e0_deg)


def fit_hyperbola(eccentricity: Tensor, value: Tensor, relative: bool = False) -> Hyperbola:
    """Least squares of value (N,) on scale / (eccentricity (N,) + e0), e0 in [0.001, 1000] deg.

    The best scale for an e0 is linear algebra, so that only e0 is searched (variable projection, Golub & Pereyra
    1973): on a logarithmic grid that shrinks around its best point. `relative`: residuals count as shares of the value,
    or else the largest values decide alone.
    """
    e, y = eccentricity.double(), value.double()
    weight = 1 / y if relative else torch.ones_like(y)
    low, high = -3.0, 3.0  # log10 e0
    for _ in range(9):  # each round narrows the search 20 times
        e0 = torch.logspace(low, high, 81, dtype=torch.float64)
        shape = weight / (e + e0[:, None])  # (81, N)
        scale = (shape @ (weight * y)) / shape.square().sum(-1)
        best = int((weight * y - scale[:, None] * shape).square().sum(-1).argmin())
        centre, half = e0[best].log10().item(), (high - low) / 40
        low, high = max(centre - half, -3.0), min(centre + half, 3.0)
    m0, offset = scale[best].item(), e0[best].item()
    return Hyperbola(m0, offset, tuple((y - m0 / (e + offset)).tolist()))


def macaque(relative: bool = False) -> Hyperbola:
    """M0 and e0 of the macaque, fitted to Daniel & Whitteridge's magnifications."""
    return fit_hyperbola(torch.tensor(MACAQUE_DEG), torch.tensor(MACAQUE_MM_PER_DEG), relative)


def cortex_mm(eccentricity: Tensor, m0_mm: float = M0_MM, e0_deg: float = E0_DEG) -> Tensor:
    """Distance on the cortex from the fovea's centre, along a meridian: the integral of M, M0 log(1 + e/e0)."""
    return m0_mm * torch.log1p(eccentricity / e0_deg)


def cortex_mm2(eccentricity: Tensor, m0_mm: float = M0_MM, e0_deg: float = E0_DEG) -> Tensor:
    """Area of V1, both hemispheres together, that shows the disc of this radius: the integral of M^2 2 pi e de.

    = 2 pi M0^2 (log(1 + e/e0) - e/(e + e0)): a degree is M mm long in both directions (M is taken to be the same
    in both), and a hemisphere shows half of the disc.
    """
    ratio = eccentricity / e0_deg
    return 2 * torch.pi * m0_mm**2 * (torch.log1p(ratio) - ratio / (1 + ratio))


def magnification_as_area(eccentricity: Tensor, m0_mm: float = M0_MM, e0_deg: float = E0_DEG) -> Tensor:
    """(mm deg) The integral of M 2 pi e de, sometimes taken for an area. Its unit is mm deg: it measures nothing.

    It is here to be shown beside `cortex_mm2`: 175.6 for M0 = 1, e0 = 0.5 at 30 deg, 2,958 for the human values.
    """
    return 2 * torch.pi * m0_mm * (eccentricity - e0_deg * torch.log1p(eccentricity / e0_deg))


def eccentricity_of_area(area_mm2: float, m0_mm: float = M0_MM, e0_deg: float = E0_DEG) -> float:
    """The radius in degrees of the disc that takes this area of V1 (both hemispheres): `cortex_mm2` inverted."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        small = cortex_mm2(torch.tensor(middle, dtype=torch.float64), m0_mm, e0_deg).item() < area_mm2
        low, high = (middle, high) if small else (low, middle)
    return high


def halving_deg(eccentricity: Tensor, e0_deg: float = E0_DEG) -> Tensor:
    """Degrees farther out at which the magnification is half of what it is here: e + e0, never a constant."""
    return eccentricity + e0_deg


def cones_per_mm2(eccentricity: Tensor) -> Tensor:
    """Cones per mm^2: 199,000 exp(-0.42 e). Near the fovea only: at 20 deg it is 45, the tables 5,000 and 10,000."""
    return CONE_PEAK_PER_MM2 * torch.exp(-CONE_FALL_PER_DEG * eccentricity)


def rods_per_mm2(eccentricity: Tensor) -> Tensor:
    """Rods per mm^2: none within 0.6 deg, 150,000 at 20 deg, their peak. A gamma curve through these facts."""
    share = (eccentricity - ROD_FREE_DEG).clamp(min=0) / (ROD_PEAK_DEG - ROD_FREE_DEG)
    return ROD_PEAK_PER_MM2 * share * torch.exp(1 - share)


def acuity_cpd(eccentricity: Tensor) -> Tensor:
    """60 / (1 + 0.35 e): the finest grating, in cycles per degree, that is still seen."""
    return ACUITY_CPD / (1 + ACUITY_PER_DEG * eccentricity)


def readable_x_height_px(eccentricity: Tensor, px_per_deg: float = PX_PER_DEG) -> Tensor:
    """The lowest x-height in pixels at which the strokes of a letter are resolved, 2.5 cycles per letter.

    Where the eye sees finer than the screen shows (px_per_deg / 2 cycles per degree) the pixels set the limit: 5 px. A
    limit for single letters: crowding makes neighbours hide each other earlier (Bouma 1970).
    """
    finest = acuity_cpd(eccentricity).clamp(max=px_per_deg / 2)
    return CYCLES_PER_X_HEIGHT * px_per_deg / finest
