"""The report of a `saccade batch`: scores, tokens, confidence, cost, and where its best and worst answers looked."""

import json
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml

from pipelines.reporting.charts import binned, histogram, shares, tenths, whole_numbers
from pipelines.reporting.curves import accuracy, calibration
from pipelines.reporting.examples import looked
from pipelines.reporting.html import card, cut, folded, header, pairs, section, table, tile
from pipelines.reporting.looks import Pages
from pipelines.reporting.summary_table import facts
from pipelines.runs import stored
from saccade.annotation.values import agrees
from saccade.metrics.bootstrap import bootstrap_mean
from saccade.metrics.scoring import title
from saccade.viz.curves import of_looks
from saccade.viz.pixels import COLOURS
from saccade.viz.view import said
from saccade.wording import counted

LISTED, ERRORS = 500, 100  # rows of the list of answers, and of errors
Row = dict[str, Any]


def body(folder: Path, examples: int) -> tuple[str, str]:
    """The title and the HTML of a run's report."""
    settings = stored.settings(folder)
    rows = list(stored.rows(folder))
    answered = [row for row in rows if not row["error"]]
    parts = [header(folder.resolve().name, _about(settings)), "<main>", _numbers(folder, rows, answered)]
    if answered:
        parts.append(_charts(rows, answered, shared=(settings.get("episode") or {}).get("canvas") == "shared"))
        parts.append(_examples(folder, settings, answered, examples))
    parts += [_errors(rows), _list(rows), _settings(settings), "</main>"]
    return f"saccade: {folder.resolve().name}", "".join(parts)


def _about(settings: dict[str, Any]) -> str:
    """One line on data, model, settings, date and commit."""
    dataset, engine, episode = (settings.get(key) or {} for key in ("dataset", "engine", "episode"))
    looks = [str(episode.get(key)) for key in ("sampler", "scorer", "planner") if episode.get(key)]
    origins = [dataset.get("name"), dataset.get("data_path"), engine.get("model"), engine.get("name"), *looks]
    origins += [str(settings.get("when", ""))[:16].replace("T", " "), f"commit {settings.get('commit')}"]
    return "  ·  ".join(str(part) for part in origins if part)


def _numbers(folder: Path, rows: Sequence[Row], answered: Sequence[Row]) -> str:
    """The tiles, then the table that the run ended with."""
    score = bootstrap_mean([row["score"] for row in rows], [row["image_id"] for row in rows])
    tiles = []
    if score is not None:
        bounds = "" if score.low is None else f" [{score.low:.2f}, {score.high:.2f}]"
        tiles.append(tile(f"{score.mean:.2f}", f"{_metric(rows)}{bounds}, n = {score.num_questions}"))
        exact = [row["exact"] for row in rows if row["exact"] is not None]
        tiles.append(tile(f"{100 * sum(exact) / len(exact):.0f} %", "exact answers"))
    covered = [row["coverage"] for row in answered if row["coverage"] is not None]
    if covered:
        tiles.append(tile(f"{100 * sum(covered) / len(covered):.0f} %", "of the answer boxes looked at"))
    if answered:
        tokens = [row["visual_tok"] for row in answered]
        share = [row["visual_tok"] / (row["grid"]["rows"] * row["grid"]["cols"]) for row in answered]
        note = f"tokens per question, {100 * sum(share) / len(share):.0f} % of the page's"
        tiles.append(tile(f"{sum(tokens) / len(tokens):,.0f}", note))
        looks = sum(len(row["fixations"]) for row in answered) / len(answered)
        tiles.append(tile(f"{looks:.1f}", "looks per question"))
    errors = len(rows) - len(answered)
    tiles.append(tile(str(errors), f"of {counted(len(rows), 'question')} ended in an error", bad=errors > 0))
    summary = folder / "summary.json"
    if summary.exists():
        more = folded("All numbers", pairs(facts(json.loads(summary.read_text("utf-8")))))
    else:
        more = '<p class="lead">This run has not ended: the numbers are of what is answered so far.</p>'
    return f'<section><div class="tiles">{"".join(tiles)}</div></section><section>{more}</section>'


