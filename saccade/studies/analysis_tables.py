"""The tables of `saccade analyze`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from saccade.analysis.pruning import RESIZE

Numbers = Mapping[str, Any]


def report(numbers: Numbers) -> Iterator[Group | Text]:
    """Tables and sentences of what was measured, in order."""
    parts: dict[str, Callable[[Any], Iterator[Group | Text]]] = {
        "information": _information,
        "bottleneck": _bottleneck,
        "layers": _layers,
        "rate": _rate,
        "scanpath": _scanpath,
        "people": _people,
        "eccentricity": _eccentricity,
    }
    for name, part in parts.items():
        if name in numbers:
            yield from part(numbers[name])
    errors = numbers["errors"]
    if errors:
        yield _said(f"{len(errors)} errors, left out. The first: {errors[0]}")
    count = "1 question" if numbers["questions"] == 1 else f"{numbers['questions']} questions"
    yield Text(f"{count} of {numbers['target']}" + (", interrupted" if numbers["interrupted"] else ""))


def _information(found: Numbers) -> Iterator[Group | Text]:
    made = _table("bits, means over questions", "is", "at most")
    made.add_row("spatial entropy of the page", f"{found['spatial_bits']:.3f}", f"{found['most_bits']:.3f}")
    made.add_row("entropy of a feature", f"{found['feature_bits']:.3f}", f"{found['feature_most_bits']:.3f}")
    if "question_bits" in found:
        made.add_row("tokens and question", f"{found['question_bits']:.4f}", f"{found['most_bits']:.3f}")
    yield _titled("Information", made)
    if "question_bits" in found:
        yield _said(
            f"The question narrows {found['num_tok']:,.0f} tokens down to as if they were "
            f"{found['effective_tok']:,.0f}: 2^bits times fewer."
        )


def _bottleneck(points: list[Numbers]) -> Iterator[Group | Text]:
    made = _table("tokens kept", "bits of the question", "mean cosine of two")
    for point in points:
        made.add_row(f"{point['keep']:,}", f"{point['bits']:.4f}", f"{point['redundancy']:.3f}")
    yield _titled("Kept by the information bottleneck, first question", made)


def _layers(found: Numbers) -> Iterator[Group | Text]:
    made = _table("block", "mean cosine", f"pairs > {found['threshold']:g}")
    for block in found["blocks"]:
        made.add_row(str(block["block"]), f"{block['mean']:.3f}", f"{100 * block['redundant']:.2f} %")
    pages = "1 page" if found["pages"] == 1 else f"{found['pages']} pages"
    yield _titled(f"Redundancy of the encoder's patches by block, {pages}", made)


def _rate(found: Numbers) -> Iterator[Group | Text]:
    ways = found["ways"]
    made, lost = _table("share: tokens", *ways), _table("share", *(way for way in ways if way != RESIZE))
    for points in zip(*(one["points"] for one in ways.values()), strict=True):
        share = f"{points[0]['share']:.4g}"
        made.add_row(f"{share}: {points[0]['kept_tok']:,.0f}", *(_interval(point["score"]) for point in points))
        lost.add_row(share, *(f"{point['error']:.3f}" for point in points if point["way"] != RESIZE))
    least = [one["smallest_tok"] for one in ways.values()]
    made.add_row("keeps 95 %", *("-" if each is None else f"{each:,.0f} tokens" for each in least))
    yield _titled("Rate-distortion and robustness to pruning, ANLS measured by reading", made)
    yield _titled("Squared error when each dropped token is its nearest kept one, over the variance", lost)
    first = next(iter(found["ways"].values()))["points"][0]["score"]
    yield _said(
        f"n = {first['num_questions']} questions on {first['num_pages']} pages; ranges: 95 % intervals, bootstrap over "
        f"pages, {first['num_resamples']} resamples, seed {first['seed']}. best kept: by the scorer; resize: "
        "the image made smaller to as many tokens. Keeps 95 %: the fewest tokens from which on all shares do."
    )


def _interval(score: Numbers) -> str:
    if score["low"] is None:
        return f"{score['mean']:.2f}"
    return f"{score['mean']:.2f} {score['low']:.2f}-{score['high']:.2f}"


def _scanpath(found: Numbers) -> Iterator[Group | Text]:
    reading, scenes = found["human"]["reading"], found["human"]["scenes"]
    made = _table("", "here", "people reading", "people, scenes")

    def span(of: Numbers, key: str, factor: float = 1) -> str:
        return " to ".join(f"{factor * each:g}" for each in of[key]) if key in of else "-"

    def cell(key: str, digits: int, factor: float = 1) -> str:
        return "-" if found[key] is None else f"{factor * found[key]:.{digits}f}"

    made.add_row("saccades", str(found["saccades"]), "-", "-")
    amplitudes = (span(reading, "amplitude_deg"), span(scenes, "amplitude_deg"))
    made.add_row("amplitude, mean, degrees", cell("mean_deg", 1), *amplitudes)
    made.add_row("amplitude, median, degrees", cell("median_deg", 1), *amplitudes)
    made.add_row("amplitude, mean, of the longer side", cell("mean_uv", 3), "-", "-")
    made.add_row("regressions, %", cell("regressions", 0, 100), span(reading, "regressions", 100), "-")
    made.add_row("back within 1 degree of a gaze, %", cell("revisits", 0, 100), "-", "-")
    made.add_row("fixation, ms", "-", span(reading, "fixation_ms"), span(scenes, "fixation_ms"))
    yield _titled("Scanpaths", made)
    covered = _table("fixations", "covered within 1 deg", "within 5 deg")
    for number, (fovea, parafovea) in enumerate(found["coverage"], 1):
        covered.add_row(str(number), f"{100 * fovea:.1f} %", f"{100 * parafovea:.1f} %")
    yield _titled("Coverage of the page", covered)
    yield _said(
        "Degrees: a screen of 33.3 px/deg. A regression goes up, or left on its line. The figures of people are those "
        "of the project's first notes, which also give 50 % of a scene after 30 saccades but no radius."
    )


def _people(found: Numbers) -> Iterator[Group | Text]:
    if found["with_people"] is None:
        yield _said("People's scanpaths are of other images: they are known by their files' names, without endings.")
        return
    made = _table("sequence score, 0 to 1", "", "questions")
    made.add_row("with people's scanpaths", f"{found['with_people']:.3f}", str(found["paths"]))
    among = found["among_people"]
    made.add_row("people's with each other", "-" if among is None else f"{among:.3f}", "")
    yield _titled("In the order of people", made)
    yield _said("Best alignment; 1: the same gazes in the same order; gazes 5 degrees apart or more are not alike.")


def _eccentricity(found: Numbers) -> Iterator[Group | Text]:
    made = _table("degrees", "all tokens", "kept", "as acuity squared", "density", "acuity")
    for band in found["bands"]:
        far = "" if band["high_deg"] is None else f" to {band['high_deg']:g}"
        density, acuity = ("-" if band[key] is None else f"{100 * band[key]:.1f} %" for key in ("density", "acuity"))
        shares = (f"{100 * band[key]:.1f} %" for key in ("page", "kept", "eye"))
        made.add_row(f"{band['low_deg']:g}{far}" + ("" if far else " and more"), *shares, density, acuity)
    yield _titled(f"Tokens by eccentricity, first looks of {found['looks']} questions", made)
    yield _said("Density: share of the tokens there that are kept. Acuity: of that at the gaze, 60 / (1 + 0.35 e) cpd.")


def _table(*names: str) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(names):
        made.add_column(name, justify="left" if number == 0 else "right", header_style="dim")
    return made


def _titled(title: str, made: Table) -> Group:
    return Group(Text(title, style="bold"), made, Text())


def _said(words: str) -> Text:
    return Text(words + "\n")
