"""From the fields of one line or row to a Question, and from questions to images with all their questions."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator

from saccade.datasets import Row, Skip
from saccade.errors import ConfigError, DataError, describe
from saccade.types import Question

T = TypeVar("T")
Box = tuple[float, float, float, float]

DataPath = Annotated[str, AfterValidator(lambda path: os.path.abspath(os.path.expanduser(path)))]
"""A path that means the same in every process, whatever its working folder."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One question as a data set lists it, before questions of one image are put together."""

    image_id: str
    source: str
    question: Question
    where: str


def to_question(fields: Mapping[str, Any], where: str, metadata: Mapping[str, Any] | None = None) -> Question | Skip:
    """`id`, `image` and `question` must be there (else a Skip); `answers` and `answer_boxes` (pixels) may be.

    A field that is there and wrong gives a Question with an `error` that names the field and the value.
    """
    for name, reason in (("id", "no_id"), ("image", "no_image"), ("question", "no_question")):
        value = fields.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            return Skip(reason, where)
    errors: list[str] = []

    def read(name: str, reader: Callable[[str, Any], T], fallback: T) -> T:
        try:
            return reader(name, fields.get(name))
        except DataError as error:
            errors.append(describe(error))
            return fallback

    return Question(
        id=read("id", _id, printable(fields["id"])),
        text=read("question", _text, printable(fields["question"])),
        answers=read("answers", _answers, None),
        answer_boxes_px=read("answer_boxes", _boxes, ()),
        metadata=metadata or {},
        error=errors[0] if errors else None,
    )


def grouped(listed: Iterable[Listed | Skip], what: str) -> Iterator[Row | Skip]:
    """Skips as they come, then one Row per image in the order of first sight; a second question of an id is skipped.

    Raises:
        ConfigError: `what` (the data, for the message) holds no question at all.
    """
    images: dict[str, tuple[str, list[Question]]] = {}
    seen: set[str] = set()
    skipped: Counter[str] = Counter()
    for item in listed:
        if isinstance(item, Listed) and item.question.id in seen:
            item = Skip("duplicate_id", f"{item.where} (id {item.question.id!r})")
        if isinstance(item, Skip):
            skipped[item.reason] += 1
            yield item
            continue
        seen.add(item.question.id)
        images.setdefault(item.image_id, (item.source, []))[1].append(item.question)
    if not images:
        counts = ", ".join(f"{reason} {count}" for reason, count in skipped.items()) or "it is empty"
        raise ConfigError(f"{what} holds no question about an image ({counts})")
    for image_id, (source, questions) in images.items():
        yield Row(image_id, source, tuple(questions))


def printable(value: Any) -> str:
    """Any value as text that can be stored: lone surrogates, which UTF-8 cannot hold, are written out."""
    text = value if isinstance(value, str) else repr(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def existing(path: str, what: Literal["file", "folder"]) -> Path:
    """`path` as a Path, or a ConfigError that says what was looked for."""
    found = Path(path)
    if not (found.is_dir() if what == "folder" else found.is_file()):
        raise ConfigError(f"there is no {what} {path!r} (--data-path, or --dataset PATH)")
    return found


def wrong(name: str, value: Any, allowed: str) -> DataError:
    """The error of a field that is there and cannot be used."""
    shown = printable(value)
    shown = shown if len(shown) <= 80 else f"{shown[:77]}..."
    return DataError(f"{name} = {shown} ({type(value).__name__}) must be {allowed}")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise wrong(name, value, "text")
    if printable(value) != value:
        raise wrong(name, value, "valid Unicode text")
    return value


def _id(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(name, value)


def _answers(name: str, value: Any) -> tuple[str, ...] | None:
    """None and the empty list both mean hidden."""
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        raise wrong(name, value, "a list of texts, or null where answers are hidden")
    return tuple(_text(f"{name}[{number}]", answer) for number, answer in enumerate(value))


def _boxes(name: str, value: Any) -> tuple[Box, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise wrong(name, value, "a list of boxes [x0, y0, x1, y1] in pixels")
    return tuple(_box(f"{name}[{number}]", box) for number, box in enumerate(value))


def _box(name: str, value: Any) -> Box:
    allowed = "[x0, y0, x1, y1] in pixels with x0 < x1 and y0 < y1"
    if not isinstance(value, list) or len(value) != 4:
        raise wrong(name, value, allowed)
    for number in value:
        # Bounds refuse nan, infinities and integers that no float holds.
        if isinstance(number, bool) or not isinstance(number, int | float) or not -1e9 < number < 1e9:
            raise wrong(name, value, allowed)
    x0, y0, x1, y1 = (float(number) for number in value)
    if x0 >= x1 or y0 >= y1:
        raise wrong(name, value, allowed)
    return x0, y0, x1, y1
