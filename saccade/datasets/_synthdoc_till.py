"""A till roll: centred heads, items with quantities and unit prices, dashed rules, totals, a tax table, a last line."""

from collections.abc import Callable

from saccade.datasets._synthdoc_print import Printer, Span
from saccade.datasets._synthdoc_words import (
    ASK_COMPANY,
    CURRENCIES,
    address,
    code,
    company,
    date,
    name,
    phone,
    price,
    time,
    town,
    ware,
    word,
)

ASK_TOTAL = (
    "What is the total?", "What is the total amount?", "How much is the total?", "Total?", "What is the total price?",
    "How much was paid in all?", "What is the amount due?",
)  # fmt: skip
ASK_DATE = ("What is the date?", "Date?", "When was it bought?", "What is the date of the receipt?", "Which date?")
ASK_ADDRESS = ("What is the address?", "Address?", "Where is the company?", "What is the address of the company?")
TOTALS = ("TOTAL", "Total", "Grand total", "TOTAL DUE", "Amount due", "Total sales", "NET TOTAL", "Total amount")
BEFORE = (("Subtotal", "subtotal"), ("Sub-total", "subtotal"), ("Discount", "discount"), ("Rounding", "rounding"),
          ("Service charge", "service charge"), ("Tax", "tax"), ("VAT 20%", "tax"), ("GST 6%", "tax"))  # fmt: skip
AFTER = (("Cash", "cash"), ("Change", "change"), ("CARD", "amount paid by card"), ("Tendered", "amount tendered"))
CLOSING = (
    "Thank you for shopping with us", "Thank you, please come again", "Goods sold are not returnable", "Good day",
    "Please keep this receipt", "Thank you! See you again soon", "Visit us at www.{}.com", "Returns within 14 days",
)  # fmt: skip
RULES = ("-", "=", "*", "_", "- ", ".")


def till(p: Printer, y: float) -> None:
    """Prints from the baseline y down and asks for what a reader of receipts asks."""
    y = _head(p, y)
    y = _rule(p, y)
    y = _about(p, y)
    y = _rule(p, y)
    y = _items(p, y)
    y = _rule(p, y)
    y = _totals(p, y)
    if p.r.random() < 0.4:
        y = _taxes(p, _rule(p, y))
    for line in p.r.sample(CLOSING, p.r.randint(0, 2)):
        y = _centred(p, y, line.format(word(p.r).lower()))[1]


def _room(p: Printer, y: float, text: str, style: int = 0, scale: float = 1.0) -> bool:
    return y < p.height - p.margin and p.measure(text, style, scale) <= p.width - 2 * p.margin


def _centred(p: Printer, y: float, text: str, style: int = 0, scale: float = 1.0) -> tuple[Span | None, float]:
    """One centred line if there is room: its span, and the next baseline."""
    if not _room(p, y, text, style, scale):
        return None, y
    x = (p.width - p.measure(text, style, scale)) / 2
    return p.text(x, y + (scale - 1) * p.x_height, text, style, scale), y + p.pitch * scale


def _fitting(p: Printer, make: Callable[[], str], style: int = 0) -> str:
    """One of eight that fits on a line, the last one if none does."""
    for _ in range(8):
        text = make()
        if p.measure(text, style) <= p.width - 2 * p.margin:
            break
    return text


def _head(p: Printer, y: float) -> float:
    r = p.r
    scale = r.choice((1.0, 1.0, 1.25, 1.5))
    title = _fitting(p, lambda: company(r) + r.choice(("", "", f" ({word(r)})")), 1)
    if not _room(p, y, title, 1, scale):
        scale = 1.0
    span, y = _centred(p, y, title, 1, scale)
    if span:
        p.ask("company", r.choice((*ASK_COMPANY, "Which company issued it?", "Who is the seller?")), title, span, span,
              scale)  # fmt: skip
    if r.random() < 0.85:
        first = _fitting(p, lambda: f"{r.choice(('', 'No. ', 'Lot '))}{address(r)}{r.choice((',', ''))}") + " "
        second = _fitting(p, lambda: town(r))
        at, y = _centred(p, y, first)
        below, y = _centred(p, y, second)
        if at and below:
            p.ask("address", r.choice(ASK_ADDRESS), first + second, (at[0], below[1]), (at[0], below[1]))
    if r.random() < 0.7:
        y = _labelled(p, y, r.choice(("Tel", "Tel.", "Phone", "TEL")), phone(r), "phone number", centred=True)
    if r.random() < 0.5:
        y = _labelled(p, y, r.choice(("Reg. No.", "VAT No", "Tax ID", "Co. Reg")), code(r), "registration number", True)
    if r.random() < 0.4:
        _, y = _centred(p, y, r.choice(("RECEIPT", "TAX INVOICE", "Cash bill", "SALES SLIP", "Customer copy")), 1)
    return y


def _labelled(p: Printer, y: float, label: str, value: str, kind: str, centred: bool = False) -> float:
    """Label and value on one line, asked for; nothing where they do not fit."""
    key = label + p.r.choice((":", " :", "")) + " "
    if not _room(p, y, key + value):
        return y
    x = (p.width - p.measure(key + value)) / 2 if centred else p.margin
    spans = p.text(x, y, key), p.text(x + p.measure(key), y, value)
    p.ask(kind, f"What is the {kind}?", value, *spans)
    return y + p.pitch


