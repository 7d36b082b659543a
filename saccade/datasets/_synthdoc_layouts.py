"""Layouts of synthdoc's pages: keys with values, tables, prose, and the five kinds of document built from them."""

from collections.abc import Callable

from saccade.datasets._synthdoc_language import Writer
from saccade.datasets._synthdoc_print import Printer
from saccade.datasets._synthdoc_till import till
from saccade.datasets._synthdoc_words import (
    ASK,
    ASK_CELL,
    ASK_COMPANY,
    COLUMNS,
    PAIRS,
    address,
    code,
    company,
    count,
    date,
    email,
    name,
    phone,
    price,
    word,
    words,
)  # fmt: skip


def _take_pair(p: Printer, room_px: float, only: tuple[str, ...] | None = None) -> tuple[str, str, str] | None:
    """A kind not yet on the page whose longer of key and value fits: (kind, printed key, value)."""
    for _ in range(6):
        free = [k for k in (only or tuple(PAIRS)) if k not in p.used]
        if not free:
            return None
        kind = free[0] if only else p.r.choice(free)
        prints, make = PAIRS[kind]
        key, value = p.r.choice(prints), make(p.r)
        key = (key.upper() if p.shout else key) + p.colon
        if max(p.measure(key, int(p.bold_keys)), p.measure(value)) <= room_px:
            p.used.add(kind)
            return kind, key, value
    return None


def _pair(
    p: Printer, kind: str, key: str, value: str, key_xy: tuple[float, float], value_xy: tuple[float, float]
) -> None:
    """Prints one key and its value and asks for it."""
    spans = p.text(*key_xy, key, int(p.bold_keys)), p.text(*value_xy, value)
    p.ask(kind, p.r.choice(ASK).format(kind), value, *spans)


def _pairs(p: Printer, x0: float, x1: float, y: float, rows: int, only: tuple[str, ...] | None = None) -> float:
    """Up to `rows` rows of keys and values between x0 and x1, in one of five layouts; returns the next baseline."""
    layout = p.r.choice(("inline", "tabbed", "tabbed", "spread") + (() if only else ("above",)))
    tab, ruled, gap = x0 + p.r.uniform(0.38, 0.5) * (x1 - x0), p.r.random() < 0.3, p.measure("n") * p.r.uniform(1, 3)
    for _ in range(rows):
        if y + p.pitch > p.height - p.margin:
            break
        room = {"inline": 0.48 * (x1 - x0), "above": x1 - x0}.get(layout, min(tab - x0, x1 - tab) - gap)
        pair = _take_pair(p, room, only)
        if pair is None:
            if only:
                break
            continue
        kind, key, value = pair
        if layout == "above":
            _pair(p, kind, key, value, (x0, y), (x0 + gap / 2, y + p.pitch))
            if ruled:
                p.rule(x0, y + 0.9 * p.x_height, x1 - gap, y + p.pitch + 0.9 * p.x_height, box=True)
            y += 2.2 * p.pitch
            continue
        at = {"inline": x0 + p.measure(key, int(p.bold_keys)) + gap, "spread": x1 - p.measure(value) - 1}.get(
            layout, tab
        )
        _pair(p, kind, key, value, (x0, y), (at, y))
        if ruled:
            p.rule(x0, y + 0.75 * p.x_height, x1, y + 0.75 * p.x_height)
        y += p.pitch
    return y


def _columns(p: Printer, y: float, rows: int) -> float:
    """Pairs in as many columns as the page is wide enough for."""
    width, least = p.width - 2 * p.margin, 40 * p.measure("n")
    columns = max(1, min(3, int(width / least)))
    ends = [
        _pairs(p, p.margin + i * width / columns, p.margin + (i + 0.94) * width / columns, y, rows)
        for i in range(columns)
    ]
    return max(ends)


def _heading(p: Printer, make: Callable[[Writer], str]) -> str:
    """A value that fits on a line in bold, if one of eight does."""
    drawn = [make(p.r) for _ in range(8)]
    return next((text for text in drawn if p.measure(text, 1) <= p.width - 2 * p.margin), drawn[0])


