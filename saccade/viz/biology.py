"""Charts of the eye: magnification, halving distance, cortical area, retina, acuity, spacing of log-polar rows."""

from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from saccade.geometry import biology
from saccade.geometry.fovea import E0_DEG, M0_MM
from saccade.geometry.logpolar import cell_px
from saccade.viz.charts import MARKS, SMALL, chart, dress
from saccade.viz.lettering import MUTED, font
from saccade.viz.pixels import COLOURS

DEGREES = "Eccentricity (degrees)"
HUMAN, MACAQUE, WRONG = COLOURS[0], COLOURS[1], COLOURS[3]
MOST_DEG = 60.0

Axes = Any  # Matplotlib's types are not checked


def magnification() -> Figure:
    """Four charts: the macaque's data and fits, human and macaque in mm/deg and relative to the fovea, halving."""
    figure = _four()
    data, first, second, third = figure.subplots(2, 2).flat
    e, fit, relative = _degrees(0, 42), biology.macaque(), biology.macaque(relative=True)
    _line(data, e, fit(e), f"least squares: {fit.scale:.1f}/(e + {fit.e0_deg:.2f})", MACAQUE)
    label = f"of relative errors: {relative.scale:.1f}/(e + {relative.e0_deg:.2f})"
    _line(data, e, relative(e), label, COLOURS[2], "--")
    _line(data, e, 6.0 / (e + 0.5), "6.0/(e + 0.5), for comparison", WRONG, ":")
    _dots(data, biology.MACAQUE_DEG, biology.MACAQUE_MM_PER_DEG, "Daniel & Whitteridge (1961)", "black")
    _finish(data, "Macaque: what the data give", "M (mm/degree)", log=True)

    _line(first, e, _human(e), f"human {M0_MM}/(e + {E0_DEG})", HUMAN)
    _line(first, e, fit(e), "macaque, fitted", MACAQUE)
    _dots(first, biology.HUMAN_DEG, biology.HUMAN_MM_PER_DEG, "human, tabulated", HUMAN, 1)
    _finish(first, "Human and macaque", "M (mm/degree)", log=True)

    _line(second, e, _human(e) / _human(e)[0], "human", HUMAN)
    _line(second, e, fit(e) / fit(e)[0], "macaque, fitted", MACAQUE)
    _line(second, e, 0.5 / (e + 0.5), "macaque, 0.5/(e + 0.5)", WRONG, ":")
    _finish(second, "The same, relative to the fovea", "M(e) / M(0)", log=True)

    _line(third, e, biology.halving_deg(e), f"human: e + {E0_DEG}", HUMAN)
    _line(third, e, biology.halving_deg(e, fit.e0_deg), f"macaque: e + {fit.e0_deg:.2f}", MACAQUE)
    third.axhspan(3, 4, color=WRONG, alpha=0.3, lw=0, label='"every 3 to 4 degrees"')
    _finish(third, "M halves after how many degrees more", "Degrees until M is half")
    return figure


def cortex() -> Figure:
    """Two charts: hypercolumns of the central field by its radius beside 273, and distance along a meridian."""
    figure = chart(9, 4.2)
    area, distance = figure.subplots(1, 2)
    e, fit = _degrees(0.2, 90), biology.macaque()
    for name, m0, e0, colour in (("human", M0_MM, E0_DEG, HUMAN), ("macaque", fit.scale, fit.e0_deg, MACAQUE)):
        _line(area, e, biology.cortex_mm2(e, m0, e0) / 2 / biology.HYPERCOLUMN_MM2, f"{name}: area integral", colour)
        _line(distance, e, biology.cortex_mm(e, m0, e0), f"{name}: M0 log(1 + e/e0)", colour)
        whole = biology.V1_MM2[name] / biology.HYPERCOLUMN_MM2
        label = f"{name}: {biology.V1_MM2[name]:,.0f} mm\u00b2 / 4 = {whole:.0f}"
        area.axhline(whole, color=colour, lw=0.8, ls="--", label=label)
    label = "integral of M, not an area"
    _line(area, e, biology.magnification_as_area(e) / biology.HYPERCOLUMN_MM2, label, WRONG, ":")
    area.axhline(273, color="black", lw=1, label="273 tokens")
    area.set_ylim(10, 6e3)
    _finish(area, "Hypercolumns of one hemisphere", "Hypercolumns of 4 mm\u00b2", log=True, where="lower right")
    _finish(distance, "Distance from the fovea on the cortex", "Millimetres of V1")
    return figure


