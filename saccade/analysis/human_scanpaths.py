"""People's scanpaths over images, from a file or from SALICON's folders.

    {"image": "a.jpg", "gazes_uv": [[0.2, 0.3], [0.5, 0.31]]}                 JSON Lines, one line per person and image
    {"image": "a.jpg", "gazes_px": [[200, 150], ...], "size_px": [1000, 500]}
    fixations/train/COCO_train2014_000000000009.mat                           SALICON (Jiang et al. 2015)

An image's key is its file's name without folder and ending, which matches the image ids of a run.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from statistics import fmean

import torch
from torch import Tensor

from saccade.analysis.scanpath import sequence_score
from saccade.errors import ConfigError

Paths = Mapping[str, Sequence[Tensor]]
"""Scanpaths (L, 2) in uv of several people, by image."""


def name_of(image: str) -> str:
    """The key of an image: its file's name without folder and ending."""
    return PurePosixPath(image).stem


def read_people(at: Path) -> Paths:
    """People's scanpaths by image; those without a fixation are left out.

    Raises:
        ConfigError: neither a JSON Lines file of this form nor a folder of SALICON's files.
    """
    paths: dict[str, list[Tensor]] = {}
    read: Callable[[Path], list[tuple[str, Tensor]]] = _salicon if at.is_dir() else _lines
    for name, path in read(at):
        if len(path):
            paths.setdefault(name, []).append(path)
    if not paths:
        raise ConfigError(f"{at} holds no scanpaths: JSON Lines of image and gazes_uv, or SALICON's .mat files")
    return paths


def _lines(file: Path) -> list[tuple[str, Tensor]]:
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        raise ConfigError(f"--people {file}: {error.strerror}") from error
    paths, number = list[tuple[str, Tensor]](), 0
    try:
        for number, line in enumerate(lines, start=1):  # noqa: B007  the message says which one failed
            if line.strip():
                paths.append(_line(json.loads(line)))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f'{file}, line {number}: a line is {{"image": ..., "gazes_uv": [[x, y], ...]}}, or gazes_px with size_px: '
            f"{type(error).__name__} {error}"
        ) from error
    return paths


def _line(entry: dict[str, object]) -> tuple[str, Tensor]:
    key = "gazes_px" if "gazes_px" in entry else "gazes_uv"
    gazes = torch.tensor(entry[key], dtype=torch.float64).view(-1, 2)
    size = torch.tensor(entry["size_px"] if key == "gazes_px" else [1.0, 1.0], dtype=torch.float64)
    return name_of(str(entry["image"])), gazes / size


def _salicon(folder: Path) -> list[tuple[str, Tensor]]:
    """`gaze` has one struct per person with `fixations` (L, 2): x and y in px from 1; `resolution`: height, width."""
    from scipy.io import loadmat

    paths = []
    for file in sorted(folder.rglob("*.mat")):
        try:
            contents = loadmat(file, simplify_cells=True)
            height, width = (float(side) for side in contents["resolution"])
            people = contents["gaze"] if isinstance(contents["gaze"], list) else list(contents["gaze"].ravel())
            for person in people:
                gazes = torch.as_tensor(person["fixations"], dtype=torch.float64).reshape(-1, 2)
                paths.append((name_of(file.name), (gazes - 0.5) / torch.tensor([width, height])))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{file} is not laid out as SALICON's: {type(error).__name__} {error}") from error
    return paths


def alike(path_uv: Tensor, people: Sequence[Tensor], size_px: tuple[int, int]) -> tuple[float, float | None]:
    """Mean sequence score of a scanpath with people's on the same image, and of people's with each other.

    The second is None for a single person. People's paths are cut to the length of the scanpath.
    """
    size = torch.tensor(size_px, dtype=torch.float64)
    cut = [path[: len(path_uv)] * size for path in people]
    own = fmean(sequence_score(path_uv.double() * size, path) for path in cut)
    pairs = [sequence_score(cut[i], cut[j]) for i in range(len(cut)) for j in range(i)]
    return own, fmean(pairs) if pairs else None
