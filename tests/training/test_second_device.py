"""Trainings of small modules with the model on another device than the pages, in the precision that it has there."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from pipelines.commands import app as cli
from saccade.engines import hf
from saccade.heads.files import save
from saccade.heads.scoring import KINDS
from saccade.training import compression, levels, projection
from tests import tiny
from tests.second_device import second_device

SIZES = ["--keep", "8", "--read", "2"]
TRAININGS = {
    "head": ["head", *SIZES],
    "mlp": ["head", *SIZES, "--kind", "mlp", "--levels", "2", "--loss", "ranking"],
    "cross": ["head", *SIZES, "--kind", "cross", "--at", "before", "--loss", "bce"],
    "reading": ["head", *SIZES, "--teacher", "reading"],
    "attention": ["head", *SIZES, "--teacher", "attention", "--glimpse", "16"],
    "reward": ["head", *SIZES, "--reward", "--draws", "2", "--budgets", "4,8", "--clip", "0.2", "--epochs", "2"],
    "joint": [
        "joint",
        "--levels",
        "2",
        "--most",
        "8",
        "--least",
        "4",
        "--weights",
        "0.1",
        "--batch",
        "1",
        "--read",
        "2",
    ],
    "budget": ["budget", "--budgets", "4,8", "--scorer", "edges", "--target", "6"],
    "keep": ["keep", "--read", "2"],
    "gates": ["gates", "--r", "2", "--read", "2"],
}


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_runs_with_the_model_elsewhere(name: str, tmp_path: Path, qwen2_5_vl: Path) -> None:
    words = ["train", *TRAININGS[name], "--model", str(qwen2_5_vl), "--steps", "2", "--page-px", "256"]
    words += ["--set", "dataset.num_pages=3", "--set", "dataset.questions_per_page=2", "--set", "engine.max_new_tok=3"]
    words += ["--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "out"), "--set", "engine.device=cuda"]
    if name in ("reward", "joint"):
        save(KINDS["late"]("after", 128, 128), tmp_path / "late")
        words += ["--init", str(tmp_path / "late")]
    with second_device():
        done = CliRunner().invoke(cli.app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output


MODULES = {
    "autoencoder": (compression, ["autoencoder", "--code", "4"]),
    "resampler": (compression, ["resampler", "--queries", "8"]),
    "allocator": (levels, ["--what", "allocator", "--levels", "2", "--keep", "9"]),
    "crosslevel": (levels, ["--what", "crosslevel", "--levels", "2", "--keep", "9"]),
    "filters": (levels, ["--what", "filters", "--levels", "2", "--keep", "9"]),
    "projection": (projection, []),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_trains_with_the_model_elsewhere(
    name: str, tmp_path: Path, qwen2_5_vl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, words = MODULES[name]
    words = [*words, "--model", str(qwen2_5_vl), "--steps", "2", "--pages", "2", "--page-px", "256"]
    if name == "autoencoder":
        words += ["--read", "1"]
    if name == "projection":
        words += ["--vit", str(tiny.vit(tmp_path / "vit"))]
    monkeypatch.setattr(hf, "resolved_device", lambda device: torch.device("cuda"))  # that of a machine with one
    with second_device():
        module.main([*words, "--out", str(tmp_path / "out")])
