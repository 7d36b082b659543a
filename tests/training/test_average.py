"""The mean of checkpoints: by hand, on the bundled model, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from saccade.engines import checkpoint
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.training.average import average, main


def test_by_hand() -> None:
    a, b = {"w": torch.tensor([1.0, 3.0])}, {"w": torch.tensor([5.0, -1.0])}
    assert average([a, b], [1, 1])["w"].tolist() == [3.0, 1.0]
    assert average([a, b], [3, 1])["w"].tolist() == [2.0, 2.0]
    assert torch.equal(average([a], [0.2])["w"], a["w"])


@pytest.mark.parametrize(
    ("other", "weights", "said"),
    [
        ({"w": torch.zeros(3)}, [1, 1], "w is not the same"),
        ({"v": torch.zeros(2)}, [1, 1], "v is not the same"),
        ({"w": torch.zeros(2)}, [1, -1], "none below 0"),
        ({"w": torch.zeros(2)}, [0, 0], "not all 0"),
    ],
)
def test_what_has_no_mean_is_refused(other: dict[str, torch.Tensor], weights: list[float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        average([{"w": torch.zeros(2)}, other], weights)


def test_the_command_writes_a_checkpoint_that_opens(tmp_path: Path) -> None:
    """Two checkpoints that lie on both sides of the bundled one."""
    bundled = Path(checkpoint("nano"))
    own, name = load_file(bundled / "model.safetensors"), "model.language_model.norm.weight"
    name = name if name in own else next(key for key in own if key.endswith("norm.weight"))
    for folder, by in (("a", 0.5), ("b", -0.5)):
        shutil.copytree(bundled, tmp_path / folder)
        moved = {**own, name: own[name] + by}
        save_file(moved, tmp_path / folder / "model.safetensors", metadata={"format": "pt"})
        with np.load(bundled / "dense_head.npz") as head:
            np.savez(tmp_path / folder / "dense_head.npz", **{key: head[key] + np.float16(by) for key in head.files})
    main([str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "mean")])
    made = load_file(tmp_path / "mean" / "model.safetensors")
    assert made.keys() == own.keys()
    for key, value in own.items():
        torch.testing.assert_close(made[key].float(), value.float(), atol=2e-2 if key == name else 0, rtol=0)
    with np.load(tmp_path / "mean" / "dense_head.npz") as head, np.load(bundled / "dense_head.npz") as before:
        assert all(np.allclose(head[key], before[key], atol=2e-3) for key in before.files)
    with HF(model=str(tmp_path / "mean")).open() as engine:
        assert engine.family.gaze is None, "a gaze belongs to one checkpoint's weights"


def test_a_wrong_folder_or_too_few_weights_end_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for line, said in (
        ([str(tmp_path), "--out", str(tmp_path / "x")], "no config.json"),
        ([checkpoint("nano"), "--weights", "1,2", "--out", str(tmp_path / "x")], "2 numbers for 1 checkpoints"),
        ([checkpoint("nano"), "--weights", "one", "--out", str(tmp_path / "x")], "could not convert"),
    ):
        with pytest.raises(SystemExit):
            main([str(each) for each in line])
        assert said in capsys.readouterr().err
        assert not (tmp_path / "x").exists(), "nothing is left of what was refused"
