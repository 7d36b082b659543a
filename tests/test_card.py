"""What is measured about a checkpoint, and what it changes."""

import json
import math
from pathlib import Path

import pytest

from saccade.card import CARD_FILE, Card
from saccade.errors import ConfigError


def test_a_checkpoint_without_one_is_believed_as_it_is(tmp_path: Path) -> None:
    for file in (None, tmp_path / "none.json"):
        card = Card.load(file)
        assert card.print_px == 0 and card.confidence([math.log(0.123)]) == pytest.approx(0.123)


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / CARD_FILE
    file.write_text(json.dumps({"print_px": 7, "confidence": {"mean": 2.0, "data": "any"}, "data": {"any": "thing"}}))
    card = Card.load(file)
    assert card.print_px == 7 and card.confidence([math.log(0.8)]) == pytest.approx(0.8**2 / (0.8**2 + 0.2**2))


WRONG = (
    "[]", "{}", "{", '{"mean": 2.0, "least": 0.0}', '{"print_px": Infinity}', '{"print_px": -1}',
    '{"print_px": "large"}', '{"confidence": {"mean": -1}}',
)  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_a_file_that_is_none_of_these_says_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / CARD_FILE
    file.write_text(text)
    with pytest.raises(ConfigError, match="saccade train calibration") as told:
        Card.load(file)
    assert str(file) in str(told.value) and "\n" not in str(told.value)