def _title(p: Printer, y: float, text: str, ask: tuple[str, str] | None = None) -> float:
    """A heading line, sometimes white on dark; asked for where `ask` gives (kind, what a question calls it)."""
    scale = p.r.choice((1.0, 1.25, 1.5))
    while scale > 1 and p.measure(text, 1, scale) > p.width - 2 * p.margin:
        scale -= 0.25
    x = p.margin if p.r.random() < 0.4 else max(p.margin, (p.width - p.measure(text, 1, scale)) / 2)
    y += scale * p.x_height
    ink = None
    if ask is None and p.r.random() < 0.25:
        p.draw.rectangle(
            (p.margin / 2, y - 2 * scale * p.x_height, p.width - p.margin / 2, y + scale * p.x_height), fill=p.ink
        )
        ink = p.paper
    span = p.text(x, y, text, 1, scale, ink)
    if ask:
        p.used.add(ask[0])
        p.ask(ask[0], ask[1], text, span, span, scale)
    return y + p.pitch * max(1.0, 0.9 * scale)


def _grid(p: Printer, y: float, rows: int, columns: int, asked: int, header: bool = True) -> float:
    """A table with row labels in its first column; `asked` of its cells, chosen at random, become fields."""
    names = p.r.sample(tuple(COLUMNS), columns) if header else ["Price"]
    label_end = p.margin + (p.width - 2 * p.margin) * (0.4 if columns < 4 else 0.28)
    step = (p.width - p.margin - label_end) / len(names)
    lines = p.r.random() < 0.4
    top = y - 1.6 * p.x_height
    if header:
        p.text(p.margin, y, p.r.choice(("Item", "Description", "Article", "Product")), style=1)
        for i, name in enumerate(names):
            p.text(label_end + i * step, y, name, style=1)
        y += p.pitch
    drawn = dict.fromkeys(words(p.r) if p.r.random() < 0.5 else word(p.r) for _ in range(rows))
    labels = [s for s in drawn if p.measure(s) < label_end - p.margin - 4]
    cells = [(row, i) for row in range(len(labels)) for i in range(len(names))]
    chosen = set(p.r.sample(cells, min(asked, len(cells))))
    for row, label in enumerate(labels):
        if y > p.height - p.margin - p.x_height:
            break
        key = p.text(p.margin, y, label)
        for i, name in enumerate(names):
            value = COLUMNS[name](p.r)
            if p.measure(value) > step - 4:
                value = count(p.r)
            x = label_end + i * step if header else p.width - p.margin - p.measure(value)
            span = p.text(x, y, value)
            if (row, i) in chosen:
                p.ask("cell", p.r.choice(ASK_CELL).format(name.lower(), label), value, key, span)
        if lines:
            p.rule(p.margin, y + 0.75 * p.x_height, p.width - p.margin, y + 0.75 * p.x_height)
        y += p.pitch
    if lines and header:
        for i in range(len(names)):
            p.rule(label_end + i * step - 4, top, label_end + i * step - 4, y - p.pitch + 0.75 * p.x_height)
    return y + 0.4 * p.pitch


def _prose(p: Printer, y: float, lines: int, style: int = 0, ink: int | None = None) -> float:
    """Running text: words, now and then a number, a date or a name."""
    right = p.width - p.margin
    for i in range(lines):
        if y > p.height - p.margin:
            break
        end, stop, parts = p.margin, right if i < lines - 1 or lines == 1 else right / 2, []
        while True:
            make = p.r.choice((word, word, word, word, code, price, date, name, phone, email))
            part = make(p.r)
            part = part.lower() if make is word and p.r.random() < 0.7 else part
            end += p.measure(part + " ", style)
            if end > stop:
                break
            parts.append(part)
        p.text(p.margin, y, " ".join(parts), style, 1.0, ink)
        y += p.pitch
    return y


def _form(p: Printer, y: float) -> None:
    y = _title(p, y, p.r.choice(("APPLICATION", "REGISTRATION", "Personal data", "ORDER FORM", "Request", "RECORD")))
    _columns(p, y + 0.5 * p.pitch, 99)


