"""Where the parts of a trace's picture go, before anything is drawn. In pixels, x right, y down.

A tall page stands left, the importance beside it (a receipt) or under the fixations (a page); below a wide one the two
stand side by side:

    title             title             title
    page heat list    page list         page
                           heat         heat list
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import hypot

from saccade.viz.lettering import MUTED, READ, Block, Style, block
from saccade.viz.view import TraceView, said, spent
from saccade.wording import counted

PAGE_PX = (1600, 1800)  # a page is never drawn larger
LEAST_PX = 640  # the longer side of a small image is enlarged to this
NARROW, WIDE = 0.65, 1.4  # width over height
LEAST_HEAT = 0.4  # of the page's height: with less left under the list the heat map of a narrow page stands beside it


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; whole pixels, so that images in it are not resampled."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes and places; `em` is the size of the text."""

    em: float
    width: int
    height: int
    title: Block
    page: Box
    items: tuple[tuple[Box, Block], ...]  # one a fixation: the room of its text
    heat: Box | None
    margin: int
    spill: float  # how far numbered discs may stand outside the page

    @property
    def badge(self) -> float:
        """Radius of a numbered disc."""
        return 0.72 * self.em


def page_size(width_px: int, height_px: int) -> tuple[int, int]:
    """Of the page in the picture: 1:1 where possible, large ones reduced, small ones enlarged."""
    scale = min(1.0, PAGE_PX[0] / width_px, PAGE_PX[1] / height_px)
    scale = max(scale, LEAST_PX / max(width_px, height_px))
    return max(1, round(scale * width_px)), max(1, round(scale * height_px))


def arrange(view: TraceView, width_px: int, height_px: int, *, heat: bool, boxes: bool) -> Plan:
    """The plan for a page of this size in the picture (as from `page_size`)."""
    em = float(min(24, max(16, round(max(width_px, height_px) / 60))))
    gap, scale, ratio = round(2.2 * em), round(2.0 * em), width_px / height_px  # scale: the line over the heat map
    side = max(round(23 * em), round(0.5 * width_px))  # the list's width beside a page
    below, beside = ratio > WIDE, False
    if below:
        width = max(width_px, round(40 * em))
        room = Box(gap, 0, round(0.48 * width), PAGE_PX[1])
        side = width - (room.width + gap if heat else 0)
    blocks = [_item(view, number, em, side - round(2.2 * em)) for number in range(len(view.looks))]
    list_px = _stack(blocks, 0, 0, side, em)[1]
    if not below:
        under = height_px - list_px - gap - scale  # what a page leaves under the list
        beside = heat and ratio < NARROW and under < LEAST_HEAT * height_px
        room = Box(0, 0, max(width_px, round(13 * em)), height_px)
        width = width_px + gap + side + (room.width + gap if beside else 0)
        if not beside:
            room = Box(gap + width_px + gap, 0, side, max(under, round(0.75 * side / max(ratio, NARROW))))
        else:
            room = Box(width_px + 2 * gap, 0, room.width, height_px)
    title = _title(view, em, width, boxes)
    spill = em if min(width_px, height_px) >= 8 * em else 1.9 * em  # on a strip of a page discs stand beside it
    top = gap + round(title.height_px + spill + 0.1 * em) + (scale if beside else 0)
    page = Box(gap + (max(0, width - width_px) // 2 if below else 0), top, width_px, height_px)
    list_y = top + height_px + gap if below else top
    items, list_end = _stack(blocks, gap + width - side, list_y, side, em)
    ends = [top + height_px, list_end]
    drawn = None
    if heat:
        y = top if beside else top + height_px + gap + scale if below else list_end + gap + scale
        drawn = _fit(width_px, height_px, Box(room.x, y, room.width, room.height))
        ends.append(drawn.y + drawn.height)
    return Plan(em, width + 2 * gap, max(ends) + gap, title, page, items, drawn, gap, spill)


def _fit(width_px: int, height_px: int, room: Box) -> Box:
    """The largest box of the page's shape in a room, at its upper left."""
    scale = min(room.width / width_px, room.height / height_px)
    return Box(room.x, room.y, max(1, int(scale * width_px)), max(1, int(scale * height_px)))


def _title(view: TraceView, em: float, width: int, boxes: bool) -> Block:
    facts = [f"confidence {view.confidence:.2f}"]
    if view.score is not None:
        facts.append(f"score {view.score:.2f}")
    facts += [counted(len(view.looks), "fixation"), spent(view)]
    if view.evidence_uv is not None:
        facts.append("red box: where it was read")
    if boxes:
        facts.append("dashed: where the answer stands")
    return block(
        [
            (view.question, Style(1.2 * em, bold=True, lines=4)),
            (said(view.answer), Style(1.2 * em, colour=READ if view.answer.strip() else MUTED, lines=6)),
            ("  ·  ".join(facts), Style(0.95 * em, colour=MUTED, lines=3)),
        ],
        width,
    )


def _item(view: TraceView, number: int, em: float, width: int) -> Block:
    look = view.looks[number]
    where = f" at ({look.gaze_uv[0]:.2f}, {look.gaze_uv[1]:.2f})" if look.aimed else ""
    adds = f"  ·  {counted(look.num_tok, 'token')}{where}" if look.num_tok else ""  # not of the page as it stands here
    facts = f"confidence {look.confidence:.2f}{adds}"
    muted = Style(0.88 * em, colour=MUTED)
    return block([(said(look.answer), Style(em, bold=True)), (facts, muted), (look.reason, muted)], width)


def _stack(blocks: Sequence[Block], x: int, y: int, width: int, em: float) -> tuple[tuple[tuple[Box, Block], ...], int]:
    """Blocks under one another, room for the confidence bar below each; and where the last one ends."""
    items, end = [], y
    for item in blocks:
        items.append((Box(x, y, width, round(item.height_px + 0.7 * em)), item))
        end = y + items[-1][0].height
        y = end + round(0.9 * em)
    return tuple(items), end


def badges(
    gazes: Sequence[tuple[float, float]], radius: float, ring: float, width: float, height: float, margin: float
) -> list[tuple[float, float]]:
    """Centres of the numbered discs: each beside its gaze's ring, off every other ring and disc, near the page.

    `gazes` in px of the page (width x height); discs may stand up to `margin` outside it.
    """
    placed: list[tuple[float, float]] = []
    for own, (x, y) in enumerate(gazes):
        others = [gaze for number, gaze in enumerate(gazes) if number != own]
        best: tuple[float, float, float] | None = None
        for step in range(3 * len(gazes) + 3):
            reach = ring + 1.25 * radius + step * radius
            for dx, dy in _AROUND:
                at = x + reach * dx, y + reach * dy
                if not (radius - margin <= at[0] <= width + margin - radius):
                    continue
                if not (radius - margin <= at[1] <= height + margin - radius):
                    continue
                if any(hypot(at[0] - a, at[1] - b) < 2.3 * radius for a, b in placed):
                    continue
                hidden = sum(hypot(at[0] - a, at[1] - b) < ring + 1.1 * radius for a, b in others)
                if best is None or hidden < best[0]:
                    best = (hidden, *at)
            if best is not None and (best[0] == 0 or step > len(gazes)):
                break
        placed.append((best[1], best[2]) if best is not None else (x, y))
    return placed


_AROUND = ((0.71, -0.71), (-0.71, -0.71), (0.71, 0.71), (-0.71, 0.71), (1, 0), (-1, 0), (0, -1), (0, 1))
