"""Turns an answer into a typed value, with a flag where it does not fit. The answer itself is kept beside it."""

import datetime
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from saccade.annotation.fields import DateOrder, FieldSpec
from saccade.annotation.patterns import matches

Flag = Literal[
    "error",  # the question ended in an error: the page cannot be opened, the model failed
    "missing",  # nothing was read, and the field is required
    "pattern",  # the text does not match the field's pattern
    "not_a_number",
    "not_a_date",
    "ambiguous_date",  # read day first; another order of its numbers is another date, and the field sets none
    "not_an_amount",
    "ambiguous_number",  # 3.142 was read as 3142, and may have decimals
    "not_a_choice",
    "not_yes_or_no",
    "other_text",  # a number was found, and other words beside it
    "unsure",  # it fits, and the confidence is below --review-below
]
Typed = str | float | bool | datetime.date | None

STOPS = " .,;:!?\"'()[]{}«»„“”‘’…"
ORDERS: tuple[DateOrder, ...] = ("DMY", "MDY", "YMD")
"""Of the numbers of a date; the first where a field does not say."""

MILLS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
"""Currencies of three decimals (ISO 4217): of theirs 1.250 is no more likely thousands."""

MINUS, BESIDE = "-\u2010-\u2013\u2212\ufe63\uff0d", "%<>\u2264\u2265\u00b1~\u2248\u2030"
"""Signs that are written for a minus; and signs beside a number that make it something else than it."""

