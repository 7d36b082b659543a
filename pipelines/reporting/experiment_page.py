"""The report of a `saccade experiment`: its tables, its curves, and charts of tokens and confidence."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pipelines.reporting.charts import shares
from pipelines.reporting.curves import accuracy, calibration, gaze_error
from pipelines.reporting.examples import failed
from pipelines.reporting.html import card, folded, header, section, table
from pipelines.runs import stored, wrong_answers
from pipelines.runs.layout import Layout
from pipelines.runs.markdown import cells, footnote, profile
from pipelines.runs.tables import flat
from saccade.viz.curves import of_gaze_error, of_results
from saccade.wording import counted

Rows = dict[str, list[dict[str, Any]]]  # by variant


def body(results_json: Path) -> tuple[str, str]:
    """The title and the HTML of an experiment's report.

    Raises:
        ConfigError: the file is not a results.json.
        DataError: its variants lack what the table needs.
    """
    results, folder = stored.results(results_json), results_json.parent
    title, rows = title_of(results, folder), read_rows(folder, list(results["variants"]))
    parts = [header(title, _about(results)), "<main>", section("Compared", "", compared(results))]
    parts.append(section("Measured", "Point at a mark for its numbers.", drawn(results, rows)))
    if results.get("failures"):
        parts.append(failed(folder, results["failures"]))
    parts += [_errors(rows), _settings(results), "</main>"]
    return f"saccade: {title}", "".join(parts)


def title_of(results: Mapping[str, Any], folder: Path) -> str:
    """The title of an experiment, or else the name of its folder."""
    return str(results.get("title") or folder.resolve().name)


def compared(results: Mapping[str, Any]) -> str:
    """The tables of an experiment: its variants, the time of each stage, and why answers are wrong."""
    heads, lines = cells(results)
    parts = [
        table(["variant", *heads[1:]], lines, words=(0, 3)),
        f'<p class="lead note">{escape(footnote(results))}</p>',
    ]
    if stages := profile(results):
        parts += [table(["milliseconds per question", *stages[0][1:]], stages[1])]
    if counted := results.get("failures"):
        parts += [
            table([f"why {counted['of']} fails", *wrong_answers.HEADS[1:]], wrong_answers.cells(counted), words=(0, 3))
        ]
    return "".join(parts)


def drawn(results: Mapping[str, Any], rows: Rows) -> str:
    """The charts of an experiment; those that need every answer only if `rows` are given."""
    curves, charts = of_results(results), []
    if any(curve.points for curve in curves):
        note = "Bars are 95 % intervals; points of nearly equal tokens stand side by side."
        charts.append(card("Accuracy against tokens", accuracy([curve for curve in curves if curve.points]), note))
    if errors := of_gaze_error(results):
        charts.append(
            card("Accuracy against gaze error", gaze_error(errors), "An oracle looks, and misses by so much.")
        )
    charts += _of_rows(rows, results["metric"])
    charts.append(card("Time of a question", _seconds(results["variants"]), "Without the encoder."))
    return f'<div class="charts">{"".join(charts)}</div>'


def read_rows(folder: Path, variants: Sequence[str]) -> Rows:
    """Answers of an experiment by variant; empty if they are not stored beside the results."""
    rows: Rows = {name: [] for name in variants}
    if any(Layout(folder).answers.glob("*.parquet")):
        for row in map(flat, stored.rows(folder)):
            if row["variant"] in rows:
                rows[row["variant"]].append(row)
    return {name: some for name, some in rows.items() if some}


def _of_rows(rows: Rows, metric: str) -> list[str]:
    """The charts that need every answer."""
    answers = {}
    for name, some in rows.items():
        scored = [row for row in some if row.get("confidence") is not None and row["score"] is not None]
        if scored:
            answers[name] = ([row["confidence"] for row in scored], [row["score"] for row in scored])
    if not answers:
        return []
    chart, note = calibration(answers, metric)
    cards = [card("What confidence was worth", chart, note)]
    for name, key, unit in (("Tokens", "visual_tok", "tokens"), ("Looks", "fixations", "looks")):
        bars = []
        for variant, some in rows.items():
            values = sorted(row[key] for row in some if row.get(key) is not None)
            if values:
                mean = sum(values) / len(values)
                spread = f"{mean:,.4g}" if values[0] == values[-1] else f"{mean:,.4g} ({values[0]:,} to {values[-1]:,})"
                bars.append((variant, mean, spread))
        cards.append(card(name, shares(bars), f"Mean {unit} per question, lowest and highest in brackets."))
    return cards


def _seconds(variants: Mapping[str, Mapping[str, Any]]) -> str:
    bars = []
    for name, entry in variants.items():
        plan, read = entry.get("plan_s") or 0.0, entry.get("read_s") or 0.0
        bars.append((name, plan + read, f"{1000 * plan:.0f} ms plan, {1000 * read:.0f} ms read"))
    return shares(bars)


def _about(results: Mapping[str, Any]) -> str:
    """One line on data, model, date and commit."""
    settings = results.get("experiment") or {}
    dataset, engine = settings.get("dataset") or {}, settings.get("engine") or {}
    facts = [dataset.get("name"), engine.get("model", "nano"), str(results.get("when") or "")[:16].replace("T", " ")]
    return "  ·  ".join(
        str(part) for part in [*facts, f"commit {results.get('commit')}", results.get("processor")] if part
    )


def _errors(rows: Rows) -> str:
    wrong = [(name, row["id"], row["error"]) for name, some in rows.items() for row in some if row.get("error")]
    if not wrong:
        return ""
    listed = table(["variant", "question", "error"], wrong[:100], words=(0, 1, 2))
    return section(
        "Errors", f"{counted(len(wrong), 'answer')}; each counts as wrong. The first 100 are listed.", listed
    )


def _settings(results: Mapping[str, Any]) -> str:
    settings = {key: value for key, value in results.items() if key not in ("variants", "bins")}
    text = escape(json.dumps(settings, indent=2, ensure_ascii=False))
    return f'<section>{folded("Settings", f"""<div class="card"><pre>{text}</pre></div>""")}</section>'
