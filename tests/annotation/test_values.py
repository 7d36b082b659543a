"""Typed values: what is understood, and what is flagged; nothing is dropped."""

import datetime
from typing import Any

import pytest

from saccade.annotation.fields import FieldSpec
from saccade.annotation.values import Parsed, agrees, parse


def field(kind: str, **more: Any) -> FieldSpec:
    return FieldSpec(name="it", question="What?", type=kind, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "text", "value", "flag"),
    [
        ("text", "  ACME \n Ltd ", "ACME Ltd", None),
        ("number", "1,234.5", 1234.5, None),
        ("number", "1.234,5", 1234.5, None),
        ("number", "-7", -7.0, None),
        ("number", "seven", None, "not_a_number"),
        ("number", "4 items", 4.0, "other_text"),
        ("number", "0.125", 0.125, None),
        ("number", "-0,250", -0.25, None),
        ("number", ",50", 0.5, None),
        ("number", "1,234.567", 1234.567, None),
        ("number", "1.234,567", 1234.567, None),
        ("number", "1 234,567", 1234.567, None),
        ("number", "1'234.567", 1234.567, None),
        ("number", "1234.567", 1234.567, None),
        ("number", "1,234,567", 1234567.0, None),
        ("number", "1,234", 1234.0, None),
        ("number", "3.142", 3142.0, "ambiguous_number"),  # or 3.142
        ("number", "\u201312.5", -12.5, None),  # a dash is a minus
        ("number", "12 34", 1234.0, "other_text"),  # two numbers
        ("number", "12 345", 12345.0, None),
        ("number", "12 .50", 12.5, None),
        ("number", "7%", 7.0, "other_text"),
        ("number", "0,5 %", 0.5, "other_text"),
        ("number", "<5", 5.0, "other_text"),
        ("number", "9" * 400, None, "not_a_number"),  # beyond every float
        ("date", "25 MAR 2018", datetime.date(2018, 3, 25), None),
        ("date", "03/04/2018", datetime.date(2018, 4, 3), "ambiguous_date"),
        ("date", "04/04/2018", datetime.date(2018, 4, 4), None),
        ("date", "25/03/2018", datetime.date(2018, 3, 25), None),
        ("date", "25/03/18", datetime.date(2018, 3, 25), "ambiguous_date"),  # or 2025-03-18
        ("date", "25 MAR 18", datetime.date(2018, 3, 25), None),
        ("date", "31/12/99", datetime.date(1999, 12, 31), None),
        ("date", "2018-04-03", datetime.date(2018, 4, 3), None),
        ("date", "Mar 5, 2019 10:33 PM", datetime.date(2019, 3, 5), None),
        ("date", "31/02/2019", None, "not_a_date"),
        ("date", "yesterday", None, "not_a_date"),
        ("date", "3/2018", None, "not_a_date"),
        ("yes/no", "Yes.", True, None),
        ("yes/no", "n", False, None),
        ("yes/no", "perhaps", None, "not_yes_or_no"),
    ],
)
def test_values(kind: str, text: str, value: object, flag: str | None) -> None:
    assert parse(field(kind), text) == Parsed(value, flag)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RM 12.50", Parsed(12.5, None, "RM")),
        ("1.234,56 EUR", Parsed(1234.56, None, "EUR")),
        ("(12.50)", Parsed(-12.5)),
        ("$ -3", Parsed(-3.0, None, "$")),
        ("-CHF 3", Parsed(-3.0, None, "CHF")),
        ("1250.00- EUR", Parsed(-1250.0, None, "EUR")),
        ("12.50-", Parsed(-12.5)),
        ("CHF 12.-", Parsed(12.0, None, "CHF")),
        ("12. -", Parsed(12.0)),
        ("5,-", Parsed(5.0)),
        ("5.- EUR", Parsed(5.0, None, "EUR")),
        ("-12.-", Parsed(-12.0)),
        ("-1'250.50", Parsed(-1250.5)),
        ("(1'250.50)", Parsed(-1250.5)),
        ("CHF 1'250.50", Parsed(1250.5, None, "CHF")),
        ("CHF 1\u2019250\u2019000", Parsed(1250000.0, None, "CHF")),
        ("-35\u20ac 99", Parsed(-35.99, None, "\u20ac")),
        ("Rs.50", Parsed(50.0, None, "Rs")),
        ("Fr.12", Parsed(12.0, None, "Fr.")),
        ("RM.50", Parsed(0.5, None, "RM")),
        ("\u20ac 0.125", Parsed(0.125, None, "\u20ac")),
        ("1.234 \u20ac", Parsed(1234.0, None, "\u20ac")),
        ("KWD 1.250", Parsed(1250.0, "ambiguous_number", "KWD")),  # its cents are thousandths
        ("12.50 %", Parsed(12.5, "other_text")),
        ("2'3", Parsed(23.0, "other_text")),
        ("12.5O", Parsed(12.5, "other_text")),
        ("12.50 13.00", Parsed(None, "not_an_amount")),
        ("free", Parsed(None, "not_an_amount")),
    ],
)
def test_money(text: str, expected: Parsed) -> None:
    assert parse(field("money"), text) == expected