def _charts(rows: Sequence[Row], answered: Sequence[Row], shared: bool) -> str:
    cards, curve = [], None if shared else of_looks(rows)
    if curve is not None:
        note = "After one look, two, ...: what the answers given then would have scored; bars are 95 % intervals."
        cards.append(card("Accuracy against tokens", accuracy([curve]), note))
    scored = [row for row in answered if row["score"] is not None]
    if scored:
        metric = _metric(scored)
        chart, note = calibration(
            {"answers": ([r["confidence"] for r in scored], [r["score"] for r in scored])}, metric
        )
        cards.append(card("What confidence was worth", chart, note + " On the dashed line it is the mean score."))
        bins = tenths([row["score"] for row in scored])
        cards.append(card("Scores", histogram(bins, metric, _of(metric)), "Of the questions whose answers are known."))
    tokens = histogram(binned([row["visual_tok"] for row in answered]), "visual tokens of a question", _of("tokens"))
    cards.append(card("Tokens", tokens, "All looks of a question together."))
    looks = whole_numbers([len(row["fixations"]) for row in answered], "fixations of a question", "looks")
    cards.append(card("Looks", looks, "Until it was sure, or had to stop."))
    cards.append(card("Where the time went", _cost(answered), "Seconds of all questions together, by stage."))
    lead = "Every chart is of all answered questions; point at a mark for its numbers."
    return section("Measured", lead, f'<div class="charts">{"".join(cards)}</div>')


def _metric(rows: Sequence[Row]) -> str:
    """The name of the rows' metric."""
    return title(row["metric"] for row in rows)


def _of(what: str) -> Any:
    """The tooltip of a bar."""
    return lambda low, high, count: f"{counted(count, 'question')} with {low:g} to {high:g} {what}"


def _cost(answered: Sequence[Row]) -> str:
    stages = {
        name: sum((row["seconds"] or {}).get(name) or 0.0 for row in answered) for name in ("encode", "plan", "read")
    }
    total = sum(stages.values()) or 1.0
    bars = [(name, value, f"{value:.1f} s, {100 * value / total:.0f} %") for name, value in stages.items()]
    return shares(bars) + f"<p>{total / len(answered):.3f} s per question.</p>"


def _examples(folder: Path, settings: dict[str, Any], answered: Sequence[Row], count: int) -> str:
    """The best and the worst answers with their pages."""
    best, worst = extremes(answered, count)
    if not best and not worst:
        return ""
    pages = Pages(len({row["image_id"] for row in (*best, *worst)}))
    hidden = all(row["score"] is None for row in answered)
    parts = []
    for name, some in (
        ("Most confident" if hidden else "Best", best),
        ("Least confident" if hidden else "Worst", worst),
    ):
        cards = "".join(_example(folder, settings, row, pages) for row in some)
        if some:
            parts.append(f'<h3>{name}</h3><div class="looks">{cards}</div>')
    lead = (
        "Click a page to enlarge it, wheel to zoom, drag to move. Grey: not looked at. Red, and below the page by "
        "itself: where the answer was read. Dashed: where it is."
    )
    return section("Where it looked", lead, "".join(parts) + pages.svg())


