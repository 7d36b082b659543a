"""Files inside text: data: URIs and base64, in all spellings found in practice."""

import base64
import binascii
import re
from urllib.parse import unquote, unquote_to_bytes

from saccade.errors import PictureError

BASE64 = re.compile(r"[A-Za-z0-9+/_\s-]{64,}={0,2}\s*")
BEGINS = ("iVBORw0KGgo", "/9j/", "R0lGOD", "UklGR", "SUkq", "TU0AK", "JVBERi0", "AAAA", "Qk")
"""Base64 of the first bytes of PNG, JPEG, GIF, WebP, TIFF, PDF, AVIF and BMP."""


def is_uri(text: str) -> bool:
    """Whether a text is a data: URI, in any letter case and with leading white space."""
    return text[:64].lstrip()[:5].lower() == "data:"


def is_base64(text: str) -> bool:
    """Whether a text is the base64 of an image or a PDF, by how it begins; no path begins so."""
    return text[:64].lstrip().startswith(BEGINS) and BASE64.fullmatch(text) is not None


def says_base64(head: str) -> bool:
    """Whether the head of a data: URI, before its comma, says that base64 follows; blanks as browsers have them."""
    return re.search(r";\s*base64\s*$", head, re.IGNORECASE) is not None


def from_uri(uri: str) -> bytes:
    """The bytes of `data:image/png;base64,...`; the stated media type is ignored.

    Raises:
        PictureError: not a data: URI, not base64, or empty.
    """
    head, comma, payload = uri.strip().partition(",")
    if not comma or not is_uri(head):
        raise PictureError(f"a data: URI must be 'data:image/...;base64,...'; got {brief(uri)}")
    data = from_base64(unquote(payload)) if says_base64(head) else unquote_to_bytes(payload)
    if not data:
        raise PictureError(f"the image is empty (0 bytes): {brief(uri)}")
    return data


def from_base64(text: str) -> bytes:
    """The bytes of base64, also with line breaks, or in the URL-safe alphabet without padding.

    Raises:
        PictureError: the text is not base64.
    """
    bare = re.sub(r"\s+", "", text)
    if "-" in bare or "_" in bare:
        bare = bare.rstrip("=").replace("-", "+").replace("_", "/")
        bare += "=" * (-len(bare) % 4)
    try:
        return base64.b64decode(bare, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PictureError(f"the image is not base64: {error} ({brief(text)})") from error


def brief(text: str, most: int = 80) -> str:
    """A value shortened to `most` characters, for messages."""
    return repr(text) if len(text) <= most else f"{text[: most - 3]!r}... of {len(text):,} characters"
