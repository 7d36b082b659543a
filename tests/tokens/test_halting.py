"""How far a block moved its tokens, by hand."""

import pytest
import torch

from saccade.tokens.halting import change


def test_change_by_hand() -> None:
    before = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]])
    after = torch.tensor([[[5.0, 0.0], [2.0, 0.0], [-3.0, 0.0]]])  # 0, 1 and 2: as long as it likes, only turned
    assert change(before, after).tolist() == pytest.approx([1.0])
    present = torch.tensor([[True, True, False]])
    assert change(before, after, present).tolist() == pytest.approx([0.5])
    assert change(before, after, torch.zeros(1, 3, dtype=torch.bool)).tolist() == [0.0]
