"""What a pyramid learns: where it starts, and what its untrained self cannot do. Allocators: tests/budgets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from saccade.errors import ConfigError
from saccade.geometry.pyramid import gaussian
from saccade.heads.crosslevel import CrossLevel, fourier
from saccade.heads.files import load, save
from saccade.heads.pyramid import LearnedPyramid
from saccade.importance.crosslevel import CrossLevelAttention
from saccade.tokens.ranking import normalise
from saccade.training.fit import fit
from saccade.training.importance import Example, listwise
from saccade.training.pyramid import RATE, lost_detail
from saccade.types import Query, Scene
from tests.helpers import item, shuffled
from tests.levels import pyramid_item


def pages(count: int, seed: int) -> Tensor:
    """(count, 3, 40, 48) in [0, 1]: dark strokes on light paper."""
    rng = np.random.default_rng(seed)
    made = np.full((count, 3, 40, 48), 0.95, np.float32)
    for image in made:
        for _ in range(30):
            y, x, down = int(rng.integers(0, 36)), int(rng.integers(0, 40)), bool(rng.integers(2))
            image[:, y : y + (6 if down else 2), x : x + (2 if down else 8)] = (
                rng.random(3, np.float32)[:, None, None] / 2
            )
    return torch.from_numpy(made)


def test_a_learned_pyramid_starts_at_the_gaussian_to_the_bit() -> None:
    for size in ((40, 48), (33, 17), (5, 3)):
        images = torch.rand(2, 3, *size)
        for learned, fixed in zip(LearnedPyramid(4)(images), gaussian(images, 4), strict=True):
            assert torch.equal(learned, fixed)


def test_a_learned_pyramid_keeps_more_of_unseen_pages() -> None:
    batches = [pages(8, seed) for seed in range(6)]
    held = pages(16, 100)
    pyramid = LearnedPyramid(2)
    before = float(lost_detail(pyramid(held)).detach())
    fit(pyramid, (lost_detail(pyramid(batch)) for batch in shuffled(batches)), 200, 1e-2, weight_decay=0.01)
    after = float(lost_detail(pyramid(held)).detach())
    assert after < 0.75 * before


def test_lost_detail_by_hand() -> None:
    image = torch.full((1, 1, 4, 4), 0.5)
    assert float(lost_detail([image, torch.full((1, 1, 2, 2), 0.25), torch.full((1, 1, 1, 1), 1.0)])) == pytest.approx(
        (0.0625 + 0.25) / 2
    )


def test_a_learned_pyramid_is_saved(tmp_path: Path) -> None:
    pyramid = LearnedPyramid(3, channels=1)
    torch.nn.init.normal_(pyramid.change[1], std=0.01)
    save(pyramid, tmp_path)
    images = torch.rand(1, 1, 16, 16)
    again = load(LearnedPyramid, tmp_path)(images)
    assert all(torch.equal(one, two) for one, two in zip(again, pyramid(images), strict=True))
    assert not torch.equal(again[2], gaussian(images, 3)[2])


def flagged(seed: int) -> Example:
    """Fine tokens are of two kinds; only the coarse level says which of them the answer is in."""
    picture, encoding, query = pyramid_item(4, 4, levels=2, seed=seed)
    make = torch.Generator().manual_seed(seed)
    kind, wanted = torch.randint(0, 2, (16,), generator=make), seed % 2
    encoding.tokens[:16, :2] = 3.0 * torch.nn.functional.one_hot(kind, 2)
    encoding.tokens[16:, :2] = 3.0 * torch.tensor([1.0 - wanted, float(wanted)])
    target = torch.cat([(kind == wanted).float(), torch.zeros(4)])
    return Scene.of([(picture, encoding, query)]), target.unsqueeze(0)


def right(net: CrossLevel, seeds: range) -> float:
    """Share of pictures whose best token is one of the useful ones."""
    examples = [flagged(seed) for seed in seeds]
    with torch.no_grad():
        return sum(float(target[0, net(scene)[0].argmax()]) for scene, target in examples) / len(examples)


def train_crosslevel(net: CrossLevel, examples: list[Example], *, steps: int, rate: float = RATE) -> list[float]:
    losses = (listwise(net(scene), useful, scene.present) for scene, useful in shuffled(examples))
    return fit(net, losses, steps, rate, weight_decay=0.01)


class Apart(CrossLevel):
    """The same network, its tokens blind to each other."""

    def attend(self, states: Tensor, present: Tensor) -> Tensor:
        return states


@pytest.mark.parametrize("separate", [False, True])
def test_levels_must_look_at_each_other_to_learn_what_one_says_of_the_other(separate: bool) -> None:
    examples, found = [flagged(seed) for seed in range(64)], {}
    for kind in (CrossLevel, Apart):
        torch.manual_seed(0)
        net = kind(6, 6, levels=2, inner=32, heads=4, separate=separate)
        train_crosslevel(net, examples, steps=400)
        found[kind] = right(net, range(1000, 1060))
    assert found[CrossLevel] > 0.9
    assert found[Apart] < 0.75  # it cannot know: half of the fine tokens are useful


def test_untrained_it_ranks_by_variance_as_the_strategy_without_weights(tmp_path: Path) -> None:
    scene = Scene.of([pyramid_item(6, 6, levels=3), pyramid_item(4, 4, levels=2)])
    net = CrossLevel(6, 6, levels=3)
    with torch.no_grad():
        found = normalise(net(scene), scene.present)
    assert torch.allclose(found, CrossLevelAttention()(scene), atol=1e-5)
    torch.nn.init.normal_(net.readout.weight)
    save(net, tmp_path)
    with torch.no_grad():
        trained = CrossLevelAttention(weights=str(tmp_path))(scene)
        assert torch.allclose(trained, normalise(net(scene), scene.present), atol=1e-6)
    assert not torch.allclose(trained, found, atol=1e-2)


def test_attention_against_loops() -> None:
    """One head, no padding: softmax(q k / sqrt(E)) v for each token, by hand."""
    torch.manual_seed(0)
    net = CrossLevel(6, 6, levels=2, inner=8, heads=1)
    states = torch.randn(1, 5, 8)
    normed = torch.nn.functional.layer_norm(states, (8,))
    q, k, v = net.attention(normed)[0].split(8, -1)
    expected = torch.stack(
        [
            states[0, i] + net.mixed(sum(w * v[j] for j, w in enumerate((k @ q[i] / 8**0.5).softmax(0))))
            for i in range(5)
        ]
    )
    assert torch.allclose(net.attend(states, torch.ones(1, 5, dtype=torch.bool))[0], expected, atol=1e-5)


def test_padding_and_the_batch_do_not_matter() -> None:
    torch.manual_seed(0)
    net = CrossLevel(6, 6, levels=3)
    torch.nn.init.normal_(net.readout.weight)
    small, big = pyramid_item(3, 4, levels=2), pyramid_item(6, 6, levels=3)
    with torch.no_grad():
        together = net(Scene.of([small, big]))
        assert torch.allclose(together[0, : len(small[1])], net(Scene.of([small]))[0], atol=1e-4)


def test_levels_positions_and_questions_count() -> None:
    torch.manual_seed(0)
    net = CrossLevel(6, 6, levels=2)
    picture, encoding, query = pyramid_item(4, 4, levels=2)
    encoding.tokens[:] = 1.0
    scene = Scene.of([(picture, encoding, query)])
    states = net.embed(scene)[0]
    same_place = int((scene.centre_uv[0] - scene.centre_uv[0, 0]).norm(dim=-1)[1:].argmin()) + 1
    assert not torch.allclose(states[0], states[same_place])
    assert not torch.allclose(states[0], states[1])
    other = Scene.of([(picture, encoding, Query("?", -query.tokens, query.weight))])
    assert not torch.allclose(states, net.embed(other)[0])
    assert fourier(torch.tensor([0.5, 0.0])).shape == (24,)


def test_wrong_scenes_are_refused() -> None:
    net = CrossLevel(6, 6, levels=2)
    with pytest.raises(ConfigError, match="up to 2 levels; the scene has 6, 6 and 3"):
        net(Scene.of([pyramid_item(8, 8, levels=3)]))
    with pytest.raises(ConfigError, match="do not divide"):
        CrossLevel(6, 6, inner=10, heads=4)
    with pytest.raises(ConfigError, match="tokens of width 7"):
        CrossLevel(7, 6)(Scene.of([item(2, 2)]))


def test_the_loss_falls() -> None:
    torch.manual_seed(0)
    net = CrossLevel(6, 6, levels=2, inner=16, heads=2)
    scene, target = flagged(0)
    before = float(listwise(net(scene), target, scene.present).detach())
    losses = train_crosslevel(net, [flagged(0)], steps=30, rate=1e-2)
    assert losses[0] == pytest.approx(before)
    assert losses[-1] < 0.7 * before + 0.3 * float(target.sum().log())
