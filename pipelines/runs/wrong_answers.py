"""Why a variant fails: each wrong answer by what would have made it right.

The fault is the *reader's* if the answer is wrong with the whole page in front of it as well. If not, it is the
*gaze's* where an oracle's looks with as many tokens are read correctly, and of the *tokens*, which are too few, where
they are not. Right is a score of at least a half.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from saccade.metrics.bootstrap import bootstrap_mean, dumped
from saccade.settings import Settings

RIGHT = 0.5
CLASSES = {
    "read": "read",
    "reader": "wrong with the whole page as well: the reader",
    "gaze": "an oracle's looks of as many tokens are read: the gaze",
    "tokens": "the whole page is read, an oracle's looks are not: too few tokens",
}
HEADS = ("why", "questions", "share [95 %]", "for example")


class Failing(Settings):
    """Which variant is judged, and by which others."""

    of: str = Field(description="The variant whose wrong answers are told apart.")
    oracle: str = Field(description="The variant with as many tokens and a gaze that knows.")
    everything: str = Field(description="The variant that shows the whole page.")
    examples: int = Field(
        6, ge=0, description="Questions of each class that are quoted; 0: none, of data not to be copied."
    )

    @property
    def variants(self) -> tuple[str, str, str]:
        """The variants it compares."""
        return self.of, self.oracle, self.everything


def classes(rows: Sequence[Mapping[str, Any]], failing: Failing) -> dict[str, Any]:
    """Share of each class with its interval over pages, and examples, the surest answers of each class first.

    Questions that one of the three variants has not answered, or whose answers are hidden, are left out.
    """
    named = {name: {row["id"]: row for row in rows if row["variant"] == name} for name in failing.variants}
    of, oracle, everything = (named[name] for name in (failing.of, failing.oracle, failing.everything))
    scored = [key for key in of if all(_score(part.get(key)) is not None for part in (of, oracle, everything))]
    class_of = {key: _class(of[key], oracle[key], everything[key]) for key in scored}
    pages = [of[key]["image_id"] for key in scored]
    failures: dict[str, Any] = {"of": failing.of, "n": len(scored), "classes": {}}
    for name in CLASSES:
        share = bootstrap_mean([float(class_of[key] == name) for key in scored], pages)
        own = [key for key in scored if class_of[key] == name]
        own.sort(key=lambda key: -(of[key].get("confidence") or 0.0))
        examples = [_example(key, of, oracle, everything) for key in own[: failing.examples]]
        by_oracle = sum(_score(oracle[key]) >= RIGHT for key in own)  # type: ignore[operator]  # all of them are scored
        failures["classes"][name] = {
            "share": dumped(share),
            "n": len(own),
            "told": by_oracle,
            "examples": examples,
        }
    return failures


def _score(row: Mapping[str, Any] | None) -> float | None:
    return None if row is None else row["score"]


def _class(of: Mapping[str, Any], oracle: Mapping[str, Any], everything: Mapping[str, Any]) -> str:
    if of["score"] >= RIGHT:
        return "read"
    if everything["score"] < RIGHT:
        return "reader"
    return "gaze" if oracle["score"] >= RIGHT else "tokens"


def _example(key: str, *variants: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    row = variants[0][key]
    texts = [part[key].get("answer") for part in variants]
    return {
        "id": key,
        "image_id": row["image_id"],
        "question": row["question"],
        "answers": row["answers"],
        **dict(zip(("answer", "oracle", "everything"), texts, strict=True)),
    }


def to_markdown(failures: Mapping[str, Any]) -> str:
    """The classes as a table, with an example of each."""
    rows, heads = cells(failures), [f"why `{failures['of']}` fails", *HEADS[1:]]
    if not any(row[-1] for row in rows):  # nothing is quoted
        rows, heads = [row[:-1] for row in rows], heads[:-1]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def cells(failures: Mapping[str, Any]) -> list[list[str]]:
    """One row per class: what it is, how many, their share, one of them."""
    table = []
    for name, text in CLASSES.items():
        entry = failures["classes"][name]
        share = entry["share"]
        bounds = "" if not share or share["low"] is None else f" [{100 * share['low']:.0f}, {100 * share['high']:.0f}]"
        shown = f"{100 * share['mean']:.0f} %{bounds}" if share else "-"
        if name == "reader" and entry.get("told"):
            text += f"; {entry['told']} of them are read from an oracle's looks"
        wrong = entry["examples"] if name != "read" else ()
        table.append([text, str(entry["n"]), shown, _quoted(wrong[0]) if wrong else ""])
    return table


def _quoted(example: Mapping[str, Any]) -> str:
    """One question in a line, without what would end a cell of a table."""
    wanted = " or ".join(example["answers"] or ())
    text = f"{example['question']} {example['answer'] or 'cannot read'} (is {wanted})"
    return " ".join(text.replace("|", "/").split())