def _about(p: Printer, y: float) -> float:
    """Date, time, number and cashier, with labels or without, one or two on a line."""
    r = p.r
    day, clock = date(r), time(r)
    label = r.choice(("", "", "Date: ", "DATE ", "Date/Time: "))
    if _room(p, y, label + day + " " + clock):
        key = p.text(p.margin, y, label) if label else None
        x = p.margin + (p.measure(label) if label else 0)
        at = p.text(x, y, day)
        apart = p.width - p.margin - p.measure(clock)
        x += p.measure(day + " ")
        hour = p.text(max(x, apart) if r.random() < 0.5 else x, y, clock)
        p.ask("date", r.choice(ASK_DATE), day, key or at, at)
        p.ask("time", r.choice(("What is the time?", "At what time?", "Time?")), clock, at, hour)
        y += p.pitch
    for label, kind, make in (
        (r.choice(("Receipt #", "Bill No.", "Invoice No", "Slip")), "receipt number", code),
        (r.choice(("Cashier", "Served by", "Staff")), "cashier", name),
        (r.choice(("Table", "Till", "Counter", "Terminal")), "till", code),
    ):
        if r.random() < 0.5:
            y = _labelled(p, y, label, make(r), kind)
    return y


def _rule(p: Printer, y: float) -> float:
    """A row of dashes, a line, or nothing. The dashes are drawn, not text that could be asked for."""
    if y > p.height - p.margin or p.r.random() < 0.3:
        return y
    if p.r.random() < 0.3:
        p.rule(p.margin, y - 0.4 * p.x_height, p.width - p.margin, y - 0.4 * p.x_height)
        return y + 0.6 * p.pitch
    mark = p.r.choice(RULES)
    count = int((p.width - 2 * p.margin) / max(1.0, p.measure(mark)))
    p.text(p.margin, y, (mark * count).rstrip())
    return y + p.pitch


def _amount(p: Printer, sign: str) -> str:
    before = p.r.random() < 0.75
    value = price(p.r)
    return value if not sign else f"{sign}{value}" if before and len(sign) < 3 else \
        f"{sign} {value}" if before else f"{value} {sign}"  # fmt: skip


def _items(p: Printer, y: float) -> float:
    """Articles with a price at the right; sometimes a line of its own for quantity x unit price."""
    r = p.r
    two, sign = r.random() < 0.4, r.choice(CURRENCIES) if r.random() < 0.2 else ""
    rows = max(1, min(r.randint(2, 16), int((p.height - y) / (p.pitch * (2 if two else 1))) - 5))
    asked = set(r.sample(range(rows), min(rows, r.randint(1, 5))))
    for row in range(rows):
        label, value, count = ware(r), _amount(p, sign), str(r.randint(1, 12))
        right = p.width - p.margin - p.measure(value)
        if p.measure(label) > right - p.margin - p.measure("n"):
            label = word(r)
        if not _room(p, y + (p.pitch if two else 0), label):
            break
        key = p.text(p.margin, y, label)
        if two:
            y += p.pitch
            quantity = f"{count} x {price(r)}" if r.random() < 0.7 else f"{code(r)} {count} @ {price(r)}"
            if p.margin + p.measure("n" + quantity) < right:
                p.text(p.margin + p.measure("n"), y, quantity)
        at = p.text(right, y, value)
        if row in asked:
            p.ask("item price", r.choice(("What is the price of {}?", "How much is {}?", "{}?")).format(label), value,
                  key, at)  # fmt: skip
        y += p.pitch
    return y


def _totals(p: Printer, y: float) -> float:
    r, sign = p.r, p.r.choice((*("",) * 12, *CURRENCIES))
    in_label = bool(sign) and r.random() < 0.4
    rows = [*((*row, False) for row in r.sample(BEFORE, r.randint(0, 2))), (r.choice(TOTALS), "total", True),
            *((*row, False) for row in r.sample(AFTER, r.randint(0, 2)))]  # fmt: skip
    large = r.choice((1.0, 1.0, 1.0, 1.4))
    asked: set[str] = set()
    for label, kind, total in rows:
        scale, style = (large, int(r.random() < 0.5)) if total else (1.0, 0)
        label += (f" ({sign})" if in_label else "") + r.choice(("", ":", " :"))
        value = _amount(p, "" if in_label else sign)
        if p.measure(label + "n" + value, style, scale) > p.width - 2 * p.margin or not _room(p, y, value):
            continue
        y += (scale - 1) * p.pitch
        gap = r.random() < 0.8
        right = p.width - p.margin - p.measure(value, style, scale)
        key = p.text(p.margin, y, label, style, scale)
        x = right if gap else p.margin + p.measure(label + " ", style, scale)
        at = p.text(x, y, value, style, scale)
        if kind not in asked:
            asked.add(kind)
            p.ask(kind, r.choice(ASK_TOTAL) if total else f"What is the {kind}?", value, key, at, scale)
        y += p.pitch
    return y


def _taxes(p: Printer, y: float) -> float:
    """A small table: rate, net, tax."""
    ends = [p.margin + share * (p.width - 2 * p.margin) for share in (0, 0.4, 0.72)]
    heads = [
        p.r.choice(names) for names in (("Rate", "Tax", "Code"), ("Net", "Amount", "Goods"), ("VAT", "Tax", "GST"))
    ]
    for row in range(p.r.randint(2, 3)):
        cells = heads if not row else [p.r.choice(("S 6%", "A 20%", "Z 0%", "T1 5%")), price(p.r), price(p.r)]
        if y > p.height - p.margin:
            break
        for x, text in zip(ends, cells, strict=True):
            p.text(x, y, text)
        y += p.pitch
    return y
