"""The process that draws PDFs for `pdf.py`. Run as a program: it imports nothing of saccade.

Reads requests from its standard input (JSON, then the file; each after its length in 8 bytes) and answers in the same
way. It ends when the other side does.
"""

import json
import math
import resource
import sys
from typing import Any

REASONS = {
    2: "cannot be read by its reader",
    3: "is broken: it is not a PDF, or its structure is damaged",
    4: "is encrypted: save it without a password",
    5: "is encrypted in a way that is not supported: save it without a password",
    6: "has a page that cannot be loaded",
}


def message() -> bytes | None:
    """The next part of a request; None: there are no more."""
    length = sys.stdin.buffer.read(8)
    if len(length) < 8:
        return None
    return sys.stdin.buffer.read(int.from_bytes(length, "big"))


def tell(reply: dict[str, Any], pixels: bytes | None = None) -> None:
    """Answers a request."""
    for part in (json.dumps({**reply, "drawn": pixels is not None}).encode(), pixels):
        if part is not None:
            sys.stdout.buffer.write(len(part).to_bytes(8, "big") + part)
    sys.stdout.buffer.flush()


def _answer(pdfium: Any, data: bytes, request: dict[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    document = pdfium.PdfDocument(data)
    try:
        pages = len(document)
        if request["do"] == "count":
            return {"pages": pages} if pages else {"error": "the PDF has no pages"}, None
        number = request["page"]
        if not 1 <= number <= pages:
            return {"error": f"there is no page {number}: the file has {pages} page{'s' * (pages > 1)}"}, None
        page = document[number - 1]
        width, height, scale = _size(page, request)
        if request["do"] == "size":
            return {"width": width, "height": height}, None
        factor = request["factor"]
        if document.get_formtype():
            document.init_forms()
        bitmap = page.render(
            scale=scale / factor, fill_color=(255, 255, 255, 255), rev_byteorder=True, maybe_alpha=False
        )
        rgb = bitmap.to_numpy()[..., :3]
        return {"width": rgb.shape[1], "height": rgb.shape[0]}, rgb.tobytes()
    finally:
        document.close()


def _size(page: Any, request: dict[str, Any]) -> tuple[int, int, float]:
    """Width and height in pixels, and pixels per point; a page beyond the pixel limit is scaled down to it."""
    width_pt, height_pt = page.get_size()
    if not (width_pt > 0 and height_pt > 0 and math.isfinite(width_pt * height_pt)):
        raise ValueError(f"the page is {width_pt:g} x {height_pt:g} points: it has no area")
    scale = request["dpi"] / 72
    scale = min(scale, math.sqrt(request["most_px"] / (width_pt * height_pt)) * 0.99)
    width, height = math.ceil(width_pt * scale), math.ceil(height_pt * scale)
    if width * height > request["most_px"]:
        raise ValueError(f"the page is {width_pt:g} x {height_pt:g} points: too unlike in its sides to be drawn")
    return width, height, scale


def limited(memory_bytes: int) -> None:
    """This process, from now on."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main(memory_bytes: int) -> None:
    """Answers requests until there are no more."""
    limited(memory_bytes)
    try:
        import pypdfium2 as pdfium
    except ImportError:
        pdfium = None
    while (head := message()) is not None:
        data = message()
        if data is None:
            return
        if pdfium is None:
            tell({"error": "a PDF is read with pypdfium2, which is not installed: pip install pypdfium2"})
            continue
        try:
            reply, pixels = _answer(pdfium, data, json.loads(head))
        except pdfium.PdfiumError as error:
            code = getattr(error, "err_code", None)
            reply, pixels = {"error": f"the PDF {REASONS.get(code, f'cannot be read: {error}')}"}, None  # type: ignore[arg-type]
        except Exception as error:  # of foreign bytes: the page is lost, not the process
            reply, pixels = {"error": f"cannot draw the page of the PDF: {error or type(error).__name__}"}, None
        tell(reply, pixels)


if __name__ == "__main__":
    main(int(sys.argv[1]))
