"""What `saccade eye` finds: fits and integrals, and what foveation does to one picture. No model is needed."""

from collections.abc import Mapping
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
import torch

from saccade.datasets.synthdoc import SynthDoc
from saccade.geometry import biology, quality
from saccade.geometry.fovea import E0_DEG, M0_MM, PX_PER_DEG, band_shares, eccentricity_deg, token_eccentricity_deg
from saccade.geometry.fovea import magnification_mm_per_deg as magnification
from saccade.geometry.grid import plain_grid
from saccade.importance.edges import Edges
from saccade.picture import Picture
from saccade.samplers.cortical import Cortical
from saccade.types import Encoding, Query, Scene
from saccade.viz import biology as charts
from saccade.viz import biology_maps as maps
from saccade.viz.sheet import save

PAGE = 8  # of the generated pages: a table that is full of letters everywhere
GAZE_UV = (0.45, 0.374)  # on a word of it
TOKENS, PATCH_PX = 273, 16
BINS = ((64, 128), (128, 256), (256, 512))
ERRORS_DEG = (0.0, 0.5, 1.5, 3.0)
ALLOTTED_DEG = (0.0, 5.0, 20.0, float("inf"))
RINGS_DEG = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 90.0)

Facts = dict[str, Any]


def open_page(image: Path | None) -> Picture:
    """The image, or a generated page that is full of letters."""
    return SynthDoc(page_px=1024).picture(str(PAGE)) if image is None else Picture.open(image)


def facts_of(picture: Picture, scene: Scene) -> Facts:
    """Everything that is printed and written.

    Raises:
        PictureError: the picture cannot be read.
    """
    return {
        "fits": fits(),
        "cortex": cortex(),
        "retina": retina(),
        "allocation": allocation(scene),
        "rows": rows(),
        "foveation": {
            "this picture": foveation(quality.pixels_of(picture)),
            "1/f noise": foveation(natural()),
        },
        "px": list(picture.size_px),
        "gaze_uv": list(GAZE_UV),
        "px_per_deg": PX_PER_DEG,
    }


def at(*degrees: float) -> torch.Tensor:
    return torch.tensor(degrees, dtype=torch.float64)


def fits() -> list[Facts]:
    """M0, e0, M(0) and root mean square residual: what the tables give, and what is usually taken."""
    tables = {
        "macaque": (biology.MACAQUE_DEG, biology.MACAQUE_MM_PER_DEG),
        "human": (biology.HUMAN_DEG, biology.HUMAN_MM_PER_DEG),
        "cones, first table": (biology.CONES_DEG, biology.CONES_PER_MM2),
        "cones, second table": (biology.HUMAN_DEG, biology.HUMAN_CONES_PER_MM2),
    }
    lines = []
    for name, (degrees, values) in tables.items():
        for relative in (False, True):
            fit = biology.fit_hyperbola(at(*degrees), at(*values), relative)
            how = "of relative errors" if relative else "least squares"
            lines.append({"of": name, "how": how, **_line(fit, degrees, values)})
        if name in ("macaque", "human"):
            known = biology.Hyperbola(6.0, 0.5, ()) if name == "macaque" else biology.Hyperbola(M0_MM, E0_DEG, ())
            how = "6 for M0" if name == "macaque" else "Horton & Hoyt 1991"
            lines.append({"of": name, "how": how, **_line(known, degrees, values)})
    return lines


def _line(fit: biology.Hyperbola, degrees: tuple[float, ...], values: tuple[float, ...]) -> Facts:
    difference = (at(*values) - fit(at(*degrees))).tolist()
    data = [list(point) for point in zip(degrees, values, difference, strict=True)]
    rms = float(np.sqrt(np.mean(np.square(difference))))
    return {"scale": fit.scale, "e0_deg": fit.e0_deg, "at_0": fit(at(0.0)).item(), "rms": rms, "data": data}