def retina() -> Figure:
    """Four charts: cones and rods, the cone formula over the tables, acuity, the letters that can be read."""
    figure = _four()
    cells, ratio, acuity, letters = figure.subplots(2, 2).flat
    e = _degrees(0, MOST_DEG)
    _line(cells, e, biology.cones_per_mm2(e), "cones: 199,000 exp(-0.42 e)", HUMAN)
    _line(cells, e, biology.rods_per_mm2(e), "rods (gamma curve)", COLOURS[2])
    tables = (
        ("first table", biology.CONES_DEG, biology.CONES_PER_MM2, 0),
        ("second table", biology.HUMAN_DEG, biology.HUMAN_CONES_PER_MM2, 1),
    )
    for name, degrees, values, mark in tables:
        _dots(cells, degrees, values, f"cones: {name}", "black", mark)
        formula = biology.cones_per_mm2(torch.tensor(degrees, dtype=torch.float64))
        _dots(ratio, degrees, (formula / torch.tensor(values)).tolist(), name, "black", mark)
    fit = biology.fit_hyperbola(torch.tensor(biology.CONES_DEG), torch.tensor(biology.CONES_PER_MM2))
    _line(cells, e, fit(e), f"first table fitted: {fit.scale:,.0f}/(e + {fit.e0_deg:.2f})", MACAQUE, "--")
    cells.set_ylim(30, 8e6)
    _finish(cells, "Cones and rods", "Cells per mm\u00b2", log=True)
    ratio.axhline(1, color=HUMAN, lw=1, label="equal")
    _finish(ratio, "The cone formula over the tables", "Formula / table", log=True, where="lower left")
    _line(acuity, e, biology.acuity_cpd(e), "60/(1 + 0.35 e)", HUMAN)
    _dots(acuity, biology.HUMAN_DEG, biology.HUMAN_ACUITY_CPD, "tabulated", "black")
    acuity.set_ylim(0)
    _finish(acuity, "Acuity", "Cycles/degree")
    _line(letters, e, biology.readable_x_height_px(e), "resolved from", HUMAN)
    letters.axhline(5, color=MUTED, lw=0.8, ls="--", label="5 px: the screen's limit")
    letters.set_ylim(0)
    _finish(letters, "Letters that can be resolved", "x-height (px at 33.3 px/degree)")
    return figure


def rows_by_eccentricity(farthest_deg: float, px_per_deg: float) -> dict[str, tuple[Tensor, Tensor]]:
    """Name -> eccentricities (M,) and the share of log-polar rows within them, for three spacings."""
    e = torch.linspace(0, farthest_deg, 2001, dtype=torch.float64)
    rows = {
        "log, alpha = 1 px": torch.log1p(e * px_per_deg),
        "acuity": torch.log1p(biology.ACUITY_PER_DEG * e),
        "integral of 1/acuity": e + biology.ACUITY_PER_DEG / 2 * e**2,
    }
    return {name: (e, place / place[-1]) for name, place in rows.items()}


def log_polar_rows(farthest_deg: float, px_per_deg: float, num_rho: int, num_theta: int) -> Figure:
    """Two charts: which share of the rows lies within an eccentricity, and how many pixels a cell stands for."""
    figure = chart(9, 4)
    share, pixels = figure.subplots(1, 2)
    for (name, (e, part)), colour in zip(
        rows_by_eccentricity(farthest_deg, px_per_deg).items(), (HUMAN, MACAQUE, WRONG), strict=True
    ):
        _line(share, e, 100 * part, name, colour, ":" if colour == WRONG else "-")
    share.axvline(5, color=MUTED, lw=0.8, ls="--", label="5 degrees")
    _finish(share, "Where the rows lie", "Rows within it (%)", where="lower right")
    e = torch.logspace(-1.5, 1.78, 200, dtype=torch.float64)
    for name, alpha, colour in (
        ("log, alpha = 1 px", 1.0, HUMAN),
        ("acuity", px_per_deg / biology.ACUITY_PER_DEG, MACAQUE),
    ):
        radial, around = cell_px(e * px_per_deg, farthest_deg * px_per_deg, num_rho, num_theta, alpha)
        _line(pixels, e, radial, f"{name}: from row to row", colour)
    _line(pixels, e, around, "from column to column", "black", "--")
    pixels.set_xscale("log")
    _finish(pixels, f"Pixels a cell, {num_rho} x {num_theta} bins", "Pixels", log=True)
    return figure


def _four() -> Figure:
    """An empty figure for two rows of two charts."""
    figure = chart(9, 7.4)
    engine: Any = figure.get_layout_engine()  # the chart's: Matplotlib's types are those of any engine
    engine.set(hspace=0.08)
    return figure


def _human(eccentricity: Tensor) -> Tensor:
    return M0_MM / (eccentricity + E0_DEG)


def _degrees(low: float, high: float) -> Tensor:
    return torch.linspace(low, high, 400, dtype=torch.float64)


def _line(axes: Axes, e: Tensor, values: Tensor, label: str, colour: str, style: str = "-") -> None:
    axes.plot(e.numpy(), values.numpy(), color=colour, ls=style, lw=1.4, label=label)


def _dots(axes: Axes, degrees: Any, values: Any, label: str, colour: str, mark: int = 0) -> None:
    axes.plot(degrees, values, MARKS[mark], color=colour, ms=4.5, mfc="none" if mark else colour, label=label)


def _finish(axes: Axes, title: str, up: str, log: bool = False, where: str = "best") -> None:
    if log:
        axes.set_yscale("log")
    dress(axes, title, DEGREES, up)
    axes.grid(color="#e6e8eb", lw=0.6)
    axes.legend(loc=where, prop=font(SMALL), frameon=True, framealpha=0.9, edgecolor="none")
