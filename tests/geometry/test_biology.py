"""Biology by hand, against SciPy's fits and integrals, and against formulas that are often given and wrong."""

import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import curve_fit

from saccade.geometry import biology
from saccade.geometry.fovea import E0_DEG, M0_MM


def at(*degrees: float) -> torch.Tensor:
    return torch.tensor(degrees, dtype=torch.float64)


def curve(e: float, scale: float, e0: float) -> float:
    return scale / (e + e0)


@pytest.mark.parametrize(
    "degrees, values",
    [
        (biology.MACAQUE_DEG, biology.MACAQUE_MM_PER_DEG),
        (biology.CONES_DEG, biology.CONES_PER_MM2),
        (biology.HUMAN_DEG, biology.HUMAN_MM_PER_DEG),
    ],
)
@pytest.mark.parametrize("relative", [False, True])
def test_the_fit_is_scipys(degrees, values, relative):
    fit = biology.fit_hyperbola(at(*degrees), at(*values), relative)
    weights = values if relative else None
    (scale, e0), _ = curve_fit(curve, degrees, values, p0=[values[0], 1.0], sigma=weights, xtol=1e-12, ftol=1e-12)
    assert fit.scale == pytest.approx(scale, rel=1e-5) and fit.e0_deg == pytest.approx(e0, rel=1e-5)
    expected = [value - scale / (e + e0) for e, value in zip(degrees, values, strict=True)]
    assert list(fit.residual) == pytest.approx(expected, rel=1e-3, abs=1e-4 * values[0])


def test_a_hyperbola_is_found_again():
    fit = biology.fit_hyperbola(at(0, 1, 4, 20), 7.0 / (at(0, 1, 4, 20) + 0.2))
    assert (fit.scale, fit.e0_deg) == (pytest.approx(7.0, rel=1e-6), pytest.approx(0.2, rel=1e-6))
    assert fit.rms == pytest.approx(0, abs=1e-6)
    assert fit(at(0.5)).item() == pytest.approx(10.0)


def test_what_the_macaque_data_give():
    fit = biology.macaque()
    assert (fit.scale, fit.e0_deg) == (pytest.approx(12.453, abs=1e-3), pytest.approx(1.935, abs=1e-3))
    assert fit(at(0)).item() == pytest.approx(6.44, abs=0.01)  # mm/deg at the fovea, as the data say: 6.0
    # The seeds take "6 mm/deg at the fovea" for M0 itself, with e0 = 0.5: that is 12 mm/deg, twice their own data.
    assert curve(0, 6.0, 0.5) == 12


@pytest.mark.parametrize("m0, e0", [(M0_MM, E0_DEG), (12.45, 1.93)])
@pytest.mark.parametrize("edge", [0.5, 5.0, 30.0])
def test_distance_and_area_are_integrals(m0, e0, edge):
    distance, _ = quad(lambda e: m0 / (e + e0), 0, edge)
    area, _ = quad(lambda e: (m0 / (e + e0)) ** 2 * 2 * torch.pi * e, 0, edge)
    assert biology.cortex_mm(at(edge), m0, e0).item() == pytest.approx(distance)
    assert biology.cortex_mm2(at(edge), m0, e0).item() == pytest.approx(area)
    assert biology.eccentricity_of_area(area, m0, e0) == pytest.approx(edge)


def test_the_seeds_area_is_none():
    wrong, _ = quad(lambda e: 1 / (e + 0.5) * 2 * torch.pi * e, 0, 30)
    assert biology.magnification_as_area(at(30), 1.0, 0.5).item() == pytest.approx(wrong) == pytest.approx(175.6, 1e-3)
    # An area in mm2 grows four-fold when every length on the cortex doubles; theirs only doubles.
    for integral, growth in ((biology.cortex_mm2, 4), (biology.magnification_as_area, 2)):
        assert (integral(at(30), 2 * M0_MM) / integral(at(30), M0_MM)).item() == pytest.approx(growth)
    assert biology.cortex_mm2(at(30)).item() == pytest.approx(5148.7, abs=0.1)
    assert biology.magnification_as_area(at(30)).item() == pytest.approx(2958, abs=1)


def test_the_magnification_halves_after_a_distance_that_grows():
    found = biology.halving_deg(at(0, 2.5, 20))
    assert found.tolist() == [0.75, 3.25, 20.75]
    for e, distance in zip((0, 2.5, 20), found.tolist(), strict=True):
        assert curve(e + distance, M0_MM, E0_DEG) == pytest.approx(curve(e, M0_MM, E0_DEG) / 2)


def test_cones_and_rods():
    assert biology.cones_per_mm2(at(0, 1, 5)).tolist() == pytest.approx([199_000, 130_754, 24_368], rel=1e-4)
    rods = biology.rods_per_mm2(torch.linspace(0, 90, 9001, dtype=torch.float64))
    assert rods[:61].max() == 0  # the rod-free centre
    assert rods.argmax().item() / 100 == pytest.approx(20) and rods.max().item() == pytest.approx(150_000)
    assert biology.rods_per_mm2(at(60)).item() < 0.5 * 150_000


def test_acuity_and_the_letters_it_reads():
    assert biology.acuity_cpd(at(0, 2, 20)).tolist() == pytest.approx([60, 35.294, 7.5], abs=1e-3)
    # 10 deg: 13.33 cycles per degree, so 2.5 cycles are 0.1875 deg, 6.24 px; at the fovea 2.5 cycles are 5 px.
    assert biology.readable_x_height_px(at(0, 10, 20)).tolist() == pytest.approx([5, 6.244, 11.1], abs=1e-3)
    assert biology.readable_x_height_px(at(0), px_per_deg=240).item() == pytest.approx(10)  # here the eye is the limit
