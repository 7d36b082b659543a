"""ToMe's settings: how many merge where, what counts in a mean, what is refused."""

import pytest
import torch

from saccade.errors import ConfigError
from saccade.reduction import Reduction, Stage
from saccade.reduction.tome import ToMe
from saccade.registry import load
from saccade.tokens.entropy import token_entropy
from saccade.tokens.merging import merge


def stage(layer: int = 0, seed: int = 0) -> Stage:
    """Two windows of one image and one of another, 6, 3 and 5 tokens of 2 patches."""
    make = torch.Generator().manual_seed(seed)
    valid = torch.arange(6)[None] < torch.tensor([6, 3, 5])[:, None]
    return Stage(
        layer=layer,
        num_layers=3,
        states=torch.randn(3, 6, 2, 4, generator=make),
        keys=torch.randn(3, 6, 2, 3, generator=make),
        size=torch.randint(1, 5, (3, 6), generator=make).float() * valid,
        valid=valid,
        fixed=torch.zeros_like(valid),
        image=torch.tensor([0, 0, 1]),
    )


def gone(decided: tuple[torch.Tensor, torch.Tensor], given: Stage) -> list[int]:
    """Tokens merged away in each image."""
    left = (decided[0].amax(-1) + 1).clamp(min=0)
    return torch.zeros(2, dtype=torch.int64).index_add_(0, given.image, given.valid.sum(-1) - left).tolist()


def test_r_counts_per_image_over_all_its_windows():
    given = stage()
    assert gone(ToMe(r=2).inside(given), given) == [2, 2]
    assert gone(ToMe(r=99).inside(given), given) == [3 + 2, 3]  # every even token
    assert ToMe(r=0).inside(given) is None
    assert gone(ToMe(r=None, threshold=-1.0).inside(given), given) == [5, 3]
    assert gone(ToMe(r=None, threshold=1.0).inside(given), given) == [0, 0]


def test_r_block_by_block():
    tome = ToMe(r=(0, 1))
    assert [tome.inside(stage(layer)) is None for layer in range(3)] == [True, False, True]
    assert gone(tome.inside(stage(1)), stage(1)) == [1, 1]
    assert tome.active(3) and not tome.active(1) and not ToMe(r=0).active(30)


def test_similarity_is_that_of_all_patches_of_a_token():
    """Token 0 is like token 1 in its first patch only, and like token 3 in both."""
    keys = torch.tensor([[[[1.0, 0], [1, 0]], [[1, 0], [-1, 0]], [[0, -1], [0, -1]], [[1, 0.1], [1, 0.1]]]])
    given = Stage(
        0, 1, keys, keys, torch.ones(1, 4), torch.ones(1, 4).bool(), torch.zeros(1, 4).bool(), torch.zeros(1).long()
    )
    source, _ = ToMe(r=1).inside(given)
    assert source.tolist() == [[2, 0, 1, 2]]


def test_the_mean_is_by_size_or_by_size_and_importance():
    given = stage()
    _, by_size = ToMe(r=2).inside(given)
    assert torch.equal(by_size, given.size)
    _, by_norm = ToMe(r=2, weight="norm").inside(given)
    assert by_norm[0, 3] == pytest.approx(float(given.size[0, 3] * given.states[0, 3].norm(dim=-1).mean()), rel=1e-4)
    strong = merge(torch.tensor([0.0, 1.0]), torch.zeros(2, dtype=torch.int64), torch.tensor([1.0, 9.0]), 1)
    assert float(strong) == pytest.approx(0.9)


@pytest.mark.parametrize("settings", [{"r": -1}, {"r": [4, -2]}, {"r": None}, {"threshold": 2.0}, {"weight": "plain"}])
def test_what_is_refused(settings):
    with pytest.raises(ConfigError, match="tome"):
        load("reduction", {"name": "tome", **settings}, Reduction)


def test_a_floor_merges_less_where_more_would_be_lost():
    """Where every pair is one kind all may merge; where pairs mix two kinds, as many as leave enough."""
    kinds = torch.eye(4)
    alike = kinds[[0, 0, 1, 1, 2, 2]]  # every pair is one kind
    mixed = kinds[[1, 1, 2, 2, 3, 3]]
    mixed[:4:2] = 0.6 * mixed[:4:2] + 0.8 * kinds[0]  # two even tokens bring the same; the third pair is alike
    keys = torch.stack([alike, mixed])[:, :, None]
    every = torch.ones(2, 6).bool()
    given = Stage(0, 1, keys, keys, torch.ones(2, 6), every, ~every, torch.tensor([0, 1]))
    assert gone(ToMe(r=3).inside(given), given) == [3, 3]
    means = [(mixed[even] + mixed[even + 1]) / 2 for even in (0, 2, 4)]
    share = float(token_entropy(torch.stack(means)) / token_entropy(mixed[1::2]))
    assert gone(ToMe(r=3, floor=share - 1e-3).inside(given), given) == [3, 3]
    assert gone(ToMe(r=3, floor=share + 1e-3).inside(given), given) == [3, 1], "half of three pairs, the most alike"