def test_the_order_of_a_date_is_the_fields() -> None:
    for order, day in (("DMY", 3), ("mdy", 4)):
        assert parse(field("date", date_order=order), "03/04/2018") == Parsed(datetime.date(2018, 7 - day, day))
    assert parse(field("date", date_order="YMD"), "18/04/03") == Parsed(datetime.date(2018, 4, 3))
    assert parse(field("date", languages=("de",)), "3. Dezember 2018").value == datetime.date(2018, 12, 3)


def test_a_choice_is_one_of_its_choices_as_they_are_written() -> None:
    kind = field("choice", choices=("Invoice", "Credit note"))
    assert parse(kind, "credit  NOTE.") == Parsed("Credit note")
    assert parse(kind, "letter") == Parsed(None, "not_a_choice")


@pytest.mark.parametrize("choices", [("A+", "A-"), ("<18", ">18"), ("C", "C++"), ("a", "A"), ("+", "yes")])
def test_choices_that_differ_by_signs_or_case_are_told_apart(choices: tuple[str, str]) -> None:
    kind = field("choice", choices=choices if choices != ("a", "A") else ("a", "A", "b"))
    assert [parse(kind, each) for each in choices] == [Parsed(each) for each in choices]


def test_a_text_that_could_be_either_of_two_choices_is_neither() -> None:
    assert parse(field("choice", choices=("A+", "A-")), "A.") == Parsed(None, "not_a_choice")
    assert parse(field("choice", choices=("A+", "B")), "A-") == Parsed(None, "not_a_choice")
    assert parse(field("choice", choices=("+", "yes")), "...") == Parsed(None, "not_a_choice")
    assert parse(field("choice", choices=("Credit  note", "C")), "credit note") == Parsed("Credit  note")


def test_a_pattern_holds_for_the_whole_text() -> None:
    coded = field("text", pattern=r"[A-Z]{2}-\d+")
    assert parse(coded, "AB-12") == Parsed("AB-12")
    assert parse(coded, "AB-12 x") == Parsed("AB-12 x", "pattern")


def test_nothing_is_missing_where_it_is_required() -> None:
    assert parse(field("date"), " ") == Parsed(None, "missing")
    assert parse(field("date", required=False), "") == Parsed(None)


@pytest.mark.parametrize(
    "answer, accepted, same",
    [
        ("9.00", "38.00", False),
        ("RM 38", "38.00", True),
        ("-5", "5", False),
        ("0.125", "125", False),
        ("6%", "5 %", False),
        ("5", "5%", True),
        ("", "38.00", False),
        ("3 March 2018", "03/03/2018", True),
        ("2018-04-03", "03/04/2018", True),  # read as day and month or as month and day, both alike
        ("04/04/2018", "03/04/2018", False),
        ("a shop", "03/04/2018", False),
        ("38.00", "a shop", None),
        ("INV-38", "INV-39", None),
    ],
)
def test_numbers_and_dates_agree_however_they_are_written(answer: str, accepted: str, same: bool | None) -> None:
    assert agrees(answer, accepted) is same
