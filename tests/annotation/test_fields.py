"""Fields from YAML: what is read, and what is refused with a message that says why."""

from pathlib import Path

import pytest

from saccade.annotation.fields import FieldList, FieldSpec, read_fields
from saccade.errors import ConfigError

RECEIPTS = Path(__file__).parents[2] / "configs" / "annotate" / "receipts.yaml"


def test_the_example_is_read() -> None:
    fields = read_fields(RECEIPTS)
    assert [(field.name, field.type) for field in fields] == [
        ("company", "text"),
        ("date", "date"),
        ("address", "text"),
        ("total", "money"),
    ]
    assert fields[1].date_order == "DMY"
    assert fields[3].columns == ("total", "total_text", "total_confidence", "total_box", "total_flag", "total_currency")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fields: 3", "must hold `fields:`"),
        ("- name: a", "must hold `fields:`"),
        ("fields: []", "at least one is needed"),
        ("fields: [{name: a b, question: 'What?'}]", "name"),
        ("fields: [{name: a}]", "question"),
        ("fields: [{name: a, question: 'What?', typ: text}]", "typ"),
        ("fields: [{name: a, question: 'What?', type: colour}]", "type"),
        ("fields: [{name: a, question: 'What?', pattern: '('}]", "no regular expression"),
        ("fields: [{name: a, question: 'What?', pattern: '(?=a)b'}]", "held to '..=a.b' .*look-around"),
        ("fields: [{name: a, question: 'What?', type: choice, choices: [x]}]", "at least two"),
        ("fields: [{name: a, question: 'What?', type: choice, choices: [yes, no]}]", "in quotes"),
        ("fields: [{name: a, question: 'What?', choices: [x, y]}]", "choices go with type: choice"),
        ("fields: [{name: a, question: 'What?'}, {name: a, question: 'Who?'}]", "already one of the field 'a'"),
        ("fields: [{name: a, question: 'What?'}, {name: a_box, question: 'Who?'}]", "already one of the field 'a'"),
        ("fields: [{name: page, question: 'What?'}]", "already one of the page"),
        ("fields: [{name: a, question: 'What?', type: date, date_order: DYM}]", "date_order.*'DMY', 'MDY' or 'YMD'"),
        ("fields: [total]", "must hold `fields:`"),
        ("fields: {total: 'What?'}", "must hold `fields:`"),
        ("fields: [{name: a, question: 'What?', type: choice, choices: yes}]", "choices: .*write a list, as in"),
        ("fields: [", "is not YAML"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "fields.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_fields(tmp_path / "fields.yaml")
    assert "fields.yaml" in str(caught.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the fields .*No such file"):
        read_fields(tmp_path / "none.yaml")


def test_a_choice_is_asked_with_its_choices() -> None:
    field = FieldSpec(name="kind", question="What is it?", type="choice", choices=("a", "b"))
    assert field.asked == "What is it? Answer with one of: a, b."
    assert FieldList(fields=(field,)).fields == (field,)
