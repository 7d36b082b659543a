"""Parses the fields of a line or row to a Question, and groups questions by image."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator

from saccade.datasets import Row, Skip
from saccade.errors import ConfigError, DataError, describe
from saccade.types import Question

T = TypeVar("T")
Box = tuple[float, float, float, float]
BOX = "[x0, y0, x1, y1] in pixels"
PLACES = 4
"""Decimals of money and measures; a column that has more (18 in what Spark writes) does not say how many are meant."""

MOST_SHARE = 1.01
"""Boxes without a number above this are in shares of the image's sides, not pixels: no answer fits into one pixel."""

OTHER_NAMES = {"id": ("question_id", "questionId"), "answers": ("answer",)}
"""Names of fields in other data sets."""

DataPath = Annotated[str, AfterValidator(lambda path: os.path.abspath(os.path.expanduser(path)))]
"""An absolute path, which means the same in every process."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One question as a data set lists it, before questions of one image are put together."""

    image_id: str
    source: str
    question: Question
    where: str


def to_question(
    fields: Mapping[str, Any], where: str, metadata: Mapping[str, Any] | None = None, metric: str = "anls"
) -> Question | Skip:
    """A Question; a Skip if `id`, `image` or `question` is missing. `answers` and `answer_boxes` are optional.

    An invalid field gives a Question with an `error` that names the field and the value.
    """
    fields = _named(fields)
    for name, reason in (("id", "no_id"), ("image", "no_image"), ("question", "no_question")):
        value = fields.get(name)
        if is_null(value) or (isinstance(value, str) and not value.strip()):
            return Skip(reason, where)
    errors: list[str] = []

    def read(name: str, reader: Callable[[str, Any], T], fallback: T) -> T:
        try:
            return reader(name, fields.get(name))
        except DataError as error:
            errors.append(describe(error))
            return fallback

    nothing: tuple[bool, tuple[Box, ...]] = (False, ())
    shares, boxes = read("answer_boxes", _boxes, nothing)
    return Question(
        id=read("id", _id, printable(fields["id"])),
        text=read("question", _text, printable(fields["question"])),
        answers=read("answers", _answers, None),
        answer_boxes_px=() if shares else boxes,
        answer_boxes_uv=boxes if shares else (),
        metadata=metadata or {},
        error=errors[0] if errors else None,
        metric=metric,
    )


def _named(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields, with other data sets' names (question_id, answer) replaced by this project's."""
    named = dict(fields)
    for name, others in OTHER_NAMES.items():
        if is_null(named.get(name)):
            named[name] = next((named[other] for other in others if not is_null(named.get(other))), None)
    return named


def is_null(value: Any) -> bool:
    """Whether a value is None, or the NaN that pandas writes in its place."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def grouped(
    listed: Iterable[Listed | Skip], where: str, joined: Callable[[list[str]], str] = lambda sources: sources[0]
) -> Iterator[Row | Skip]:
    """Yields the Skips, then one Row per image in order of first appearance; a repeated question id is a Skip.

    `joined` makes the source of a row from those of its questions.

    Raises:
        ConfigError: `where` (the data, for the message) holds no question at all.
    """
    images: dict[str, tuple[list[str], list[Question]]] = {}
    question_ids: set[str] = set()
    skipped: Counter[str] = Counter()
    for item in listed:
        if isinstance(item, Listed) and item.question.id in question_ids:
            item = Skip("duplicate_id", f"{item.where} (id {item.question.id!r})")
        if isinstance(item, Skip):
            skipped[item.reason] += 1
            yield item
            continue
        question_ids.add(item.question.id)
        sources, questions = images.setdefault(item.image_id, ([], []))
        sources.append(item.source)
        questions.append(item.question)
    if not images:
        counts = ", ".join(f"{reason} {count}" for reason, count in skipped.items())
        counts = f"skipped: {counts}" if counts else "it is empty"
        hint = ". It is not UTF-8, perhaps Latin-1 or Windows-1252: save it as UTF-8" if skipped["not_utf8"] else ""
        if set(skipped) == {"bad_json"}:
            hint = (
                '. Each line must be a JSON object: {"id": "1", "image": "page.png", "question": "What is the total?"}'
            )
        elif lacking := [name for name in ("id", "image", "question") if skipped[f"no_{name}"]]:
            hint += f". Every question needs an id, an image and a text; lacking here: {', '.join(lacking)}"
        raise ConfigError(f"{where} holds no question about an image ({counts}){hint}")
    for image_id, (sources, questions) in images.items():
        yield Row(image_id, joined(sources), tuple(questions))


