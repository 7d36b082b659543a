"""One answer of a run or an experiment: its page with the looks, as a button that enlarges it."""

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from pipelines.reporting.html import cut, section
from pipelines.reporting.looks import Pages, crop_svg, look_svg
from pipelines.runs import stored
from pipelines.runs.wrong_answers import CLASSES
from saccade.errors import SaccadeError, describe
from saccade.viz.view import TraceView, said

EACH = 2  # examples of a class of failures


def looked(folder: Path, settings: Mapping[str, Any], row: Mapping[str, Any], pages: Pages) -> str:
    """The page of a stored row with its looks, and the part the answer was read from; or why it cannot be shown."""
    try:
        sample = stored.sample(folder, settings, row["image_id"])
        boxes = next((q.answer_boxes_uv for q in sample.questions if q.id == row["id"]), ())
        view = TraceView.from_row(stored.row(folder, row["id"], row["variant"]))
        page = pages.add(row["image_id"], sample.picture)
        drawn, crop = look_svg(view, sample.picture, page, boxes), crop_svg(view, sample.picture, page)
        caption = escape(f"{row['question']}  {said(row['answer'] or '')}", quote=True)
        button = f'<button type="button" class="open" data-caption="{caption}" aria-label="Enlarge">{drawn}</button>'
        return button + crop
    except SaccadeError as error:
        return f'<div class="open none">The page cannot be shown: {cut(describe(error))}</div>'


def failed(folder: Path, failures: Mapping[str, Any]) -> str:
    """Examples of each class of failures with their pages; empty if the answers are not stored beside the results."""
    wrong = {name: failures["classes"][name]["examples"][:EACH] for name in CLASSES if name != "read"}
    shown = [example for some in wrong.values() for example in some]
    if not shown or not any(folder.glob("answers/*.parquet")):
        return ""
    pages, settings, parts = Pages(len({example["image_id"] for example in shown})), stored.settings(folder), []
    for name, some in wrong.items():
        cards = "".join(_example(folder, settings, example, failures["of"], pages) for example in some)
        if cards:
            parts.append(f'<h3>{cut(CLASSES[name])}</h3><div class="looks">{cards}</div>')
    lead = (
        f"Where {failures['of']} looked. Grey: not looked at. Red, and below the page by itself: where the answer was "
        "read. Dashed: where it is. Click a page to enlarge it."
    )
    return section("Why it fails", lead, "".join(parts) + pages.svg())


def _example(folder: Path, settings: Mapping[str, Any], example: Mapping[str, Any], variant: str, pages: Pages) -> str:
    """One wrong answer, with the answers from an oracle's looks and from the whole page."""
    row = {**example, "variant": variant}
    answers = "".join(
        f"<li><span>{name}</span><span>{cut(said(example[key] or ''))}</span></li>"
        for key, name in (("oracle", "oracle"), ("everything", "whole page"))
    )
    wanted, answer = cut(" or ".join(example["answers"] or ())), cut(said(example["answer"] or ""))
    return (
        f'<figure class="card example">{looked(folder, settings, row, pages)}<div class="q">{cut(example["question"])}'
        f'</div><div class="a"><span class="wrong">{answer}</span> <em>for {wanted}</em></div>'
        f'<div class="fact">{cut(example["id"])}</div><ol>{answers}</ol></figure>'
    )
