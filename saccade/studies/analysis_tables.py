"""The tables of `saccade analyze`."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from saccade.analysis.pruning import RESIZE
from saccade.wording import counted

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
    if not parts.keys() & numbers.keys():
        yield Text("Nothing to measure: no question was looked at. A view, as ink is, shows its page whole, at once.")
    errors = numbers["errors"]
    if errors:
        yield _note(f"{counted(len(errors), 'error')}, left out. The first: {errors[0]}")
    count = counted(numbers["questions"], "question")
    yield Text(f"{count} of {numbers['target']}" + (", interrupted" if numbers["interrupted"] else ""))


def _information(measured: Numbers) -> Iterator[Group | Text]:
    table = _table("bits, means over questions", "is", "at most")
    table.add_row("spatial entropy of the page", f"{measured['spatial_bits']:.3f}", f"{measured['most_bits']:.3f}")
    table.add_row("entropy of a feature", f"{measured['feature_bits']:.3f}", f"{measured['feature_most_bits']:.3f}")
    if "question_bits" in measured:
        table.add_row("tokens and question", f"{measured['question_bits']:.4f}", f"{measured['most_bits']:.3f}")
    yield _titled("Information", table)
    if "question_bits" in measured:
        yield _note(
            f"With the question, {measured['num_tok']:,.0f} tokens are worth looking at as if there were "
            f"{measured['effective_tok']:,.0f}: 2^bits times fewer."
        )


def _bottleneck(points: list[Numbers]) -> Iterator[Group | Text]:
    table = _table("tokens kept", "bits of the question", "mean cosine of two")
    for point in points:
        table.add_row(f"{point['keep']:,}", f"{point['bits']:.4f}", f"{point['redundancy']:.3f}")
    yield _titled("Kept by the information bottleneck, first question", table)


def _layers(measured: Numbers) -> Iterator[Group | Text]:
    table = _table("block", "mean cosine", f"pairs > {measured['threshold']:g}")
    for block in measured["blocks"]:
        table.add_row(str(block["block"]), f"{block['mean']:.3f}", f"{100 * block['redundant']:.2f} %")
    pages = counted(measured["pages"], "page")
    yield _titled(f"Redundancy of the encoder's patches by block, {pages}", table)


def _rate(measured: Numbers) -> Iterator[Group | Text]:
    by_method = measured["ways"]
    scores = _table("share: tokens", *by_method)
    lost = _table("share", *(method for method in by_method if method != RESIZE))
    for points in zip(*(curve["points"] for curve in by_method.values()), strict=True):
        share = f"{points[0]['share']:.4g}"
        scores.add_row(f"{share}: {points[0]['kept_tok']:,.0f}", *(_interval(point["score"]) for point in points))
        lost.add_row(share, *(f"{point['error']:.3f}" for point in points if point["way"] != RESIZE))
    least = [curve["smallest_tok"] for curve in by_method.values()]
    scores.add_row("keeps 95 %", *("-" if each is None else f"{each:,.0f} tokens" for each in least))
    yield _titled(f"Rate-distortion and robustness to pruning, {measured['metric']} measured by reading", scores)
    yield _titled("Squared error when each dropped token is its nearest kept one, over the variance", lost)
    first = next(iter(by_method.values()))["points"][0]["score"]
    yield _note(
        f"n = {counted(first['num_questions'], 'question')} on {counted(first['num_pages'], 'page')}; "
        f"ranges: 95 % intervals, bootstrap over pages, {first['num_resamples']} resamples, seed {first['seed']}. "
        "best kept: by the scorer; resize: the image made smaller to as many tokens. "
        "Keeps 95 %: the fewest tokens from which on all shares do."
    )


def _interval(score: Numbers) -> str:
    if score["low"] is None:
        return f"{score['mean']:.2f}"
    return f"{score['mean']:.2f} {score['low']:.2f}-{score['high']:.2f}"


def _scanpath(measured: Numbers) -> Iterator[Group | Text]:
    reading, scenes = measured["human"]["reading"], measured["human"]["scenes"]
    table = _table("", "here", "people reading", "people, scenes")

    def span(of: Numbers, key: str, factor: float = 1) -> str:
        return " to ".join(f"{factor * each:g}" for each in of[key]) if key in of else "-"

    def cell(key: str, digits: int, factor: float = 1) -> str:
        return "-" if measured[key] is None else f"{factor * measured[key]:.{digits}f}"

    table.add_row("saccades", str(measured["saccades"]), "-", "-")
    amplitudes = (span(reading, "amplitude_deg"), span(scenes, "amplitude_deg"))
    table.add_row("amplitude, mean, degrees", cell("mean_deg", 1), *amplitudes)
    table.add_row("amplitude, median, degrees", cell("median_deg", 1), *amplitudes)
    table.add_row("amplitude, mean, of the longer side", cell("mean_uv", 3), "-", "-")
    table.add_row("regressions, %", cell("regressions", 0, 100), span(reading, "regressions", 100), "-")
    table.add_row("back within 1 degree of a gaze, %", cell("revisits", 0, 100), "-", "-")
    table.add_row("fixation, ms", "-", span(reading, "fixation_ms"), span(scenes, "fixation_ms"))
    yield _titled("Scanpaths", table)
    covered = _table("fixations", "covered within 1 deg", "within 5 deg")
    for number, (fovea, parafovea) in enumerate(measured["coverage"], 1):
        covered.add_row(str(number), f"{100 * fovea:.1f} %", f"{100 * parafovea:.1f} %")
    yield _titled("Coverage of the page", covered)
    yield _note(
        "Degrees: a screen of 33.3 px/deg. A regression goes up, or left on its line. The figures of people are those "
        "of the project's first notes, which also give 50 % of a scene after 30 saccades but no radius."
    )


def _people(measured: Numbers) -> Iterator[Group | Text]:
    if measured["with_people"] is None:
        yield _note("People's scanpaths are of other images: they are known by their files' names, without endings.")
        return
    table = _table("sequence score, 0 to 1", "", "questions")
    table.add_row("with people's scanpaths", f"{measured['with_people']:.3f}", str(measured["paths"]))
    among = measured["among_people"]
    table.add_row("people's with each other", "-" if among is None else f"{among:.3f}", "")
    yield _titled("In the order of people", table)
    yield _note("Best alignment; 1: the same gazes in the same order; gazes 5 degrees apart or more are not alike.")


def _eccentricity(measured: Numbers) -> Iterator[Group | Text]:
    table = _table("degrees", "all tokens", "kept", "as acuity squared", "density", "acuity")
    for band in measured["bands"]:
        far = "" if band["high_deg"] is None else f" to {band['high_deg']:g}"
        density, acuity = ("-" if band[key] is None else f"{100 * band[key]:.1f} %" for key in ("density", "acuity"))
        shares = (f"{100 * band[key]:.1f} %" for key in ("page", "kept", "eye"))
        table.add_row(f"{band['low_deg']:g}{far}" + ("" if far else " and more"), *shares, density, acuity)
    yield _titled(f"Tokens by eccentricity, first looks of {counted(measured['looks'], 'question')}", table)
    yield _note("Density: share of the tokens there that are kept. Acuity: of that at the gaze, 60 / (1 + 0.35 e) cpd.")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number == 0 else "right", header_style="dim")
    return table


def _titled(title: str, table: Table) -> Group:
    return Group(Text(title, style="bold"), table, Text())


def _note(words: str) -> Text:
    return Text(words + "\n")