def cortex() -> Facts:
    """Distances, areas (both hemispheres) and hypercolumns within some eccentricities; halving distances."""
    e, fit = at(*RINGS_DEG), biology.macaque()
    facts: Facts = {"degrees": list(RINGS_DEG)}
    for name, m0, e0 in (("human", M0_MM, E0_DEG), ("macaque", fit.scale, fit.e0_deg)):
        area = biology.cortex_mm2(e, m0, e0)
        facts[name] = {
            "mm": biology.cortex_mm(e, m0, e0).tolist(),
            "mm2": area.tolist(),
            "hypercolumns": (area / biology.HYPERCOLUMN_MM2).tolist(),
            "halving_deg": biology.halving_deg(e, e0).tolist(),
            "counted": biology.V1_MM2[name] / biology.HYPERCOLUMN_MM2,
            "degrees_of_273": biology.eccentricity_of_area(TOKENS * biology.HYPERCOLUMN_MM2, m0, e0),
        }
    facts["as_area"] = biology.magnification_as_area(e).tolist()
    facts["as_area_normalised"] = biology.magnification_as_area(at(30.0), 1.0, 0.5).item()
    return facts


def retina() -> Facts:
    """Cones, rods, acuity and letters at the eccentricities of the tables."""
    degrees = sorted({*biology.CONES_DEG, *biology.HUMAN_DEG})
    e = at(*degrees)
    first = dict(zip(biology.CONES_DEG, biology.CONES_PER_MM2, strict=True))
    second = dict(zip(biology.HUMAN_DEG, biology.HUMAN_CONES_PER_MM2, strict=True))
    acuity = dict(zip(biology.HUMAN_DEG, biology.HUMAN_ACUITY_CPD, strict=True))
    return {
        "degrees": degrees,
        "cones": biology.cones_per_mm2(e).tolist(),
        "cones_first": [first.get(each) for each in degrees],
        "cones_second": [second.get(each) for each in degrees],
        "rods": biology.rods_per_mm2(e).tolist(),
        "acuity": biology.acuity_cpd(e).tolist(),
        "acuity_table": [acuity.get(each) for each in degrees],
        "x_height_px": biology.readable_x_height_px(e).tolist(),
    }


