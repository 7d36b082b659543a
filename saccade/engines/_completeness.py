"""Checks that a checkpoint folder is complete before anything loads it: one line that names the file at fault.

Downloads break off, `git clone` without LFS leaves pointers, people forget the tokenizer. transformers then shows a
traceback of its parsers, or says nothing and fills missing weights with random numbers.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from saccade.errors import ConfigError

AGAIN = "download the checkpoint again"
POINTER = b"version https://git-lfs"
TOKENIZERS = (("tokenizer.json",), ("vocab.json", "merges.txt"), ("tokenizer.model",))
"""Files that make a tokenizer, any of these."""
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
MOST_HEADER_BYTES = 100_000_000  # of a safetensors file, as its format limits it


def check(path: str) -> None:
    """Looks at the files of a checkpoint folder, not at all of their content. A name on the hub passes.

    Raises:
        ConfigError: a file is missing, a pointer, cut short or no JSON.
    """
    folder = Path(path)
    try:
        if not folder.is_dir():
            return
        if not any(folder.iterdir()):
            raise ConfigError(f"the checkpoint folder {path!r} is empty")
        _config(folder)
        for file in sorted(folder.glob("*.json")):
            _json(file)
        for file in sorted(folder.glob("*.jinja")):
            _no_pointer(file)
        _tokenizer(folder)
        for file in _weight_files(folder):
            _safetensors(file)
    except OSError as error:
        raise ConfigError(f"cannot read the checkpoint {path!r}: {error.strerror or error}") from error


def _config(folder: Path) -> None:
    file = folder / "config.json"
    if not file.exists():
        hint = " It is a hub cache's folder: give the one in snapshots/" if (folder / "snapshots").is_dir() else ""
        raise ConfigError(f"{file} is missing: {folder.name!r} is no checkpoint, or {AGAIN}.{hint}")
    if not isinstance(_json(file).get("model_type"), str):
        raise ConfigError(f"{file} names no model_type: {AGAIN}")


def _tokenizer(folder: Path) -> None:
    if not any(all((folder / name).exists() for name in names) for names in TOKENIZERS):
        raise ConfigError(f"{folder / TOKENIZERS[0][0]} is missing: {AGAIN}")
    for names in TOKENIZERS:
        for name in names:
            if (folder / name).exists():
                _no_pointer(folder / name)
    if not any((folder / name).exists() for name in PROCESSORS):
        raise ConfigError(f"{folder / PROCESSORS[0]} is missing: {AGAIN}")


def _weight_files(folder: Path) -> Iterator[Path]:
    index = folder / INDEX
    if index.exists():
        placed = _json(index).get("weight_map")
        if not isinstance(placed, dict) or not placed or "metadata" not in _json(index):
            raise ConfigError(f"{index} says of no weight where it is: {AGAIN}")
        for name in sorted({str(name) for name in placed.values()}):
            if not (folder / name).exists():
                raise ConfigError(f"{folder / name} is missing, which {INDEX} names: {AGAIN}")
            held = _safetensors(folder / name)
            if lost := [weight for weight, file in placed.items() if file == name and weight not in held]:
                raise ConfigError(f"{folder / name} lacks {lost[0]!r} and {len(lost) - 1} more weights: {AGAIN}")
    elif (folder / WEIGHTS).exists():
        yield folder / WEIGHTS
    else:
        pickled = next((file for kind in PICKLED for file in sorted(folder.glob(kind))), None)
        if pickled is not None:
            raise ConfigError(
                f"{pickled} is a pickle, which may run any program when it is loaded: convert the weights to {WEIGHTS}"
            )
        raise ConfigError(f"{folder / WEIGHTS} is missing: {AGAIN}")


def _safetensors(file: Path) -> dict[str, Any]:
    """The header of a weights file whose content is as long as that says."""
    _no_pointer(file)
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, MOST_HEADER_BYTES):
            raise ConfigError(f"{file} is cut short or no safetensors file ({size:,} bytes): {AGAIN}")
        try:
            header = json.loads(stream.read(length))
            held = {name: entry for name, entry in header.items() if name != "__metadata__"}
            end = max((int(entry["data_offsets"][1]) for entry in held.values()), default=0)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise ConfigError(f"{file} is no safetensors file (its header cannot be read): {AGAIN}") from error
    if size != 8 + length + end:
        raise ConfigError(f"{file} is cut short: {size:,} bytes of {8 + length + end:,}: {AGAIN}")
    return held


def _json(file: Path) -> dict[str, Any]:
    _no_pointer(file)
    try:
        content = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is no JSON, or cut short ({error}): {AGAIN}") from error
    return content if isinstance(content, dict) else {}


def _no_pointer(file: Path) -> None:
    with file.open("rb") as stream:
        begin = stream.read(len(POINTER))
    if not begin:
        raise ConfigError(f"{file} is empty (0 bytes): {AGAIN}")
    if begin == POINTER:
        raise ConfigError(f"{file} is a Git LFS pointer, not the file itself: run `git lfs pull` there, or {AGAIN}")
