"""Variance, norm and attention received against NumPy."""

import numpy as np
import pytest
import torch

from saccade.importance.norm import Norm
from saccade.importance.received import Received
from saccade.importance.variance import Variance
from saccade.tokens.ranking import normalise
from saccade.types import Scene
from tests.helpers import item

SCENE = Scene.of([item(3, 4)])


@pytest.mark.parametrize(("scorer", "of"), [(Variance, np.var), (Norm, np.linalg.norm)])
def test_before_and_after_the_merger(scorer, of):
    features, tokens = SCENE.features[0].numpy(), SCENE.tokens[0].numpy()
    before = [max(of(patch) for patch in patches) for patches in features]
    assert scorer(at="before").raw(SCENE)[0].tolist() == pytest.approx(before, rel=1e-5)
    assert scorer(at="after").raw(SCENE)[0].tolist() == pytest.approx([of(t) for t in tokens], rel=1e-5)


def test_received_is_what_the_encoder_measured():
    assert torch.equal(Received()(SCENE), normalise(SCENE.received, SCENE.present))
