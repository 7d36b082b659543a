"""Checkpoint folders as broken downloads leave them: one line that names the file."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from saccade.engines import checkpoint
from saccade.engines._answers import Speech
from saccade.engines._completeness import check
from saccade.engines._configuration import model_type
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.metrics.calibration import Calibration

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the bundled checkpoint."""
    return Path(shutil.copytree(checkpoint("nano"), tmp_path / "nano"))


def sharded(folder: Path) -> None:
    """The weights in two files and an index."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = sorted(weights)
    placed = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file({name: weights[name] for name in part}, folder / file, {"format": "pt"})
        placed |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": placed}))


FILES = ("config.json", "tokenizer.json", "preprocessor_config.json", "model.safetensors")


@pytest.mark.parametrize("name", [*FILES, "tokenizer_config.json", "generation_config.json", "saccade.json"])
@pytest.mark.parametrize("how", ["pointer", "empty", "cut short"])
def test_every_file_that_is_damaged_is_named(folder: Path, name: str, how: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes({"pointer": LFS.encode(), "empty": b"", "cut short": whole[: len(whole) // 2]}[how])
    said = {"pointer": "is a Git LFS pointer", "empty": "is empty", "cut short": "cut short"}[how]
    with pytest.raises(ConfigError, match=f"nano/{name} .*{said}|nano/{name} {said}") as caught:
        with HF(model=str(folder)).open():
            pass
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("name", FILES)
def test_every_file_that_is_missing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ConfigError, match=f"nano/{name} is missing"):
        model_type(str(folder))


def test_shards(folder: Path) -> None:
    sharded(folder)
    with HF(model=str(folder)).open():
        pass
    second = folder / "model-00002-of-00002.safetensors"
    whole = second.read_bytes()
    second.write_bytes(whole[:-5])
    with pytest.raises(
        ConfigError, match=f"00002.safetensors is cut short: {len(whole) - 5:,} bytes of {len(whole):,}"
    ):
        check(str(folder))
    second.write_text(LFS)
    with pytest.raises(ConfigError, match="model-00002-of-00002.safetensors is a Git LFS pointer"):
        check(str(folder))
    save_file({"other": torch.zeros(2)}, second)
    with pytest.raises(ConfigError, match="model-00002-of-00002.safetensors lacks '.*' and .* more weights"):
        check(str(folder))
    second.unlink()
    with pytest.raises(ConfigError, match="model-00002-of-00002.safetensors is missing, which model.safetensors.index"):
        check(str(folder))
    (folder / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ConfigError, match="index.json says of no weight where it is"):
        check(str(folder))


def test_weights_that_are_missing_are_not_made_up(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    lost = sorted(weights)[3]
    save_file({name: weights[name] for name in weights if name != lost}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match="lacks weights that its config.json wants: .*download the checkpoint again"):
        with HF(model=str(folder)).open():
            pass
    weights[lost] = torch.zeros(2, 3)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError, match="does not load: "):
        with HF(model=str(folder)).open():
            pass


@pytest.mark.parametrize(
    "content", [b"\xff" * 100, b"\x02\0\0\0\0\0\0\0[]", b"\x09\0\0\0\0\0\0\0not json!", b"PK\x03\x04"]
)
def test_weights_that_are_something_else(folder: Path, content: bytes) -> None:
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match="model.safetensors is (cut short or )?no safetensors file"):
        check(str(folder))


def test_pickles_are_not_loaded(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="pytorch_model.bin is a pickle, which may run any program"):
        check(str(folder))


def test_folders_that_are_none(tmp_path: Path) -> None:
    check("Qwen/Qwen2.5-VL-7B-Instruct")
    with pytest.raises(ConfigError, match="is empty"):
        check(str(tmp_path))
    (tmp_path / "snapshots" / "abc").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"config.json is missing: .*give the one in snapshots/"):
        check(str(tmp_path))


def test_tiny_checkpoints_of_tests_are_whole(qwen2_5_vl: Path) -> None:
    check(str(qwen2_5_vl))
    check(checkpoint("nano"))


def test_an_empty_answer_is_never_sure() -> None:
    words = {5: "42", 6: " ", 7: ""}
    tokenizer = SimpleNamespace(
        convert_tokens_to_ids=lambda _: None,
        unk_token_id=None,
        eos_token_id=1,
        decode=lambda ids, **_: "".join(words[i] for i in ids),
    )
    speech = Speech.of(tokenizer, 1, 100, 10)
    counts = {"visual_tok": 1, "cached_tok": 0, "prefill_tok": 1, "seconds": 0.0}
    for ids in ([], [6], [7, 6]):
        answer = speech.answer(ids, [-0.01] * (len(ids) + 1), None, Calibration(), **counts)
        assert (answer.text, answer.confidence) == ("", 0.0)
    sure = speech.answer([5], [-0.01, -0.01], None, Calibration(), **counts)
    long = speech.answer([5] * 50, [-0.01] * 51, None, Calibration(), **counts)
    assert sure.readable and sure.confidence > 0.98
    assert long.confidence == pytest.approx(sure.confidence)  # per token, however long


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "nano/chat_template.jinja is missing"),
        ("", r"nano/chat_template.jinja is empty \(0 bytes\)"),
        (LFS, "nano/chat_template.jinja is a Git LFS pointer"),
        ("{% for message in messages %}<|im_st", r"chat template of '.*nano' is broken .*\(TemplateSyntaxError: "),
    ],
)
def test_a_chat_template_that_is_missing_or_damaged_is_named(folder: Path, content: str | None, said: str) -> None:
    (folder / "chat_template.jinja").unlink()
    if content is not None:
        (folder / "chat_template.jinja").write_text(content)
    with pytest.raises(ConfigError, match=said) as caught:
        with HF(model=str(folder)).open():
            pass
    assert "download the checkpoint again" in str(caught.value) and "\n" not in str(caught.value)
