"""What scorers hold at once: at 16,384 tokens (D = 512, F = 256, M = 4) at most 256 MiB more than the scene itself."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from saccade.importance import GROUP_TOK
from saccade.importance.edges import Edges
from saccade.importance.rarity import Rarity
from saccade.registry import names
from saccade.types import Scene
from tests.importance.variants import HEADS, variants
from tests.importance.variants import scene as random_scene

MOST_MIB = 256
ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="a process's peak memory is read from Linux")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_scorer_needs_much_memory_at_16384_tokens() -> None:
    """In a process of its own: what other tests have freed would be used again and not be seen."""
    command = [sys.executable, "-m", "tests.importance.peak", "128", "128"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    assert {name.split()[0] for name in found} == set(names("importance")), "every scorer is measured"
    assert {name: mib for name, mib in found.items() if mib > MOST_MIB} == {}
    assert found["entropy spatial"] > 64, "the measurement sees a copy of the features, which this one makes"


def test_every_way_is_measured(tmp_path: Path) -> None:
    assert set(names("importance")) >= set(HEADS)
    assert len(variants(tmp_path)) > len(names("importance"))


class Counted(Rarity):
    """Remembers how many images it is given at once."""

    def raw(self, scene: Scene) -> torch.Tensor:
        GIVEN.append(len(scene.grids))
        return super().raw(scene)


GIVEN: list[int] = []


@pytest.mark.parametrize(("rows", "batch", "groups"), [(8, 70, [64, 6]), (64, 3, [1, 1, 1]), (8, 5, [5])])
def test_a_batch_is_scored_in_groups_of_images(rows: int, batch: int, groups: list[int]) -> None:
    """So memory does not grow with the batch, nor time an image."""
    assert GROUP_TOK == 4096
    made = random_scene(rows, rows, batch)
    GIVEN.clear()
    together = Counted()(made)
    assert GIVEN == groups
    alone = Rarity()(random_scene(rows, rows, 1))
    torch.testing.assert_close(together[:1], alone)


def test_pictures_are_not_scored_again_for_a_group() -> None:
    made = random_scene(64, 64, 2)
    assert torch.equal(Edges()(made), Edges()(made))
