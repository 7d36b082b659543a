"""The tables of `saccade eye`, each followed by what follows from it and what does not."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

Facts = Mapping[str, Any]


def report(facts: Facts) -> Iterator[Group | Text]:
    """Tables and sentences, in order."""
    yield from _fits(facts["fits"])
    yield from _halving(facts["cortex"])
    yield from _cortex(facts["cortex"])
    yield from _retina(facts["retina"])
    yield from _allocation(facts["allocation"])
    yield from _rows(facts["rows"])
    for name, foveation in facts["foveation"].items():
        yield from _foveation(name, foveation)
    yield _note(
        "SSIM depends on the picture and on pixels per degree: these numbers are of two pictures at one density. "
        "Whether a person would notice is not measured here.",
        "Even samples: as many as the map has bins, spread evenly over the picture. They are its fair rival: at the "
        "gaze foveation must be above them, and away from it it will be below.",
    )


def _titled(title: str, table: Table) -> Group:
    return Group(Text(title, style="bold"), table, Text())


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number == 0 else "right", header_style="dim")
    return table


def _note(*sentences: str) -> Text:
    return Text("\n".join(sentences) + "\n")


def _fits(fits: list[Facts]) -> Iterator[Group | Text]:
    table = _table("", "M0", "e0 (deg)", "y(0)", "rms residual")
    by = {(each["of"], each["how"]): each for each in fits}
    for each in fits:
        digits = 0 if each["of"].startswith("cones") else 2
        cells = (f"{each['scale']:,.{digits}f}", f"{each['e0_deg']:.2f}")
        values = (f"{each['at_0']:,.{digits}f}", f"{each['rms']:,.{digits}f}")
        table.add_row(f"{each['of']}: {each['how']}", *cells, *values)
    yield _titled("Magnification (mm/deg) and cones (per mm2) as y = M0 / (e + e0)", table)
    plain, even, textbook = (by["macaque", how] for how in ("least squares", "of relative errors", "6 for M0"))
    data = _table("e (deg)", "data", "fit", "data - fit", "6/(e + 0.5)")
    for (e, value, difference), (_, _, wrong) in zip(plain["data"], textbook["data"], strict=True):
        data.add_row(
            f"{e:g}", f"{value:.2f}", f"{value - difference:.2f}", f"{difference:+.2f}", f"{value - wrong:.2f}"
        )
    yield _titled("Macaque, mm/deg, after Daniel & Whitteridge (1961)", data)
    e, value, difference = plain["data"][-1]
    first, second = (by[f"cones, {which} table", "least squares"]["e0_deg"] for which in ("first", "second"))
    curves = (by["human", "Horton & Hoyt 1991"], plain)
    at_10 = [curve["e0_deg"] / (10 + curve["e0_deg"]) for curve in curves]
    yield _note(
        f"The data give M0 = {plain['scale']:.1f} mm and e0 = {plain['e0_deg']:.2f} deg, so {plain['at_0']:.1f} "
        "mm/deg at the fovea; measured is 6. Put in the place of M0, with e0 = 0.5, these 6 mm/deg become "
        f"{textbook['at_0']:.0f} mm/deg at the fovea, twice the data.",
        f"No hyperbola passes through all points: at {e:g} deg the fit is {(value - difference) / value:.1f} times "
        f"the data, which fall faster than 1/e from 15 deg on. Weighted by relative error, M0 = {even['scale']:.1f} "
        f"and e0 = {even['e0_deg']:.2f}: near 6 and 0.5, and too high at the fovea.",
        f"The normalised curves differ: M(10)/M(0) is {at_10[0]:.2f} human, {at_10[1]:.2f} macaque.",
        "The first cone table is given as Daniel & Whitteridge's, who measured cortex, not cones. The two cone "
        f"tables disagree about e0 ({first:.2f} and {second:.2f} deg): M is not derived from them.",
    )


def _halving(cortex: Facts) -> Iterator[Group | Text]:
    table = _table("e (deg)", "human", "macaque")
    for each in zip(cortex["degrees"], cortex["human"]["halving_deg"], cortex["macaque"]["halving_deg"], strict=True):
        table.add_row(f"{each[0]:g}", f"{each[1]:.2f}", f"{each[2]:.2f}")
    yield _titled("M halves after how many degrees more (e + e0)", table)
    yield _note('"Halves every 3 to 4 degrees" holds between 2.25 and 3.25 deg (human) and nowhere else.')


def _cortex(cortex: Facts) -> Iterator[Group | Text]:
    heads = ("mm", "mm2", "mm2/4")
    table = _table("within", *(f"{who} {head}" for who in ("human", "macaque") for head in heads), "integral of M")
    for i, e in enumerate(cortex["degrees"]):
        cells = []
        for who in ("human", "macaque"):
            area = cortex[who]
            cells += [f"{area['mm'][i]:.1f}", f"{area['mm2'][i]:,.0f}", f"{area['hypercolumns'][i]:,.0f}"]
        table.add_row(f"{e:g} deg", *cells, f"{cortex['as_area'][i]:,.0f}")
    yield _titled("V1 of the central field: distance, area (both hemispheres), hypercolumns of 4 mm2", table)
    human, macaque = cortex["human"], cortex["macaque"]
    i = cortex["degrees"].index(30.0)
    yield _note(
        "Distance is the integral of M, area that of M^2 2 pi e de. The integral of M 2 pi e de is "
        f"no area: {cortex['as_area_normalised']:.1f} for M0 = 1, e0 = 0.5 and {cortex['as_area'][i]:,.0f} for the "
        "human values, both to 30 deg. Its unit is mm deg.",
        f"The area integral gives {human['hypercolumns'][i]:,.0f} hypercolumns within 30 deg of human V1 "
        f"({human['hypercolumns'][i] / 2:,.0f} per hemisphere) and {macaque['hypercolumns'][i]:,.0f} "
        f"({macaque['hypercolumns'][i] / 2:,.0f}) by the macaque's fit. By V1's whole area, per hemisphere: 2,500/4 = "
        f"{human['counted']:.0f} human, 1,200/4 = {macaque['counted']:.0f} macaque.",
        f"273 is none of them. It is the count, in both hemispheres, within {human['degrees_of_273']:.1f} deg (human) "
        f"or {macaque['degrees_of_273']:.1f} deg (macaque), as any number is within some radius. What follows: V1 has "
        "hundreds to a thousand hypercolumns. What does not: 273, nor that a hypercolumn is a token.",
    )


def _retina(retina: Facts) -> Iterator[Group | Text]:
    heads = ("e (deg)", "cones/mm2", "table 1", "residual", "table 2", "residual", "rods/mm2")
    table = _table(*heads, "acuity cpd", "table", "residual", "x-height px")
    for i, e in enumerate(retina["degrees"]):
        cone, sharp = retina["cones"][i], retina["acuity"][i]
        cells = [f"{cone:,.0f}"]
        for key in ("cones_first", "cones_second"):
            known = retina[key][i]
            cells += ["", ""] if known is None else [f"{known:,.0f}", f"{known - cone:+,.0f}"]
        known = retina["acuity_table"][i]
        cells += [f"{retina['rods'][i]:,.0f}", f"{sharp:.1f}"]
        cells += ["", ""] if known is None else [f"{known:.0f}", f"{known - sharp:+.1f}"]
        table.add_row(f"{e:g}", *cells, f"{retina['x_height_px'][i]:.1f}")
    yield _titled(
        "Retina: cones 199,000 exp(-0.42 e), rods, acuity 60/(1 + 0.35 e), the lowest letters resolved", table
    )
    yield _note(
        "The cone formula is of the tables' size up to 5 deg and then falls out of sight: 45 cones/mm2 at 20 deg, "
        "where they have 10,000 and 5,000.",
        "x-height: 2.5 cycles per letter at 33.3 px/deg; up to 7.4 deg the screen's 5 px are the limit. Acuity at 10 "
        "deg is 1/4.5 and at 20 deg 1/8 of the fovea's: 6 pt become 27 and 48 pt. Crowding is not in it.",
    )


def _allocation(allocation: Facts) -> Iterator[Group | Text]:
    table = _table("", "< 5 deg", "5 to 20", "> 20")
    for name, shares in allocation["shares"].items():
        table.add_row(name, *(f"{share:.1%}" for share in shares))
    yield _titled("Share of tokens by eccentricity, cortical sampler", table)
    yield _note(
        f"{allocation['kept']} different tokens. Drawn with replacement from pixels, as many draws "
        f"hit {allocation['distinct_with_replacement']} different ones."
    )


def _rows(rows: Facts) -> Iterator[Group | Text]:
    table = _table("spacing", "0 to 5 deg", "5 to 20", "20 to 60")
    for name, shares in rows.items():
        table.add_row(name, *(f"{share:.1%}" for share in shares))
    yield _titled("Share of log-polar rows, 0 to 60 deg", table)
    yield _note(
        "Rows as dense as acuity are a log map with alpha = 1/0.35 deg. The integral of 1/acuity is the opposite: "
        "1.4 % of its rows lie within 5 deg."
    )


def _foveation(name: str, foveation: Facts) -> Iterator[Group | Text]:
    table = _table("bins", "0 to 5 deg", "5 to 15", "> 15")
    for name_of_map, bands in foveation["ssim"].items():
        table.add_row(name_of_map, *("-" if value is None else f"{value:.3f}" for value in bands))
    yield _titled(f"SSIM through a log-polar map and back: {name}", table)
    wrong = _table("gaze error (deg)", *(" x ".join(map(str, each)) for each in foveation["bins"]))
    for error, values in zip(foveation["errors_deg"], foveation["fovea"], strict=True):
        wrong.add_row(f"{error:g}", *(f"{value:.3f}" for value in values))
    yield _titled(f"SSIM within 5 deg of the true gaze, the map centred beside it: {name}", wrong)
