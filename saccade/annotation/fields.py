"""Fields: what `saccade annotate` asks of every page, and what an answer must be.

    fields:
      - name: total
        question: What is the total amount?
        type: money
      - name: kind
        question: What kind of document is this?
        type: choice
        choices: [invoice, receipt, letter]
        required: false
      - name: date
        question: What is the date?
        type: date
        date_order: DMY

A field's name becomes columns of the data set: `total`, `total_text`, `total_confidence`, `total_box`, `total_flag`.
"""

import re
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from saccade.annotation.patterns import why_not
from saccade.errors import ConfigError
from saccade.registry import validation_text
from saccade.settings import Settings

DateOrder = Literal["DMY", "MDY", "YMD"]
Kind = Literal["text", "number", "date", "money", "choice", "yes/no"]

PAGE_COLUMNS = ("image", "page", "width", "height", "review", "reviewed")
"""Columns of a page that are of no field."""

MONEY = "currency"
"""The column that money has beside those of every field."""

ENDINGS = ("text", "confidence", "box", "flag")
"""Columns of a field beside its value: `total_text` is what was read, `total` is it as a number."""


class FieldSpec(Settings):
    """One field: its name, what is asked, and what an answer must be."""

    name: str = Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", description="Letters, digits and _: it names columns.")
    question: str = Field(min_length=1, description="What is asked of every page.")
    type: Kind = Field("text", description="text, number, date, money, choice or yes/no.")
    pattern: str | None = Field(
        None, description="A regular expression of the whole answer; one that does not match is read again, held to it."
    )
    choices: tuple[str, ...] = Field((), description="The allowed answers of a choice.")
    required: bool = Field(True, description="A page without a value needs review.")
    date_order: DateOrder | None = Field(
        None, description="How 03/04/2024 is read: DMY, MDY or YMD. None: day first, with the flag ambiguous_date."
    )
    languages: tuple[str, ...] = Field(("en",), description="Languages of the names of months (ISO 639-1).")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from error
        if value and (reason := why_not(value)):
            raise ValueError(
                f"no answer can be held to {value!r} while it is written: {reason}. Write it without look-around, "
                "back-references and \\b"
            )
        return value

    @field_validator("date_order", mode="before")
    @classmethod
    def _capitals(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("choices", "languages", mode="before")
    @classmethod
    def _texts(cls, value: object) -> object:
        """YAML reads `no` and `1` as other things than text; a choice is what is written."""
        if isinstance(value, list | tuple) and any(isinstance(each, bool) for each in value):
            raise ValueError("put yes, no, true and false in quotes, or give type: yes/no")
        if not isinstance(value, list | tuple):
            raise ValueError("write a list, as in [invoice, receipt]")
        return [str(each) for each in value]

    @model_validator(mode="after")
    def _fits(self) -> "FieldSpec":
        if self.type == "choice" and len({each.casefold().strip() for each in self.choices}) < 2:
            raise ValueError("a choice needs at least two different choices")
        if self.type != "choice" and self.choices:
            raise ValueError(f"choices go with type: choice; this field has type {self.type}")
        return self

    @property
    def asked(self) -> str:
        """The question as it is asked: one with choices lists them."""
        return f"{self.question} Answer with one of: {', '.join(self.choices)}." if self.choices else self.question

    @property
    def allowed(self) -> tuple[str, ...]:
        """The texts that an answer must be one of; (): any."""
        return ("yes", "no") if self.type == "yes/no" else self.choices

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data set that are this field's, its value first."""
        money = (MONEY,) if self.type == "money" else ()
        return self.name, *(f"{self.name}_{ending}" for ending in (*ENDINGS, *money))


class FieldList(Settings):
    """The fields of one data set; no two have a column in common."""

    fields: tuple[FieldSpec, ...]

    @model_validator(mode="after")
    def _distinct(self) -> "FieldList":
        if not self.fields:  # here: pydantic's own limit would complain as well of each field that is wrong
            raise ValueError("there is no field: at least one is needed")
        taken: dict[str, str] = dict.fromkeys(PAGE_COLUMNS, "the page")
        for field in self.fields:
            for column in field.columns:
                if column in taken:
                    raise ValueError(f"field {field.name!r}: the column {column!r} is already one of {taken[column]}")
                taken[column] = f"the field {field.name!r}"
        return self


def read_fields(path: Path) -> tuple[FieldSpec, ...]:
    """The fields of a YAML file.

    Raises:
        ConfigError: no such file, not YAML, or a field is wrong; the message says which, and what is allowed.
    """
    try:
        loaded = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"cannot read the fields {str(path)!r}: {error.strerror or error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    listed = loaded.get("fields") if isinstance(loaded, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ConfigError(
            f"{path} must hold `fields:` and below it a list of `- name: total`, `question: What is the total?`, "
            f"`type: money`; it holds {loaded!r:.80}"
        )
    try:
        return FieldList(**loaded).fields
    except ValidationError as error:
        known = ", ".join(FieldSpec.model_fields)
        raise ConfigError(f"{path}: {validation_text(error)}. A field has: {known}") from error
