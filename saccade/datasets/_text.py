"""Reads JSON in all common layouts: one object per line, objects over several lines, one array; UTF-8 or marked UTF-16.

Each object comes with its place in the file, by which it alone can be read again.
"""

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from saccade.datasets import Skip
from saccade.decoding.header import stands_in
from saccade.errors import ConfigError, PictureError

MARKS = (  # longest first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
INSIDE = ("data", "questions", "annotations", "rows")
"""Keys under which one object of a whole file holds its questions."""


@dataclass(frozen=True, slots=True)
class Record:
    """One object of a file."""

    fields: dict[str, Any]
    place: str  # what `read_again` takes
    where: str  # for people


def records(path: Path) -> Iterator[Record | Skip]:
    """The objects of a file, in order; other values are Skips.

    Raises:
        ConfigError: the file cannot be read, or is not JSON.
    """
    try:
        with path.open("rb") as file:
            other_kind = stands_in(file.read(1024))
        if other_kind is not None:
            raise ConfigError(f"{str(path)!r} is no JSON. It is {other_kind}")
        if _is_lines(path):
            yield from _lines(path)
        else:
            yield from _whole(path)
    except OSError as error:
        raise ConfigError(f"cannot read {str(path)!r}: {error.strerror or error}") from error


def read_again(path: Path, place: str) -> dict[str, Any]:
    """The fields of one record, by its place.

    Raises:
        PictureError: the file has changed since it was listed.
    """
    kind, _, number = place.partition("=")
    try:
        if kind == "byte":
            with path.open("rb") as file:
                file.seek(int(number))
                fields = json.loads(file.readline().decode("utf-8-sig"))
        else:
            fields = _parsed(str(path), path.stat().st_mtime_ns)[int(number)]
        assert isinstance(fields, dict)
    except (OSError, ValueError, LookupError, AssertionError) as error:
        raise PictureError(f"cannot read {place} of {str(path)!r} again: the file has changed") from error
    return fields


def _is_lines(path: Path) -> bool:
    """Whether each line is one JSON value: yes, unless the file's ending or its first line shows otherwise."""
    with path.open("rb") as file:
        begin = file.read(4)
        if _encoding(begin) not in ("utf-8", "utf-8-sig"):
            return False
        file.seek(0)
        first = next((line for line in file if line.strip(b"\xef\xbb\xbf \t\r\n")), b"")
    text = first.decode("utf-8-sig", "replace").strip()
    if not text.startswith(("[", "{")) or "\r" in text:
        return not text.startswith(("[", "{"))
    try:
        return isinstance(json.loads(text), dict) and not _is_wrapper(json.loads(text))
    except (ValueError, RecursionError):
        return text.startswith("{") and _ends_with_lines(path)  # in a broken array no line would be an object by itself


def _ends_with_lines(path: Path) -> bool:
    """Whether a first line that is not JSON is just a broken line, because the whole file is not JSON either."""
    data = path.read_bytes()
    try:
        _values(
            data.removeprefix(codecs.BOM_UTF8).decode("latin-1")
        )  # takes all bytes: whether it is UTF-8 is asked later
        return False
    except (ValueError, RecursionError):
        return True


def _encoding(begin: bytes) -> str:
    """The encoding by the byte order mark, or by the position of zero bytes, since JSON begins with ASCII."""
    for mark, name in MARKS:
        if begin.startswith(mark):
            return name
    zeros = "".join("0" if byte == 0 else "x" for byte in begin)
    return {"x0x0": "utf-16-le", "0x0x": "utf-16-be", "x000": "utf-32-le", "000x": "utf-32-be"}.get(zeros, "utf-8")


def _lines(path: Path) -> Iterator[Record | Skip]:
    with path.open("rb") as file:
        at = 0
        for number, line in enumerate(file, start=1):
            where, begin = f"{path.name}:{number}", at
            at += len(line)
            if not line.strip():
                continue
            try:
                fields = json.loads(line.decode("utf-8-sig"))
            except UnicodeDecodeError as error:
                byte = f"byte 0x{line[error.start]:02x} at {error.start + 1}"
                yield Skip("not_utf8", f"{where} ({byte}; perhaps Latin-1: save the file as UTF-8)")
                continue
            except (ValueError, RecursionError):  # not JSON, or nested beyond reason
                fields = None
            yield Record(fields, f"byte={begin}", where) if isinstance(fields, dict) else Skip("bad_json", where)


def _whole(path: Path) -> Iterator[Record | Skip]:
    try:
        values = _parsed(str(path), path.stat().st_mtime_ns)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{str(path)!r} is not {error.encoding.upper()} (byte {error.start + 1:,}), perhaps Latin-1 or "
            "Windows-1252: save it as UTF-8"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{str(path)!r} is not JSON: {error}. It must hold one object per line, or one array of objects"
        ) from error
    for number, fields in enumerate(values):
        where = f"{path.name}#{number + 1}"
        yield Record(fields, f"item={number}", where) if isinstance(fields, dict) else Skip("bad_json", where)


@lru_cache(maxsize=2)
def _parsed(path: str, changed: int) -> list[Any]:
    """All values of a file that is read as a whole; `changed`: its time of modification, the key of the cache."""
    data = Path(path).read_bytes()
    return _values(data.decode(_encoding(data[:4])).lstrip("\ufeff"))


def _values(text: str) -> list[Any]:
    """The values in a text. A single array, or a single object that holds one, is replaced by its items."""
    decoder, at, values = json.JSONDecoder(), 0, list[Any]()
    while at < len(text):
        if text[at] in " \t\r\n,":  # between objects; a comma after each is seen too
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        values.append(value)
    if len(values) == 1 and isinstance(values[0], list):
        return list(values[0])
    if len(values) == 1 and _is_wrapper(values[0]):
        return next(list(values[0][key]) for key in INSIDE if isinstance(values[0].get(key), list))
    return values


def _is_wrapper(value: Any) -> bool:
    """Whether an object holds a list of questions instead of being one."""
    return isinstance(value, dict) and "question" not in value and any(isinstance(value.get(k), list) for k in INSIDE)
