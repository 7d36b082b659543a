"""Token entropy by hand, and the guard that undoes means until enough of it is left."""

import math

import pytest
import torch

from saccade.tokens.entropy import token_entropy, unmixed
from saccade.types import Selection


def test_token_entropy_by_hand():
    assert float(token_entropy(torch.eye(4))) == pytest.approx(math.log(4))
    assert float(token_entropy(torch.ones(5, 3))) == pytest.approx(0, abs=1e-9)
    assert float(token_entropy(torch.tensor([[2.0, 0], [1, 0], [0, 3], [5, 0]]))) == pytest.approx(
        -0.75 * math.log(0.75) - 0.25 * math.log(0.25)
    )
    assert float(token_entropy(torch.zeros(3, 2))) == 0


def merged() -> tuple[Selection, torch.Tensor]:
    """Eight tokens of four kinds in three slots: two alike, two kinds mixed in halves, three of one with a fourth."""
    kinds = torch.eye(4)[[0, 0, 1, 2, 3, 3, 3, 2]]
    source = torch.tensor([0, 0, 1, 1, 2, 2, 2, 2])
    return Selection(torch.tensor([0, 2, 4]), source), kinds


def test_the_most_mixed_mean_is_undone_first():
    """Unmerged, the three are at right angles: log 3. Merged, the second mean leans towards the third's."""
    selection, kinds = merged()
    before = float(token_entropy(selection.mean(kinds)))
    assert before < math.log(3)
    assert unmixed(selection, kinds, before / math.log(3)) is selection, "it holds exactly what is asked for"
    found = unmixed(selection, kinds, before / math.log(3) + 1e-4)
    assert found.index.tolist() == [0, 2, 4] and found.source.tolist() == [0, 0, 1, -1, 2, 2, 2, 2]
    assert float(token_entropy(found.mean(kinds))) == pytest.approx(math.log(3))


def test_a_floor_of_one_may_come_to_pruning():
    kinds = torch.eye(3)[[0, 1, 1, 0]] + 0.4 * torch.eye(3)[[1, 2, 0, 2]]
    selection = Selection(torch.tensor([0, 1]), torch.tensor([0, 1, 0, 1]))
    found = unmixed(selection, torch.nn.functional.normalize(kinds, dim=-1), 1.0)
    assert found.source.tolist() == [0, 1, -1, -1]