def printable(value: Any) -> str:
    """A value as text that can be stored: lone surrogates, which UTF-8 cannot encode, are escaped."""
    text = value if isinstance(value, str) else repr(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def existing(path: str, what: Literal["file", "folder"]) -> Path:
    """`path` as a Path. Raises ConfigError if there is no such file or folder."""
    place = Path(path)
    if not (place.is_dir() if what == "folder" else place.is_file()):
        raise ConfigError(f"there is no {what} {path!r} (--data-path, or --dataset PATH)")
    return place


def wrong(name: str, value: Any, allowed: str) -> DataError:
    """The error message of an invalid field."""
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
    """An id from text or a number; pandas turns whole numbers into floats if one is missing."""
    return _text(name, value) if (number := _number(value)) is None else number


def _number(value: Any) -> str | None:
    """A number as text, whole ones without a point; None: the value is not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    if isinstance(value, int) or not math.isfinite(value):
        return str(value) if isinstance(value, int) else None
    return str(int(value)) if value == int(value) else str(value)


def _answers(name: str, value: Any) -> tuple[str, ...] | None:
    """The accepted answers, from a list or a single value; None (hidden) for null and lists of only nulls or blanks."""
    values = value if isinstance(value, list) else [value]
    read = [_answer(f"{name}[{at}]" if isinstance(value, list) else name, answer) for at, answer in enumerate(values)]
    answers = tuple(answer for each in read for answer in each)
    return answers if any(answer.strip() for answer in answers) else None  # TextVQA hides ten as ten empty texts


def _answer(name: str, value: Any) -> list[str]:
    """The answers of one entry: text or a number, or {answer: ...} as in VQA, or {text: ...} as in SQuAD."""
    if isinstance(value, Mapping) and (key := next((key for key in ("answer", "text") if key in value), None)):
        inner = value[key]
        return [text for each in (inner if isinstance(inner, list) else [inner]) for text in _answer(name, each)]
    if is_null(value):
        return []
    if isinstance(value, Decimal) and value.is_finite():
        written = f"{value:f}"
        if -int(value.as_tuple().exponent) <= PLACES:  # it says how many are written: 12.00
            return [written]
        return [written.rstrip("0").rstrip(".")]
    if (number := _number(value)) is not None:
        return [number]
    if not isinstance(value, str):
        raise wrong(name, value, "text or a number, a list of these, or null where answers are hidden")
    return [_text(name, value)]


def _boxes(name: str, value: Any) -> tuple[bool, tuple[Box, ...]]:
    """Whether the boxes are in shares of the image's sides instead of pixels, and the boxes."""
    if is_null(value):
        return False, ()
    if not isinstance(value, list):
        raise wrong(name, value, f"a list of boxes {BOX}")
    if len(value) == 4 and not any(isinstance(item, list) or item is None for item in value):
        boxes = [_box(name, value)]  # one box, not in a list of its own
    else:
        boxes = [_box(f"{name}[{number}]", box) for number, box in enumerate(value) if box is not None]
    if not boxes or max(max(box) for box in boxes) > MOST_SHARE:
        return False, tuple(boxes)
    cut = [(max(x0, 0.0), max(y0, 0.0), min(x1, 1.0), min(y1, 1.0)) for x0, y0, x1, y1 in boxes]
    for box, (x0, y0, x1, y1) in zip(boxes, cut, strict=True):
        if x0 >= x1 or y0 >= y1:
            raise wrong(name, list(box), "inside the image: numbers up to 1 are shares of its sides")
    return True, tuple(cut)


def _box(name: str, value: Any) -> Box:
    allowed = f"{BOX} with x0 < x1 and y0 < y1"
    if not isinstance(value, list) or len(value) != 4:
        raise wrong(name, value, allowed)
    for number in value:
        # Bounds refuse nan, infinities and integers that no float holds.
        if isinstance(number, bool) or not isinstance(number, int | float | Decimal) or not -1e9 < number < 1e9:
            raise wrong(name, value, allowed)
    x0, y0, x1, y1 = (float(number) for number in value)
    if x0 >= x1 or y0 >= y1:
        raise wrong(name, value, allowed)
    return x0, y0, x1, y1
