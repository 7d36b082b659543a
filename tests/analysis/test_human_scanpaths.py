"""Scanpaths of people: their files, and how alike two sequences are, by hand and against every alignment."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from saccade.analysis.human_scanpaths import alike, read_people
from saccade.analysis.scanpath import sequence_score
from saccade.errors import ConfigError

RADIUS_PX = 5 * 33.3


def by_every_alignment(first: torch.Tensor, second: torch.Tensor) -> float:
    """All ways to pair gazes of both in order, tried one by one."""
    found = 0.0
    for pairs in range(min(len(first), len(second)) + 1):
        for ours in combinations(range(len(first)), pairs):
            for theirs in combinations(range(len(second)), pairs):
                away = [float((first[i] - second[j]).norm()) / RADIUS_PX for i, j in zip(ours, theirs, strict=True)]
                found = max(found, sum(max(0.0, 1 - each) for each in away))
    return found / max(len(first), len(second))


@pytest.mark.parametrize("seed", range(6))
def test_the_best_of_every_alignment(seed: int) -> None:
    make = torch.Generator().manual_seed(seed)
    first, second = (torch.rand(length, 2, generator=make).double() * 300 for length in (3 + seed % 3, 5))
    found = sequence_score(first, second)
    assert found == pytest.approx(by_every_alignment(first, second)) == pytest.approx(sequence_score(second, first))
    assert 0 < found < 1


def test_by_hand() -> None:
    path = torch.tensor([[0.0, 0], [1000, 0], [0, 1000]])
    assert sequence_score(path, path) == 1
    assert sequence_score(path, path[[0, 2]]) == pytest.approx(2 / 3), "one gaze has no partner"
    assert sequence_score(path, path.flip(0)) == pytest.approx(1 / 3), "the order counts"
    assert sequence_score(path, path + torch.tensor([RADIUS_PX / 2, 0])) == pytest.approx(0.5)
    assert sequence_score(path, path + RADIUS_PX) == 0
    assert sequence_score(path, path[:0]) == 0 and sequence_score(path[:0], path[:0]) == 1


def test_a_path_is_compared_with_as_many_fixations_of_each_person() -> None:
    near = torch.tensor([[0.1, 0.1], [0.9, 0.9], [0.5, 0.5]], dtype=torch.float64)
    far = torch.tensor([[0.1, 0.1], [0.1, 0.9]], dtype=torch.float64)
    own, among = alike(near[:2], [near, far], (1000, 2000))
    assert (own, among) == (pytest.approx(0.75), pytest.approx(0.5))
    assert alike(near[:2], [near], (1000, 2000)) == (1.0, None)


def test_lines_in_uv_and_in_pixels(tmp_path: Path) -> None:
    lines = [
        {"image": "scans/a.png", "gazes_uv": [[0.25, 0.5]]},
        {"image": "a", "gazes_px": [[250, 250], [500, 500]], "size_px": [1000, 500]},
        {"image": "b.jpg", "gazes_uv": []},
    ]
    file = tmp_path / "people.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    found = read_people(file)
    assert {name: [path.tolist() for path in paths] for name, paths in found.items()} == {
        "a": [[[0.25, 0.5]], [[0.25, 0.5], [0.5, 1.0]]]
    }
    file.write_text('{"image": "a"}')
    with pytest.raises(ConfigError, match="line 1: a line is"):
        read_people(file)
    with pytest.raises(ConfigError, match="No such file"):
        read_people(tmp_path / "nobody.jsonl")


def test_salicon_s_files(tmp_path: Path) -> None:
    """A file an image; a struct for each person with locations, time stamps and fixations, from (1, 1) on."""
    from scipy.io import savemat

    fixations = [
        np.array([[1, 1], [640, 480]], np.uint16),
        np.array([[320, 240]], np.uint16),
        np.zeros((0, 2), np.uint16),
    ]
    people = np.zeros((3, 1), dtype=[("location", object), ("timestamp", object), ("fixations", object)])
    for number, each in enumerate(fixations):
        people[number, 0] = (np.zeros((9, 2)), np.arange(9.0), each)
    (tmp_path / "train").mkdir()
    held = {"image": "COCO_train2014_1", "resolution": np.array([[480, 640]]), "gaze": people}
    savemat(tmp_path / "train" / "COCO_train2014_1.mat", held)
    ((name, paths),) = read_people(tmp_path).items()
    assert name == "COCO_train2014_1" and [len(path) for path in paths] == [2, 1], "who fixated nothing is left out"
    torch.testing.assert_close(paths[0][1], torch.tensor([639.5 / 640, 479.5 / 480], dtype=torch.float64))
    savemat(tmp_path / "other.mat", {"x": 1})
    with pytest.raises(ConfigError, match="not laid out as SALICON"):
        read_people(tmp_path)
