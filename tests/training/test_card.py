"""The card's scores: every view of every run in a row, and a table of them."""

import json
from pathlib import Path

import pytest
from torch import nn

from saccade.training import card
from saccade.training.card import CLEAN, RUNS, SAID, WORDED, WORN, Run
from saccade.training.dense import dense_head
from saccade.training.model import SIZES, build_model
from saccade.training.nano import export


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = build_model(SIZES["tiny"])
    head: nn.Module = dense_head(model.config.text_config.hidden_size)
    export(model, head, tmp_path)
    return tmp_path


def test_a_row_for_every_view(checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    runs = (Run(CLEAN, 256, 1, ("all", "look@20")), Run(WORN, 256, 1, ("ink:8",)), Run(WORDED, 256, 1, ("ink:8",)))
    monkeypatch.setattr(card, "RUNS", runs)
    monkeypatch.setattr("saccade.training.evaluate.SHEETS", 1)
    card.main(["--checkpoint", str(checkpoint)])
    written = json.loads((checkpoint / "scores.json").read_text())
    rows = [(row["print"], row["view"]) for row in written["runs"]]
    assert rows == [(CLEAN, "all"), (CLEAN, "look@20"), (WORN, "ink:8")], "no words were given"
    assert all(row["n"] > 0 and 0 <= row["anls"] <= 1 for row in written["runs"])
    assert set(written["characters"]) == {CLEAN, WORN} and written["command"].endswith(str(checkpoint))
    table = capsys.readouterr().out.strip()
    assert table == card.to_markdown(written) and len(table.splitlines()) == 2 + len(rows)
    assert table.splitlines()[2].startswith("| 256 | clean | all tokens |")


def test_every_view_of_the_card_has_words() -> None:
    assert {view for run in RUNS for view in run.views} == set(SAID)
