"""A till roll: centred heads, items with quantities and unit prices, dashed rules, totals, a tax table, a last line."""

import math
from collections.abc import Callable

from saccade.datasets._synthdoc_language import Writer
from saccade.datasets._synthdoc_print import Printer, Span
from saccade.datasets._synthdoc_words import (
    ASK_COMPANY,
    CURRENCIES,
    code,
    day_of_sale,
    digits,
    name,
    part,
    phone,
    price,
    shop,
    street,
    time,
    town,
    ware,
    word,
)

ASK_TOTAL = (
    "What is the total?", "What is the total amount?", "What is the total amount?", "How much is the total?", "Total?",
    "What is the total price?", "How much was paid in all?", "What is the amount due?",
)  # fmt: skip
ASK_DATE = ("What is the date?", "What is the date?", "Date?", "When was it bought?", "Which date?",
            "What is the date of the receipt?")  # fmt: skip
ASK_ADDRESS = ("What is the address?", "What is the address?", "Address?", "Where is the company?",
               "What is the address of the company?")  # fmt: skip
ASK_SHOP = (*ASK_COMPANY, "What is the name of the company?", "Which company issued it?", "Who is the seller?",
            "What is the name of the shop?")  # fmt: skip
TOTALS = ("TOTAL", "Total", "Grand total", "TOTAL DUE", "Amount due", "Total sales", "NET TOTAL", "Total amount",
          "Total payable", "Amount payable", "Total incl. tax", "Total (incl. GST)",
          "Total sales (incl. VAT)")  # fmt: skip
BEFORE = (  # label, what questions call it, its least and greatest share of the net sum; None: the sum so far
    ("Subtotal", "subtotal", None), ("Sub-total", "subtotal", None), ("Discount", "discount", (-0.25, -0.01)),
    ("Rounding", "rounding", (-0.002, 0.002)), ("Service charge", "service charge", (0.05, 0.15)),
    ("Tax", "tax", (0.03, 0.25)), ("VAT 20%", "tax", (0.2, 0.2)), ("GST 6%", "tax", (0.06, 0.06)),
    ("Total excl. tax", "total without tax", None), ("Total (excl. GST)", "total without tax", None),
    ("Total tax", "total tax", (0.03, 0.25)), ("Total GST", "total tax", (0.06, 0.06)),
)  # fmt: skip
AFTER = (("Cash", "cash"), ("Change", "change"), ("CARD", "amount paid by card"), ("Tendered", "amount tendered"),
         ("Paid", "amount paid"), ("Balance", "balance"))  # fmt: skip
COUNTS = (("Total qty", "total quantity"), ("Items", "number of items"), ("Total items", "number of items"))
HEADS = (("Item", "Description", "Article"), ("Qty", "Quantity", "No."), ("Price", "U/Price", "@"),
         ("Amount", "Total", "Sum"))  # fmt: skip
CLOSING = (
    "Thank you for shopping with us", "Thank you, please come again", "Goods sold are not returnable", "Good day",
    "Please keep this receipt", "Thank you! See you again soon", "Visit us at www.{}.com", "Returns within 14 days",
    "*** {} ***", "Customer copy", "All prices include tax", "This is a computer generated invoice",
)  # fmt: skip
RULES = ("-", "=", "*", "_", "- ", ".")


def till(p: Printer, y: float) -> None:
    """Prints a receipt from the baseline y down, and adds the questions that receipts are usually read for."""
    if p.r.random() < 0.4:  # somewhere on a taller sheet, as scanners see it
        y += p.r.uniform(0, 0.4) * p.height
    y = _head(p, y)
    y = _rule(p, y)
    y = _about(p, y)
    y = _rule(p, y)
    y = _items(p, y)
    y = _rule(p, y)
    y = _totals(p, y)
    if p.r.random() < 0.4:
        y = _taxes(p, _rule(p, y))
    for line in p.r.sample(CLOSING, p.r.randint(0, 3)):
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
    if r.random() < 0.12:  # what a clerk wrote above it
        _, y = _centred(p, y, r.choice((name(r), digits(r, r.randint(3, 7)))), r.randint(0, 1), r.choice((1.0, 1.3)))
    scale = r.choice((1.0, 1.0, 1.25, 1.5))
    style = int(r.random() < 0.6)
    title = _fitting(p, lambda: shop(r), style)
    if r.random() < 0.4:
        title = title.upper()
    if not _room(p, y, title, style, scale):
        scale = 1.0
    span, y = _centred(p, y, title, style, scale)
    if span:
        p.ask("company", r.choice(ASK_SHOP), title, span, span, scale)
    if r.random() < 0.3:
        _, y = _centred(p, y, r.choice(("({})", "{}", "Co. No. {}")).format(code(r)))
    if r.random() < 0.85:
        y = _address(p, y)
    if r.random() < 0.7:
        y = _labelled(p, y, r.choice(("Tel", "Tel.", "Phone", "TEL")), phone(r), "phone number", centred=True)
    if r.random() < 0.5:
        label = r.choice(("Reg. No.", "VAT No", "Tax ID", "Co. Reg", "GST ID", "GST No."))
        y = _labelled(p, y, label, r.choice((code(r), digits(r, r.randint(8, 12)))), "registration number", True)
    if r.random() < 0.4:
        _, y = _centred(p, y, r.choice(("RECEIPT", "TAX INVOICE", "Cash bill", "SALES SLIP", "Customer copy")), 1)
    return y


