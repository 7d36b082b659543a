"""NSS and AUC beside their definitions."""

import pytest
import torch

from saccade.analysis.human_maps import auc, nss

PRESENT = torch.tensor([[True, True, True, True, False]])
SCORE = torch.tensor([[1.0, 2.0, 3.0, 6.0, 99.0]])
LOOKED = torch.tensor([[0.0, 0.0, 1.0, 3.0, 9.0]])


def test_nss_by_hand():
    deviation = ((4 + 1 + 0 + 9) / 4) ** 0.5  # of 1, 2, 3, 6 around 3
    assert float(nss(SCORE, LOOKED, PRESENT)) == pytest.approx((0 * 1 + 3 * 3) / 4 / deviation)
    assert float(nss(torch.ones(1, 5), LOOKED, PRESENT)) == 0


def test_auc_by_hand():
    # The third is above two of three others, the fourth above all: (2/3 + 3 x 1) / 4.
    assert float(auc(SCORE, LOOKED, PRESENT)) == pytest.approx((2 / 3 + 3) / 4)
    assert float(auc(torch.ones(1, 5), LOOKED, PRESENT)) == pytest.approx(0.5)
    assert float(auc(-SCORE, LOOKED, PRESENT)) == pytest.approx(1 - (2 / 3 + 3) / 4)