def extremes(answered: Sequence[Row], count: int) -> tuple[list[Row], list[Row]]:
    """The best and the worst rows; no row is in both. Among equal scores the more confident comes first in both.

    If all answers are hidden, confidence stands for the score; otherwise rows with hidden answers are left out.
    """
    answered = [row for row in answered if row["score"] is not None] or answered

    def score(row: Row) -> float:
        return float(row["confidence"] if row["score"] is None else row["score"])

    ordered = sorted(answered, key=lambda row: (-score(row), -row["confidence"], row["id"]))
    best = ordered[: min(count, (len(ordered) + 1) // 2)]
    left = sorted(ordered[len(best) :], key=lambda row: (score(row), -row["confidence"], row["id"]))
    return best, left[:count]


def _example(folder: Path, settings: dict[str, Any], row: Row, pages: Pages) -> str:
    """One answer: its page with the looks, the question, the answer, and the expected answers."""
    shown = looked(folder, settings, row, pages)
    marks = "" if row["score"] is None else f' class="{"right" if _right(row) else "wrong"}"'
    wanted = f" <em>for {cut(' or '.join(row['answers']))}</em>" if row["answers"] else ""
    score = "" if row["score"] is None else f"{_metric([row])} {row['score']:.2f}, "
    facts = f"{score}{100 * row['confidence']:.0f} % sure, {counted(row['visual_tok'], 'token')}, {row['id']}"
    return (
        f'<figure class="card example">{shown}<div class="q">{cut(row["question"])}</div>'
        f'<div class="a"><span{marks}>{cut(said(row["answer"] or ""))}</span>{wanted}</div>'
        f'<div class="fact">{cut(facts)}</div><div class="fact">{cut(stored.place(row))}</div>{_looks(row)}</figure>'
    )


def _right(row: Row) -> bool:
    """Whether an answer counts as right. By ANLS, numbers and dates must agree in value: 9.00 is not nearly 38.00."""
    if row["metric"] in (None, "anls"):
        agreements = [agrees(row["answer"] or "", accepted) for accepted in row["answers"] or ()]
        if any(each is not None for each in agreements):
            return any(agreements)
    return float(row["score"]) >= 0.5


def _looks(row: Row) -> str:
    items = []
    for number, look in enumerate(row["fixations"]):
        colour = COLOURS[number % len(COLOURS)]
        answer, sure = cut(said(look["answer"] or "")), f"{100 * look['confidence']:.0f} %"
        items.append(
            f'<li title="{escape(str(look["reason"]))}"><span class="n" style="background:{colour}">{number + 1}</span>'
            f'<span>{answer}</span><span class="s">{sure}</span></li>'
        )
    return f"<ol>{''.join(items)}</ol>"


def _errors(rows: Sequence[Row]) -> str:
    wrong = [row for row in rows if row["error"]]
    if not wrong:
        return ""
    reasons = Counter(row["error"] for row in wrong)
    few = table(["times", "error"], [(str(times), reason) for reason, times in reasons.most_common(20)], words=(1,))
    every = [(row["id"], row["question"], row["error"]) for row in wrong[:ERRORS]]
    more = "" if len(wrong) <= ERRORS else f", the first {ERRORS} of {len(wrong):,}"
    listed = table(["question", "", "error"], every, words=(0, 1, 2))
    lead = "Each costs its own question and counts as wrong where the answers are known."
    return section("Errors", lead, few + folded(f"Which questions{more}", listed))


def _list(rows: Sequence[Row]) -> str:
    """Every answer, worst first."""
    ordered = sorted(rows, key=lambda row: (row["score"] is None, row["score"] or 0.0, row["id"]))
    lines = [
        (
            row["id"],
            row["question"],
            row["error"] or said(row["answer"] or ""),
            " or ".join(row["answers"] or ()),
            "" if row["score"] is None else f"{row['score']:.2f}",
            "" if row["confidence"] is None else f"{row['confidence']:.2f}",
            "" if row["visual_tok"] is None else f"{row['visual_tok']:,}",
            str(len(row["fixations"])),
        )
        for row in ordered[:LISTED]
    ]
    more = "" if len(rows) <= LISTED else f", the {LISTED} lowest of {len(rows):,}"
    heads = ["id", "question", "answer", "expected", _metric(rows), "sure", "tokens", "looks"]
    listed = folded(f"All answers, lowest score first{more}", table(heads, lines, words=(0, 1, 2, 3)))
    return f"<section>{listed}</section>"


def _settings(settings: dict[str, Any]) -> str:
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    return f'<section>{folded("Settings", f"""<div class="card"><pre>{escape(text)}</pre></div>""")}</section>'
