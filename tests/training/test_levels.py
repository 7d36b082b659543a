"""Training on generated pages: what counts as useful, and the command."""

import json
from pathlib import Path

import pytest
import torch

from saccade.heads.files import load
from saccade.heads.pyramid import LearnedPyramid
from saccade.training.levels import main, usefulness
from saccade.types import Question
from tests.levels import pyramid_item


def test_print_too_small_for_a_level_is_not_useful_there() -> None:
    grid = pyramid_item(8, 8, levels=3)[1].grid
    whole = ((0.0, 0.0, 1.0, 1.0),)
    for height, levels in ((5.0, 0), (6.0, 1), (11.9, 1), (12.0, 2), (30.0, 3)):
        found = usefulness(grid, Question("a", "?", answer_boxes_uv=whole, metadata={"x_height_px": height}))
        per_level = [float(found[grid.level == level].sum()) for level in range(3)]
        assert per_level == pytest.approx([1.0] * levels + [0.0] * (3 - levels))  # every level covers the page once
    corner = usefulness(
        grid, Question("a", "?", answer_boxes_uv=((0.0, 0.0, 0.1, 0.1),), metadata={"x_height_px": 9.0})
    )
    assert corner.nonzero().flatten().tolist() == [0]


@pytest.mark.parametrize("what", ["allocator", "crosslevel", "filters"])
def test_the_command(what: str, qwen2_5_vl: Path, tmp_path: Path) -> None:
    given = ["--what", what, "--model", str(qwen2_5_vl), "--levels", "2", "--keep", "20", "--pages", "4"]
    report = main([*given, "--page-px", "256", "--steps", "150", "--out", str(tmp_path / "out")])
    assert 0 <= report["untrained"]
    card = json.loads((tmp_path / "out" / "module.json").read_text())
    assert card["notes"]["trained"] == report["trained"]
    if what == "filters":
        assert report["trained"] < 0.95 * report["untrained"]
        assert any(bool((change != 0).any()) for change in load(LearnedPyramid, tmp_path / "out").change)
    else:
        assert torch.isfinite(torch.tensor(report["trained"]))
