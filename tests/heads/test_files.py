"""Trained modules in folders: back as they went, refused where they are not what was asked for."""

import json
import os
from pathlib import Path
from typing import Annotated

import pytest
import torch
from torch import nn

from saccade.errors import ConfigError
from saccade.heads.files import CARD, WEIGHTS, holds, load, load_cached, save
from saccade.registry import Strategy


class Scale(nn.Module):
    """A weight a channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.sizes = {"width": width}
        self.weight = nn.Parameter(torch.arange(float(width)))


class Other(Scale):
    """Of the same shape."""


class Setting(Strategy):
    """Something with a trained part."""

    weights: Annotated[str | None, holds(Scale)] = None


def test_back_as_it_went(tmp_path: Path) -> None:
    save(Scale(3), tmp_path / "a", steps=7)
    again = load(Scale, tmp_path / "a")
    assert again.weight.tolist() == [0, 1, 2] and not again.training
    assert json.loads((tmp_path / "a" / CARD).read_text()) == {
        "kind": "Scale",
        "sizes": {"width": 3},
        "notes": {"steps": 7},
    }


def test_opened_once_and_again_when_written_again(tmp_path: Path) -> None:
    save(Scale(3), tmp_path)
    first = load_cached(Scale, str(tmp_path))
    assert load_cached(Scale, str(tmp_path)) is first and not first.weight.requires_grad
    save(Scale(4), tmp_path)
    os.utime(tmp_path / WEIGHTS, ns=(1, 1))  # however coarse the clock of the file system is
    assert load_cached(Scale, str(tmp_path)).weight.shape == (4,)


@pytest.mark.parametrize("card", ["", "[]", "[1]", "3", '{"kind": "Scale"', "null"])
def test_a_damaged_card(tmp_path: Path, card: str) -> None:
    save(Scale(3), tmp_path)
    (tmp_path / CARD).write_text(card)
    with pytest.raises(ConfigError, match="holds no Scale|holds a None, not a Scale"):
        load(Scale, tmp_path)


def test_what_does_not_fit(tmp_path: Path) -> None:
    save(Scale(3), tmp_path)
    with pytest.raises(ConfigError, match="holds a Scale, not a Other"):
        load(Other, tmp_path)
    (tmp_path / CARD).write_text('{"kind": "Scale", "sizes": {"width": 4}}')
    with pytest.raises(ConfigError, match="the Scale in .* does not fit its sizes"):
        load(Scale, tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"damaged")
    with pytest.raises(ConfigError, match=f"holds no Scale: it needs {CARD} and {WEIGHTS}"):
        load(Scale, tmp_path)


def test_a_setting_is_refused_before_anything_starts(tmp_path: Path) -> None:
    save(Scale(3), tmp_path)
    assert Setting(weights=str(tmp_path)).weights == str(tmp_path) and Setting().weights is None
    with pytest.raises(ConfigError, match="/nowhere holds no Scale"):
        Setting(weights="/nowhere")
    with pytest.raises(ConfigError, match="no folder '~nobody-of-that-name/x'"):
        Setting(weights="~nobody-of-that-name/x")
