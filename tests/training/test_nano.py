"""Training resumes exactly, refuses validation seeds, and its result is a checkpoint that can be trained on."""

import os
import signal
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from saccade.datasets.synthdoc import VALIDATION_SEED, SynthDoc
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.training import loop, nano
from saccade.training.evaluate import evaluate, summary
from saccade.training.model import SIZES, build_model, load_model, save_model
from saccade.training.nano import NanoTraining, train

TINY = {"size": "tiny", "crops": 4, "pages": 1, "device": "cpu", "processes": 1, "dense_steps": 4, "point_steps": 4}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads on a busy machine wait for each other more than they work."""
    monkeypatch.setattr(nano, "num_cpus", lambda: 1)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in load_model(folder).state_dict().items()}


def test_four_steps_are_two_and_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = NanoTraining(**TINY, joint_steps=4)
    whole = weights(train(config, tmp_path / "whole"))
    done = 0
    original = loop.set_rate

    def counting(*args: object, **kwargs: object) -> None:
        nonlocal done
        done += 1
        if done in (2, 7):  # in the dense phase, and in the point phase of the second run
            os.kill(os.getpid(), signal.SIGINT)
        original(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "set_rate", counting)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(config, tmp_path / "parts")
    parts = weights(train(config, tmp_path / "parts"))
    assert done == 12, "no step was done twice"
    for name, value in whole.items():
        assert torch.equal(parts[name], value), name


def test_training_goes_on_from_a_checkpoint(tmp_path: Path) -> None:
    first = train(NanoTraining(**TINY | {"point_steps": 0}, joint_steps=1), tmp_path / "a")
    config = NanoTraining(
        **TINY | {"dense_steps": 0, "point_steps": 0}, joint_steps=1, init=str(first), joint_rate=1e-9
    )
    second = train(config, tmp_path / "b")
    for name, value in weights(first).items():
        torch.testing.assert_close(weights(second)[name], value, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"device": "cuda"}, "no device 'cuda' here: torch sees 0 GPUs"),
        ({"init": "nowhere"}, r"no checkpoint to start from in 'nowhere' \(--init\)"),
        ({"fonts": "nowhere"}, "there is no folder 'nowhere' of fonts"),
    ],
)
def test_what_is_not_there_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], text: str
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match=text):
        train(NanoTraining(**TINY | {"processes": 0} | settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_validation_seeds_are_refused() -> None:
    with pytest.raises(ValidationError, match="seed"):
        NanoTraining(seed=VALIDATION_SEED)


def test_evaluation_counts_every_question(tmp_path: Path) -> None:
    save_model(build_model(SIZES["tiny"]), tmp_path)
    views = ["all", "ink", "resize@64", "near@50", "look@20", "away@50"]
    with HF(model=str(tmp_path)).open() as engine:
        results = evaluate(engine, SynthDoc(page_px=256, num_pages=1), views)
        small = evaluate(engine, SynthDoc(page_px=512, num_pages=1), ["ink", "ink:6", "ink:99"])
    tokens = {r["view"]: r["visual_tok"] for r in results}
    assert tokens["near@50"] == tokens["away@50"] == 50 and tokens["look@20"] == 20
    assert tokens["resize@64"] <= 64 < tokens["all"] > tokens["ink"] > 0
    assert summary(results, "all")["n"] == len(results) / 6
    in_view = {view: [r["in_view"] for r in results if r["view"] == view] for view in views}
    as_it_is, shrunk, large = ([r["visual_tok"] for r in small if r["view"] == v] for v in ("ink", "ink:6", "ink:99"))
    assert as_it_is == large and shrunk < as_it_is
    assert all(in_view["all"]) and all(in_view["resize@64"]) and not any(in_view["away@50"])