def _invoice(p: Printer, y: float) -> None:
    y = _title(p, y, _heading(p, company), ("company", p.r.choice(ASK_COMPANY)))
    y = _title(p, y, p.r.choice(("INVOICE", "Invoice", "BILL", "Statement")))
    y = _columns(p, y + 0.3 * p.pitch, p.r.randint(2, 4) + int(p.height > 700) * 2)
    rows = max(1, min(p.r.randint(2, 8), int((p.height - y) / p.pitch) - 5))
    y = _grid(p, y + 0.8 * p.pitch, rows, p.r.randint(1, 3), p.r.randint(1, 3))
    _pairs(
        p,
        p.width * p.r.uniform(0.3, 0.45),
        p.width - p.margin,
        y,
        5,
        ("subtotal", "tax", "shipping cost", "total amount"),
    )


def _receipt(p: Printer, y: float) -> None:
    y = _title(p, y, _heading(p, company), ("company", p.r.choice(ASK_COMPANY)))
    if p.r.random() < 0.6:
        y = _title(p, y, _heading(p, address), ("address", p.r.choice(("What is the address?", "Address?"))))
    y = _columns(p, y, p.r.randint(2, 4))
    rows = max(1, min(p.r.randint(3, 14), int((p.height - y) / p.pitch) - 4))
    y = _grid(p, y + 0.3 * p.pitch, rows, 1, p.r.randint(1, 3), header=False)
    _pairs(p, p.margin, p.width - p.margin, y, 6, ("subtotal", "tax", "total amount", "cash", "change"))


def _table(p: Printer, y: float) -> None:
    y = _title(p, y, p.r.choice(("PRICE LIST", "Stock report", "INVENTORY", "Summary", "Overview")))
    y = _columns(p, y, p.r.randint(1, 2))
    columns = 1 + int((p.width - 2 * p.margin) * 0.6 / p.measure("n" * 11))
    _grid(p, y + 0.6 * p.pitch, p.r.randint(5, 24), max(1, min(4, columns - 1)), p.r.randint(5, 8))


def _letter(p: Printer, y: float) -> None:
    y = _title(p, y, _heading(p, company), ("company", p.r.choice(ASK_COMPANY)))
    y = _columns(p, y, p.r.randint(3, 5) + int(p.height > 700))
    to, by = name(p.r), name(p.r)
    key = p.text(p.margin, y + 0.8 * p.pitch, "Dear")
    span = p.text(p.margin + p.measure("Dear "), y + 0.8 * p.pitch, to)
    p.ask("recipient", p.r.choice(("Who is the letter addressed to?", "Who is the recipient?")), to, key, span)
    y = _prose(p, y + 2.2 * p.pitch, max(1, min(p.r.randint(3, 14), int((p.height - y) / p.pitch) - 5)))
    if y + 1.6 * p.pitch < p.height - p.margin:
        key = p.text(p.margin, y + 0.4 * p.pitch, p.r.choice(("Sincerely,", "Yours faithfully,", "Kind regards,")))
        span = p.text(p.margin, y + 1.5 * p.pitch, by, 2)
        p.ask("signature", p.r.choice(("Who signed the letter?", "Whose signature is it?")), by, key, span)


def _sheet(p: Printer, y: float) -> None:
    while y <= p.height - p.margin:
        style, ink = p.r.choice((0, 0, 0, 1, 2)), None
        if p.r.random() < 0.06:
            p.draw.rectangle((0, y - 1.7 * p.x_height, p.width, y + 0.7 * p.x_height), fill=p.ink)
            ink = p.paper
        elif p.r.random() < 0.15:
            p.rule(0, y + 0.75 * p.x_height, p.width, y + 0.75 * p.x_height)
        y = _prose(p, y, 1, style, ink)


LAYOUTS = {
    "form": _form, "invoice": _invoice, "receipt": _receipt, "table": _table, "letter": _letter, "sheet": _sheet,
    "till": till,
}  # fmt: skip
