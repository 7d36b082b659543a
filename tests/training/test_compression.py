"""The command that trains a resampler or an autoencoder, on the bundled model's tokens of small pages."""

import json
from pathlib import Path

import pytest

from saccade.engines.hf import HF
from saccade.heads.files import CARD
from saccade.picture import Picture
from saccade.training.compression import main
from tests import tiny


def test_trained_is_better_than_untrained_and_is_used(tmp_path: Path) -> None:
    small = ["--pages", "4", "--page-px", "256", "--out"]
    few = main(["resampler", "--queries", "24", "--steps", "30", *small, str(tmp_path / "few")])
    assert few["lost"] < few["lost_untrained"]
    codec = main(["autoencoder", "--code", "4", "--steps", "60", *small, str(tmp_path / "codec")])
    assert codec["lost"] < codec["lost_untrained"] < 1, "no better than the best linear codec on pages not trained on"
    assert json.loads((tmp_path / "codec" / CARD).read_text())["notes"] == {k: codec[k] for k in codec if k != "folder"}
    assert len((tmp_path / "codec" / "curve.jsonl").read_text().splitlines()) == 60
    page = Picture.open(tiny.page(256, 256))
    with HF(reduction={"name": "resampler", "weights": str(tmp_path / "few")}).open() as engine:
        assert len(engine.encode([engine.prepare(page)])[0]) == 24
    with HF(reduction={"name": "autoencoder", "weights": str(tmp_path / "codec")}).open() as engine:
        rebuilt = engine.encode([engine.prepare(page)])[0]
    with HF().open() as engine:
        whole = engine.encode([engine.prepare(page)])[0]
    assert rebuilt.tokens.shape == whole.tokens.shape and not rebuilt.tokens.equal(whole.tokens)
    assert rebuilt.fingerprint != whole.fingerprint


def test_a_kind_that_is_not(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["perceiver", "--out", str(tmp_path)])


def test_answers_with_and_without_it(qwen2_5_vl: Path, tmp_path: Path) -> None:
    small = ["--pages", "2", "--page-px", "256", "--steps", "3", "--code", "4", "--read", "2"]
    report = main(["autoencoder", "--model", str(qwen2_5_vl), *small, "--out", str(tmp_path)])
    assert list(report["answers"]) == ["as they are", "untrained", "trained"]
    assert json.loads((tmp_path / CARD).read_text())["notes"]["answers"] == report["answers"]
