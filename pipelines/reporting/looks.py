"""Where one answer looked, as an SVG that can be enlarged: the page, a veil over dropped cells, numbered gazes.

The page itself is stored once however many questions it has (`Pages`); a look refers to it. Sizes are in pixels of the
page; strokes and numbers keep their size on the screen.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saccade.picture import Picture
from saccade.viz.pixels import COLOURS, VEIL, veils
from saccade.viz.view import TraceView

LONGEST_PX = 1600  # of a stored page
PAGES_BYTES = 4_500_000  # of all stored pages together: a report stays below 8 MB
CARD_PX = 380  # about as wide as a card is
CROP_MARGIN = 0.01  # around what is shown of a page by itself, of the page's longer side
CROP_SHARE = 0.5  # of the page: a larger part of it would be the page again

Box = tuple[float, float, float, float]
Boxes = Iterable[Box]


def data_uri(image: Image.Image, kind: str, **how: int | bool) -> str:
    """An image as a data: URI."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


class Pages:
    """The pages that the looks of a report refer to; each gets an equal share of `PAGES_BYTES`."""

    def __init__(self, num_pages: int) -> None:
        self._room = PAGES_BYTES // max(1, num_pages)
        self._symbols: dict[str, str] = {}

    def add(self, image_id: str, picture: Picture) -> str:
        """The id of a page in the document.

        Raises:
            PictureError: it cannot be read.
        """
        name = f"page{list(self._symbols).index(image_id) if image_id in self._symbols else len(self._symbols)}"
        if image_id not in self._symbols:
            uri = self._fitted(picture.rgb)
            width, height = picture.width_px, picture.height_px
            self._symbols[image_id] = f'<image id="{name}" href="{uri}" width="{width}" height="{height}"/>'
        return name

    def _fitted(self, pixels: NDArray[np.uint8]) -> str:
        image, longest, quality = Image.fromarray(pixels), LONGEST_PX, 82
        while True:
            small = image.copy()
            small.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            uri = data_uri(small, "jpeg", quality=quality)
            if len(uri) * 3 // 4 <= self._room or longest <= 200:
                return uri
            longest, quality = int(0.8 * longest), max(60, quality - 4)

    def svg(self) -> str:
        """SVG definitions of all pages; nothing is drawn until a look refers to one."""
        images = "".join(self._symbols.values())
        return f'<svg width="0" height="0" class="store" aria-hidden="true"><defs>{images}</defs></svg>'


def look_svg(view: TraceView, picture: Picture, page: str, boxes_uv: Boxes) -> str:
    """One answer's look at its page."""
    width, height = picture.width_px, picture.height_px
    parts = [
        f'<svg class="look" viewBox="0 0 {width} {height}" data-size="{width} {height}" role="img" '
        f'aria-label="{escape(f"Where it looked: {view.question}")}"><use href="#{page}"/><g class="over">'
    ]
    if not view.plain:
        owner = view.owners()
        parts.append(
            f'<image class="veil" href="{veil(view)}" width="{width}" height="{height}" preserveAspectRatio="none"/>'
        )
        parts.append(f'<g transform="scale({width / view.cols:.6g} {height / view.rows:.6g})">')
        for number in range(len(view.looks)):
            colour = COLOURS[number % len(COLOURS)]
            parts.append(f'<path class="kept" stroke="{colour}" d="{edges(owner == number)}"/>')
        parts.append("</g>")
    if view.evidence_uv is not None:
        parts.append(_box(view.evidence_uv, width, height, "box evidence"))
    parts += [_box(box, width, height, "box") for box in boxes_uv]
    parts.append(_gazes(view, width, height))
    return "".join([*parts, "</g></svg>"])


def crop_svg(view: TraceView, picture: Picture, page: str) -> str:
    """The part of the page that the answer was read from; "" if there is none, or if it is most of the page."""
    if view.evidence_uv is None:
        return ""
    x0, y0, x1, y1 = view.evidence_uv
    if (x1 - x0) * (y1 - y0) > CROP_SHARE:
        return ""
    width, height = picture.width_px, picture.height_px
    margin = CROP_MARGIN * max(width, height)
    left, top = max(0, x0 * width - margin), max(0, y0 * height - margin)
    right, bottom = min(width, x1 * width + margin), min(height, y1 * height + margin)
    return (
        f'<svg class="crop" viewBox="{left:.1f} {top:.1f} {right - left:.1f} {bottom - top:.1f}" role="img" '
        f'aria-label="{escape(f"Where it was read: {view.question}")}"><use href="#{page}"/></svg>'
    )


def _box(box_uv: Box, width: int, height: int, kind: str) -> str:
    """An outline on the page, over a white one."""
    x0, y0, x1, y1 = box_uv
    place = f'x="{x0 * width:.1f}" y="{y0 * height:.1f}" width="{(x1 - x0) * width:.1f}"'
    rect = f'{place} height="{(y1 - y0) * height:.1f}"'
    return f'<rect class="box under" {rect}/><rect class="{kind}" {rect}/>'


def _gazes(view: TraceView, width: int, height: int) -> str:
    """A line through the gazes in order, and a numbered disc at each."""
    aimed = [(number, look.gaze_uv) for number, look in enumerate(view.looks, 1) if look.aimed]
    points = " ".join(f"{x * width:.1f},{y * height:.1f}" for _, (x, y) in aimed)
    parts = [f'<polyline class="path under" points="{points}"/><polyline class="path" points="{points}"/>']
    for number, (x, y) in aimed:
        colour = COLOURS[(number - 1) % len(COLOURS)]
        parts.append(
            f'<g class="mark" data-at="{x * width:.1f} {y * height:.1f}" '
            f'transform="translate({x * width:.1f} {y * height:.1f}) scale({width / CARD_PX:.4g})">'
            f'<circle r="10" fill="{colour}"/><text y="4.3">{number}</text></g>'
        )
    return "".join(parts)


def veil(view: TraceView) -> str:
    """A mask of one pixel per cell: grey where no token was kept, fainter where only coarse tokens were."""
    grey = np.zeros((view.rows, view.cols, 4), np.uint8)
    faded = veils(view).reshape(view.rows, view.cols)
    grey[..., :3], grey[..., 3] = VEIL, (255 * faded).round()
    grey[faded == 0] = 0
    return data_uri(Image.fromarray(grey), "png", optimize=True)


def edges(inside: NDArray[np.bool_]) -> str:
    """The outline of the cells (rows, cols) that are set, as path data in cells; runs are one stroke each."""
    padded = np.pad(inside, 1)
    level = padded[1:, 1:-1] != padded[:-1, 1:-1]  # (rows + 1, cols): an edge above cell (row, col)
    upright = (padded[1:-1, 1:] != padded[1:-1, :-1]).T  # (cols + 1, rows): an edge left of it
    across = [f"M{start} {row}h{length}" for row, start, length in _runs(level)]
    return "".join([*across, *(f"M{col} {start}v{length}" for col, start, length in _runs(upright))])


def _runs(marked: NDArray[np.bool_]) -> Sequence[tuple[int, int, int]]:
    """(line, start, length) of the runs of set places in every line."""
    turns = np.diff(np.pad(marked, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    lines, starts = np.nonzero(turns == 1)
    ends = np.nonzero(turns == -1)[1]
    return [(int(row), int(a), int(b - a)) for row, a, b in zip(lines, starts, ends, strict=True)]