def blank_scene(picture: Picture) -> Scene:
    """A scene of empty tokens, 16 x 16 px each: for samplers and scorers that look at positions and pixels alone."""
    width, height = picture.width_px, picture.height_px
    grid = plain_grid(max(1, height // PATCH_PX), max(1, width // PATCH_PX), width, height)
    num = len(grid)
    empty = torch.zeros(num, 1)
    encoding = Encoding(empty, empty[:, None], empty[:, 0], grid, picture.sha256, "none", num)
    return Scene.of([(picture, encoding, Query("", torch.zeros(1, 1), torch.ones(1)))])


def allocation(scene: Scene) -> Facts:
    """Share of tokens by eccentricity: drawn without replacement, expected from M, of the page."""
    gaze = torch.tensor([GAZE_UV])
    e = token_eccentricity_deg(scene.centre_uv, gaze, scene.grids)
    chosen = Cortical()(scene, torch.zeros_like(e), gaze, TOKENS)[0]
    kept = torch.zeros_like(e)
    kept[0, chosen.index] = 1
    height, width = scene.grids[0].height_px, scene.grids[0].width_px
    mass = magnification(eccentricity_deg(height, width, gaze)).double().flatten().cumsum(0)
    drawn = torch.searchsorted(mass, torch.rand(TOKENS, generator=torch.Generator().manual_seed(0)) * mass[-1])
    row, col = (drawn // width) // PATCH_PX, (drawn % width) // PATCH_PX
    cells = {(int(r), int(c)) for r, c in zip(row, col, strict=True)}
    weights = {"kept tokens": kept, "expected of M": magnification(e), "all tokens": torch.ones_like(e)}
    return {
        "bands_deg": list(ALLOTTED_DEG[:-1]),
        "shares": {name: band_shares(e, weight, ALLOTTED_DEG)[0].tolist() for name, weight in weights.items()},
        "kept": int(kept.sum()),
        "distinct_with_replacement": len(cells),
        "index": chosen.index.tolist(),
    }


def rows() -> Facts:
    """Share of log-polar rows in 0 to 5, 5 to 20 and 20 to 60 degrees, by spacing."""
    shares = {}
    for name, (e, share) in charts.rows_by_eccentricity(60.0, PX_PER_DEG).items():
        inner, middle = (float(np.interp(edge, e.numpy(), share.numpy())) for edge in (5.0, 20.0))
        shares[name] = [inner, middle - inner, 1 - middle]
    return shares


def natural(side_px: int = 1024) -> torch.Tensor:
    """(1, 1, H, W) noise with the 1/f amplitudes of natural scenes (Field 1987): alike everywhere, unlike a page."""
    noise = torch.randn(side_px, side_px, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    frequency = torch.hypot(torch.fft.fftfreq(side_px)[:, None], torch.fft.rfftfreq(side_px)[None])
    frequency[0, 0] = torch.inf
    image = torch.fft.irfft2(torch.fft.rfft2(noise) / frequency, s=noise.shape)
    scene: torch.Tensor = (0.5 + 0.2 * image / image.std()).clamp(0, 1).float()[None, None]
    return scene


def foveation(page: torch.Tensor) -> Facts:
    """SSIM by eccentricity: bins and spacings at the right gaze, the same number of even samples, and wrong gazes."""
    gaze = torch.tensor([GAZE_UV])
    quality_of: Facts = {}
    for bins in BINS:
        name = f"{bins[0]} x {bins[1]}"
        versions = {
            name: quality.foveated(page, gaze, bins),
            f"{name}, acuity rows": quality.foveated(page, gaze, bins, spacing="acuity"),
            f"{name}, even samples": quality.uniform(page, bins[0] * bins[1]),
        }
        for each, image in versions.items():
            bands = quality.ssim_by_band(page, image, gaze)[0].tolist()
            quality_of[each] = [None if isnan(value) else value for value in bands]  # NaN: a small picture has no rim
    errors = quality.gaze_errors(page, gaze, ERRORS_DEG, BINS)[..., 0]
    return {
        "ssim": quality_of,
        "errors_deg": list(ERRORS_DEG),
        "bins": [list(b) for b in BINS],
        "fovea": errors.tolist(),
    }


def draw(picture: Picture, scene: Scene, facts: Mapping[str, Any], output: Path) -> None:
    """Writes every picture."""
    pixels, gaze, page = picture.rgb, torch.tensor([GAZE_UV]), quality.pixels_of(picture)
    grid = scene.grids[0]
    height, width = pixels.shape[:2]
    kept = np.zeros(len(grid), dtype=bool)
    kept[facts["allocation"]["index"]] = True
    edges = Edges()(scene).view(1, 1, grid.rows, grid.cols)
    saliency = torch.nn.functional.interpolate(edges, (height, width), mode="bilinear", align_corners=False)[0, 0]
    spread = "; ".join(
        f"{name}: {' / '.join(f'{share:.0%}' for share in shares)}"
        for name, shares in facts["allocation"]["shares"].items()
    )
    versions = {}
    for name, bands in facts["foveation"]["this picture"]["ssim"].items():
        if name.startswith("128") or name in ("256 x 512", "256 x 512, acuity rows"):
            num_rho, num_theta = (int(part) for part in name.partition(",")[0].split(" x "))
            spacing = "acuity" if "acuity" in name else "log"
            image = quality.foveated(page, gaze, (num_rho, num_theta), spacing=spacing)  # type: ignore[arg-type]
            image = quality.uniform(page, num_rho * num_theta) if "even" in name else image
            versions[name] = (
                _pixels(image),
                "0-5, 5-15, above 15 degrees: " + ", ".join("-" if each is None else f"{each:.2f}" for each in bands),
            )
    density = magnification(eccentricity_deg(height, width, gaze))[0]
    farthest = float(eccentricity_deg(height, width, gaze).max())
    figures = {
        "magnification": charts.magnification(),
        "cortex": charts.cortex(),
        "retina": charts.retina(),
        "rows": charts.log_polar_rows(farthest, PX_PER_DEG, 128, 256),
        "allocation": maps.allocation(
            pixels, GAZE_UV, kept.reshape(grid.rows, grid.cols), f"Share within 5, 5 to 20, beyond 20 degrees: {spread}"
        ),
        "invariances": maps.invariances(pixels, GAZE_UV, (128, 256), 45, 1.5),
        "scene_aware": maps.scene_aware(pixels, saliency, GAZE_UV, (48, 96), 1.0),
        "foveation": maps.foveations(pixels, GAZE_UV, versions),
        "homunculus": maps.homunculi(pixels, density, "M(e) around the gaze, as tokens are allotted"),
    }
    for name, figure in figures.items():
        save(figure, output / f"{name}.png")


def _pixels(image: torch.Tensor) -> np.ndarray:
    pixels: np.ndarray = (255 * image[0]).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return pixels
