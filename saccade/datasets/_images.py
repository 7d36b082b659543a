"""Parses an `image` field: a path, a data: URI, base64, or {bytes, path} as Hugging Face writes it.

A row holds the position of pixels inside a line, never the base64 itself; they are read from the line when needed.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from saccade.decoding.uri import brief, from_base64, from_uri, is_base64, is_uri
from saccade.errors import DataError

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")


def embedded(value: Any) -> bytes | None:
    """The bytes that an image field contains; None: it names a file, or is of no known kind.

    Raises:
        PictureError: a data: URI is empty or cannot be decoded.
    """
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, Mapping):
        inside = value.get("bytes")
        return None if inside is None else embedded(inside if not isinstance(inside, str) else _prefixed(inside))
    if not isinstance(value, str):
        return None
    if is_uri(value):
        return from_uri(value)
    return from_base64(value) if is_base64(value) else None


def _prefixed(text: str) -> str:
    return text if is_uri(text) else f"data:;base64,{text}"


def path_of(value: Any) -> str | None:
    """The path that an image field names, also as a file: URL; None: it names none.

    Raises:
        DataError: it is a URL that is not fetched.
    """
    if isinstance(value, Mapping):
        value = value.get("path") or value.get("url")
    if not isinstance(value, str) or not value.strip():
        return None
    scheme = SCHEME.match(value)
    if scheme is None:
        return value
    if scheme[1].lower() != "file":
        raise DataError(
            f"image = {brief(value)} is a URL of the scheme {scheme[1].lower()!r}, which is not fetched: download the "
            "image and give its path"
        )
    return unquote(urlsplit(value).path)


def name_of(data: bytes) -> str:
    """The image id of pixels without a name: a hash of their content."""
    return f"inline-{hashlib.sha256(data).hexdigest()[:24]}"