def _address(p: Printer, y: float) -> float:
    """One to four centred lines; the answer is all of them."""
    r = p.r
    makes = [street, *([part] * r.choice((0, 0, 1, 1, 2))), *([town] if r.random() < 0.9 else [])]
    root = word(r)
    lines = [_fitting(p, lambda make=make: make(r, root)) for make in makes]  # type: ignore[misc]
    comma, shout = r.choice((",", "", ",")), r.random() < 0.3
    spans, printed = [], []
    for number, line in enumerate(lines):
        last = number == len(lines) - 1
        text = (line.upper() if shout else line) + (r.choice(("", "", ".")) if last else f"{comma} ")
        at, y = _centred(p, y, text)
        if at is None:
            return y
        spans.append(at)
        printed.append(text)
    whole = (spans[0][0], spans[-1][1])
    p.ask("address", r.choice(ASK_ADDRESS), "".join(printed).strip(), whole, whole)
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
    day, clock = day_of_sale(r), time(r)
    label = r.choice(("", "", "Date: ", "DATE ", "Date/Time: ", "Date : ", "Invoice date: ", "Printed on "))
    number = code(r)
    beside = r.choice(("Doc No. : ", "Bill No ", "No: ", "INV "))
    two = r.random() < 0.3 and _room(p, y, beside + number + "nn" + label + day)
    if two or _room(p, y, label + day + " " + clock):
        x = p.margin
        if two:  # the number at the left of it
            spans = p.text(x, y, beside), p.text(x + p.measure(beside), y, number)
            p.ask("receipt number", "What is the receipt number?", number, *spans)
            x = p.width - p.margin - p.measure(label + day)
        key = p.text(x, y, label) if label else None
        at = p.text(x + (p.measure(label) if label else 0), y, day)
        p.ask("date", r.choice(ASK_DATE), day, key or at, at)
        if two:
            y += p.pitch
            before = p.text(p.margin, y, "Time: ") if r.random() < 0.5 and _room(p, y, "Time: " + clock) else None
            hour = p.text(p.margin + p.measure("Time: "), y, clock) if before else None
        else:
            x += p.measure(label) + p.measure(day + " ")
            apart = p.width - p.margin - p.measure(clock)
            before, hour = at, p.text(max(x, apart) if r.random() < 0.5 else x, y, clock)
        if before and hour:
            p.ask("time", r.choice(("What is the time?", "At what time?", "Time?")), clock, before, hour)
        y += p.pitch
    for label, kind, make in (
        (r.choice(("Receipt #", "Bill No.", "Invoice No", "Slip")), "receipt number", code),
        (r.choice(("Cashier", "Served by", "Staff")), "cashier", name),
        (r.choice(("Table", "Till", "Counter", "Terminal")), "till", code),
    ):
        if r.random() < 0.5 and not (two and kind == "receipt number"):
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


def _amount(p: Printer, sign: str, value: str | None = None) -> str:
    before = p.r.random() < 0.75
    value = value or price(p.r)
    return value if not sign else f"{sign}{value}" if before and len(sign) < 3 else \
        f"{sign} {value}" if before else f"{value} {sign}"  # fmt: skip


