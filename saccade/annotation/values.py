"""Turns an answer into a typed value, with a flag where it does not fit. The answer itself is kept beside it."""

import datetime
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
    "not_a_choice",
    "not_yes_or_no",
    "other_text",  # a number was found, and other words beside it
    "unsure",  # it fits, and the confidence is below --review-below
]
Typed = str | float | bool | datetime.date | None

STOPS = " .,;:!?\"'()[]{}«»„“”‘’…"
ORDERS: tuple[DateOrder, ...] = ("DMY", "MDY", "YMD")
"""Of the numbers of a date; the first where a field does not say."""

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
    wanted, _, other = _amount(accepted)
    if wanted is not None and not other:
        return _amount(answer)[0] == wanted
    dates = [(_day(answer, order, ("en",)), _day(accepted, order, ("en",))) for order in ORDERS]
    if all(wanted is None for _, wanted in dates):
        return None
    return any(said is not None and said == wanted for said, wanted in dates)


def _text(field: FieldSpec, text: str) -> Parsed:
    return Parsed(text)


def _number(field: FieldSpec, text: str) -> Parsed:
    amount, currency, other = _amount(text)
    flag: Flag | None = "not_a_number" if amount is None else "other_text" if other or currency else None
    return Parsed(amount, flag)


def _money(field: FieldSpec, text: str) -> Parsed:
    amount, currency, other = _amount(text)
    return Parsed(amount, "not_an_amount" if amount is None else "other_text" if other else None, currency)


def _amount(text: str) -> tuple[float | None, str | None, bool]:
    """The one number of a text, its currency, and whether there are other words or digits beside them."""
    from price_parser import Price

    text = re.sub(r"(?<=\d)['\u2019](?=\d{3}(?!\d))", "", text)  # Swiss thousands, which the parser reads or not
    price = Price.fromstring(text)
    if price.amount is None or price.amount_text is None or not any(map(str.isdigit, text)):  # "free" is read as 0
        return None, price.currency, True
    written = r"\s*".join(map(re.escape, price.amount_text.rstrip(",. ")))  # the parser drops some spaces
    before, after = (re.split(written, text, maxsplit=1) + [""])[:2]
    if price.currency:  # once: a second one is another word
        before, _, after = f"{before}\0{after}".replace(price.currency, " ", 1).partition("\0")
    minus = r"[-\u2212]\W*$"
    cents = re.match(r"\s*[.,]", after)  # the dash of "12.-" stands for them
    negative = re.search(minus, before) or (not cents and re.match(rf"\W*{minus}", after))
    bracketed = before.lstrip()[:1] + after.rstrip()[-1:] == "()"
    amount = float(-price.amount if negative or bracketed else price.amount)
    return amount, price.currency, any(map(str.isalnum, before + after))


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
