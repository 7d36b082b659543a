"""What an `image` field may hold: a path, a data: URI, base64, or {bytes, path} as Hugging Face writes it.

Pixels inside a line are read from the line when they are needed: a row holds where they are, never the base64 itself.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from saccade.errors import DataError

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]{64,}={0,2}\s*")
BEGINS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "SUkq", "TU0AK", "JVBERi0", "AAAA", "Qk")
"""Base64 of how PNG, JPEG, GIF, WebP, TIFF, PDF, AVIF and BMP begin."""


def embedded(value: Any) -> bytes | None:
    """The bytes that an image field holds itself; None: it names a file, or is nothing of the kind.

    Raises:
        DataError: a data: URI without an image, or with one that cannot be decoded.
    """
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, Mapping):
        inside = value.get("bytes")
        return None if inside is None else embedded(inside if not isinstance(inside, str) else _prefixed(inside))
    if not isinstance(value, str):
        return None
    start = value[:64].lstrip()
    if start[:5].lower() == "data:":
        return from_uri(value.strip())
    if start.startswith(BEGINS) and BASE64.fullmatch(value):
        return from_base64(value)
    return None


def _prefixed(text: str) -> str:
    return text if text[:5].lower() == "data:" else f"data:;base64,{text}"


def from_uri(uri: str) -> bytes:
    """The bytes of `data:image/png;base64,...`; what kind of image they are, they say themselves.

    Raises:
        DataError: not a data: URI, not base64, or empty.
    """
    head, comma, payload = uri.partition(",")
    if not comma or head[:5].lower() != "data:":
        raise DataError(f"a data: URI must be 'data:image/...;base64,...'; got {brief(uri)}")
    data = from_base64(unquote(payload)) if head.lower().endswith(";base64") else unquote_to_bytes(payload)
    if not data:
        raise DataError(f"the image is empty (0 bytes): {brief(uri)}")
    return data


def from_base64(text: str) -> bytes:
    """Bytes of base64 as people have it: with line breaks, in the alphabet of URLs, with or without padding.

    Raises:
        DataError: it is none.
    """
    bare = re.sub(r"\s+", "", text).rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"the image is not base64: {error} ({brief(text)})") from error


def path_of(value: Any) -> str | None:
    """The path that an image field names, of a file: URL as well; None: it names none.

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
    """The image id of pixels without a name: equal content is one image."""
    return f"inline-{hashlib.sha256(data).hexdigest()[:24]}"


def brief(text: str, most: int = 80) -> str:
    """A value as a message may repeat it, however long it is."""
    return repr(text) if len(text) <= most else f"{text[: most - 3]!r}... of {len(text):,} characters"