def _items(p: Printer, y: float) -> float:
    """Articles with a price at the right, or with columns of a quantity, a unit price and an amount.

    Quantity and unit price may have a line of their own, as the article may.
    """
    r = p.r
    way = r.choice(("price", "price", "two lines", "columns", "columns"))
    sign = r.choice(CURRENCIES) if r.random() < 0.2 else ""
    ends = [p.margin + share * (p.width - 2 * p.margin) for share in (0.5, 0.74, 1.0)]
    if way == "columns" and r.random() < 0.7 and _room(p, y, "n"):
        first, *others = (r.choice(names) for names in HEADS)
        p.text(p.margin, y, first)
        for end, head in zip(ends, others, strict=True):
            p.text(end - p.measure(head), y, head)
        y += p.pitch
    tall = p.pitch * (1 if way == "price" else 2)
    rows = max(1, min(r.randint(2, 24), int((p.height - y) / tall) - 5))
    asked_rows = set(r.sample(range(rows), min(rows, r.randint(1, 5))))
    for row in range(rows):
        label, value, count = ware(r), _amount(p, sign), str(r.randint(1, 12))
        right = p.width - p.margin - p.measure(value)
        most = (p.width - p.margin if way == "columns" else right) - p.margin - p.measure("n")
        if p.measure(label) > most:
            label = word(r)
        if not _room(p, y + tall - p.pitch, label):
            break
        key = p.text(p.margin, y, label)
        if way != "price":
            y += p.pitch
        if way == "columns":
            p.text(p.margin, y, digits(r, r.randint(3, 5)))
            unit = price(r)
            for end, text in zip(ends, (count, unit), strict=False):
                p.text(end - p.measure(text), y, text)
        elif way == "two lines":
            quantity = f"{count} x {price(r)}" if r.random() < 0.7 else f"{code(r)} {count} @ {price(r)}"
            if p.margin + p.measure("n" + quantity) < right:
                p.text(p.margin + p.measure("n"), y, quantity)
        at = p.text(right, y, value)
        if row in asked_rows:
            p.ask("item price", r.choice(("What is the price of {}?", "How much is {}?", "{}?")).format(label), value,
                  key, at)  # fmt: skip
        y += p.pitch
    return y


def _sums(r: Writer) -> list[tuple[str, str, str]]:
    """(label, what questions call it, value) of the totals, top down. What is called 'total' is what is to be paid.

    A sum that comes before it may bear as good a name; the empty kind is not asked for. In three of four the values
    add up.
    """
    net, adds_up = math.exp(r.uniform(0, 6)), r.random() < 0.75
    due, rows = net, []
    before = r.sample(BEFORE, r.randint(0, 3))
    first, last = r.sample(TOTALS, 2)
    if any(share for *_, share in before) and r.random() < 0.4:
        rows.append((first, "", net))
    for label, kind, share in before:
        part = r.uniform(*share) * net if share else 0.0
        due += part
        rows.append((label, kind, part if share else due))
    rows.append((last, "total", due))
    paid = due if r.random() < 0.4 else due + r.uniform(0, 0.5) * due
    amounts = {"change": paid - due, "balance": paid - due, "amount paid by card": due}
    rows += [(label, kind, amounts.get(kind, paid)) for label, kind in r.sample(AFTER, r.randint(0, 2))]
    valued = [
        (label, kind, f"{amount:.2f}" if adds_up or kind == "total" else price(r)) for label, kind, amount in rows
    ]
    if r.random() < 0.3:
        label, kind = r.choice(COUNTS)
        valued.insert(r.randint(0, 1), (label, kind, digits(r, r.randint(1, 2))))
    return valued


def _totals(p: Printer, y: float) -> float:
    """The total among other sums, each asked for once."""
    r, sign = p.r, p.r.choice((*("",) * 12, *CURRENCIES))
    in_label = bool(sign) and r.random() < 0.4
    indent, large = r.choice((0.0, 0.0, 0.25)) * p.width, r.choice((1.0, 1.0, 1.0, 1.4))
    asked_kinds: set[str] = set()
    for label, kind, value in _sums(r):
        total, counted = kind == "total", any(kind == what for _, what in COUNTS)
        scale, style = (large, int(r.random() < 0.5)) if total else (1.0, 0)
        label += (f" ({sign})" if in_label and not counted else "") + r.choice(("", ":", " :"))
        value = value if counted else _amount(p, "" if in_label else sign, value)
        left = p.margin + (
            indent if p.measure(label + "n" + value, style, scale) < p.width - 2 * p.margin - indent else 0
        )
        if p.measure(label + "n" + value, style, scale) > p.width - 2 * p.margin or not _room(p, y, value):
            continue
        y += (scale - 1) * p.pitch
        gap = r.random() < 0.8
        right = p.width - p.margin - p.measure(value, style, scale)
        key = p.text(left, y, label, style, scale)
        x = right if gap else left + p.measure(label + " ", style, scale)
        at = p.text(x, y, value, style, scale)
        if kind and kind not in asked_kinds:
            asked_kinds.add(kind)
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