YES, NO = ("yes", "y", "true", "1", "x", "checked"), ("no", "n", "false", "0", "unchecked")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A typed value; None where there is none. `flag`: why a person should look at it."""

    value: Typed
    flag: Flag | None = None
    currency: str | None = None


def parse(field: FieldSpec, text: str) -> Parsed:
    """The value that a text is for a field; the same text always gives the same value."""
    text = _spaced(text)
    if not text:
        return Parsed(None, "missing" if field.required else None)
    parsed = _READERS[field.type](field, text)
    if parsed.flag is None and field.pattern is not None and not matches(field.pattern, text):
        return Parsed(parsed.value, "pattern", parsed.currency)
    return parsed


def agrees(answer: str, accepted: str) -> bool | None:
    """Whether an answer is the number or the date that is accepted, however either is written; None: it is neither."""
    wanted = _amount(accepted.replace("%", " "))
    if wanted.amount is not None and not wanted.other:
        return _amount(answer.replace("%", " ")).amount == wanted.amount
    dates = [(_day(answer, order, ("en",)), _day(accepted, order, ("en",))) for order in ORDERS]
    if all(wanted is None for _, wanted in dates):
        return None
    return any(said is not None and said == wanted for said, wanted in dates)


def _text(field: FieldSpec, text: str) -> Parsed:
    return Parsed(text)


def _number(field: FieldSpec, text: str) -> Parsed:
    found = _amount(text)
    if found.amount is None:
        return Parsed(None, "not_a_number")
    flag: Flag | None = "other_text" if found.other or found.currency else None
    return Parsed(found.amount, flag or ("ambiguous_number" if found.grouped_by == "." else None))


def _money(field: FieldSpec, text: str) -> Parsed:
    found = _amount(text)
    if found.amount is None:
        return Parsed(None, "not_an_amount", found.currency)
    mills = found.grouped_by and found.currency in MILLS
    flag: Flag | None = "other_text" if found.other else "ambiguous_number" if mills else None
    return Parsed(found.amount, flag, found.currency)


@dataclass(frozen=True, slots=True)
class _Amount:
    """The one number of a text; None where there is none."""

    amount: float | None
    currency: str | None
    other: bool  # other words, digits or signs of comparison stand beside it
    grouped_by: str = ""  # the one mark in it that was read as that of thousands, and might be that of decimals


def _amount(text: str) -> _Amount:
    from price_parser import Price

    text = re.sub(r"(?<=\d)['\u2019](?=\d{3}(?!\d))", " ", text)  # Swiss thousands, which the parser reads or not
    text = re.sub(r"(?<=[^\W\dA-Z_]|/)\.(?=\d)", ". ", text)  # "Rs.50": the point is of the word before it
    text = re.sub(r"(?<![\w.,)])(?<!\d )(?=[.,]\d)", "0", text)  # ",50"
    text = text.replace("%", " %")  # "7%" is no number to the parser
    price = Price.fromstring(text)
    written = price.amount_text or ""
    mark, decimal = _mark(written)
    price = Price.fromstring(text, decimal_separator=mark if decimal else None)
    if price.amount is None or not any(map(str.isdigit, text)):  # "free" is read as 0
        return _Amount(None, price.currency, True)
    place = r"\s*".join(map(re.escape, written.rstrip(",. ")))  # the parser drops some spaces
    before, after = (re.split(place, text, maxsplit=1) + [""])[:2]
    if price.currency:  # once: a second one is another word
        before, _, after = f"{before}\0{after}".replace(price.currency, " ", 1).partition("\0")
    minus = rf"[{MINUS}]\W*$"
    cents = re.match(r"\s*[.,]", after)  # the dash of "12.-" stands for them
    negative = re.search(minus, before) or (not cents and re.match(rf"\W*{minus}", after))
    bracketed = before.lstrip()[:1] + after.rstrip()[-1:] == "()"
    amount = float(-price.amount if negative or bracketed else price.amount)
    if not math.isfinite(amount):
        return _Amount(None, price.currency, True)
    other = re.search(rf"[^\W_]|[{BESIDE}]", before + after) is not None or not _is_one(written)
    return _Amount(amount, price.currency, other, "" if decimal else mark)


def _mark(written: str) -> tuple[str, bool]:
    """The last point or comma of a number, and whether it can only be that of its decimals; ("", False): it has none,
    or it is one of several alike, or a currency stands in the place of a mark."""
    marks = re.findall(r"[.,\u20ac]", written)
    if not marks or marks.count(marks[-1]) > 1 or "\u20ac" in marks:
        return "", False
    return marks[-1], re.fullmatch(r"[1-9]\d{0,2}\s*[.,]\s*\d{3}", written) is None


def _is_one(written: str) -> bool:
    """Whether digits are one number: between spaces stand thousands, not the amounts of two columns."""
    tight = re.sub(r"\s*([.,\u20ac])\s*", r"\1", written)
    return re.fullmatch(r"\S*|\d{1,3}( \d{3})+([.,\u20ac]\d*)?", tight) is not None


def _date(field: FieldSpec, text: str) -> Parsed:
    if field.date_order is not None:
        date = _day(text, field.date_order, field.languages)
        return Parsed(date, "not_a_date" if date is None else None)
    date, *others = [_day(text, order, field.languages) for order in ORDERS]
    if re.search(r"[^\W\d_]", text):  # a month by its name: nobody writes the year before it in two digits
        others.pop()
    differ = any(other not in (None, date) for other in others)
    return Parsed(date, "not_a_date" if date is None else "ambiguous_date" if differ else None)


def _day(text: str, order: DateOrder, languages: Sequence[str]) -> datetime.date | None:
    """The day that a text is, its numbers in this order where they could be in several; None: it is none."""
    import dateparser

    settings = {
        "DATE_ORDER": order,
        "PARSERS": ["absolute-time"],  # not "yesterday": the same page is the same date tomorrow
        "REQUIRE_PARTS": ["day", "month", "year"],
        "STRICT_PARSING": True,
    }
    date = dateparser.parse(text, languages=list(languages), settings=settings)
    return None if date is None else date.date()


def _choice(field: FieldSpec, text: str) -> Parsed:
    """The one choice that the text is. Signs tell choices apart, as in A+ and A-, so they stay."""
    for alike in (_spaced, _cased, _bare):
        found = {each for each in field.choices if alike(text) and alike(each) == alike(text)}
        if found:
            return Parsed(found.pop()) if len(found) == 1 else Parsed(None, "not_a_choice")
    return Parsed(None, "not_a_choice")


def _yes_no(field: FieldSpec, text: str) -> Parsed:
    said = _same(text)
    return Parsed(said in YES) if said in YES or said in NO else Parsed(None, "not_yes_or_no")


def _spaced(text: str) -> str:
    """A text with single spaces."""
    return " ".join(text.split())


def _cased(text: str) -> str:
    """A text with single spaces, and without case."""
    return _spaced(text).casefold()


def _bare(text: str) -> str:
    """A text with single spaces, without case, and without what sentences have at their ends."""
    return _cased(text).strip(STOPS)


def _same(text: str) -> str:
    """A text with single spaces, without case, and without what is no letter or digit at its ends."""
    return re.sub(r"^\W+|\W+$", "", _cased(text))


_READERS = {
    "text": _text,
    "number": _number,
    "date": _date,
    "money": _money,
    "choice": _choice,
    "yes/no": _yes_no,
}
