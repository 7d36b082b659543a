"""Local contrast, local frequency and region saliency against loops over tokens, and by hand."""

import math
import statistics

import pytest
import torch

from saccade.importance.contrast import Contrast
from saccade.importance.frequency import Frequency
from saccade.importance.region import Region
from saccade.types import Scene
from tests.helpers import item
from tests.importance.scenes import beside, check, levelled, of_image, scene_of, several

SIDES = ["before", "after"]
SCENE = several()


@pytest.mark.parametrize("at", SIDES)
def test_contrast_is_its_definition(at):
    expected = []
    for number in range(3):
        vectors, near = of_image(SCENE, number, at), beside(SCENE, number)
        expected.append([statistics.mean(math.dist(v, vectors[j]) for j in near[i]) for i, v in enumerate(vectors)])
    check(Contrast(at=at).raw(SCENE), SCENE, expected)


@pytest.mark.parametrize("at", SIDES)
def test_frequency_is_its_definition(at):
    expected = []
    for number in range(3):
        vectors, near = of_image(SCENE, number, at), beside(SCENE, number)
        patches = [[vectors[j] for j in (i, *near[i])] for i in range(len(vectors))]
        expected.append(
            [statistics.mean(statistics.pvariance(value) for value in zip(*p, strict=True)) for p in patches]
        )
    check(Frequency(at=at).raw(SCENE), SCENE, expected)


@pytest.mark.parametrize("at", SIDES)
@pytest.mark.parametrize("over", ["all", "tokens"])
def test_region_is_its_definition(at, over):
    expected = []
    for number, grid in enumerate(SCENE.grids):
        vectors = of_image(SCENE, number, at)
        region = [
            (level, int(x * 4), int(y * 4))
            for (x, y), level in zip(grid.centre_uv.tolist(), grid.level.tolist(), strict=True)
        ]
        scores = []
        for own in region:
            inside = [v for v, other in zip(vectors, region, strict=True) if other == own]
            if over == "all":
                scores.append(statistics.pvariance([value for v in inside for value in v]))
            else:
                scores.append(statistics.mean(statistics.pvariance(value) for value in zip(*inside, strict=True)))
        expected.append(scores)
    check(Region(at=at, over=over).raw(SCENE), SCENE, expected)


def test_contrast_by_hand():
    # 3 x 3, all 0 but the centre, which is 8: its neighbours have 3 (corner) or 5 (side) others, one of them 8 away.
    tokens = torch.zeros(9, 1)
    tokens[4] = 8.0
    raw = Contrast(at="after").raw(scene_of(3, 3, tokens))[0]
    assert raw.tolist() == pytest.approx([8 / 3, 8 / 5, 8 / 3, 8 / 5, 8, 8 / 5, 8 / 3, 8 / 5, 8 / 3])


def test_neighbours_lie_on_the_page_not_in_feature_space():
    """A chequerboard has the highest contrast there is; its nearest tokens in feature space are equal to it."""
    rows, cols = torch.meshgrid(torch.arange(6), torch.arange(6), indexing="ij")
    board = ((rows + cols) % 2).flatten()
    flat_below = torch.where(rows.flatten() < 3, board, 0).float().unsqueeze(-1)
    raw = Contrast(at="after").raw(scene_of(6, 6, flat_below))[0].view(6, 6)
    assert raw[:2].min() > 0.4
    assert raw[4:].max() == 0
    nearest = torch.cdist(flat_below, flat_below).sort().values[:, 1:9].mean(-1)
    assert nearest.max() == 0, "the tree in feature space sees nothing at all"


def test_frequency_by_hand():
    # A row 0 0 0 6: the last two tokens have neighbourhoods {0, 0, 6} and {0, 6}.
    raw = Frequency(at="after").raw(scene_of(1, 4, torch.tensor([[0.0], [0.0], [0.0], [6.0]])))
    assert raw[0].tolist() == pytest.approx([0.0, 0.0, 8.0, 9.0])


def test_region_by_hand():
    # 8 x 8: 16 regions of 4 tokens. One holds 0 0 0 4: variance 3 for all its tokens; the others are flat.
    tokens = torch.zeros(64, 1)
    tokens[8 * 3 + 5] = 4.0  # row 3, column 5: region row 1, column 2, of rows 2-3 and columns 4-5
    raw = Region(at="after").raw(scene_of(8, 8, tokens))[0].view(8, 8)
    assert raw[2:4, 4:6].tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert raw.sum() == 12


def test_regions_can_leave_out_what_tells_features_apart():
    tokens = torch.tensor([1.0, 5.0]).expand(16, 2)
    assert Region(at="after").raw(scene_of(4, 4, tokens)).unique().tolist() == [4.0]
    assert Region(at="after", over="tokens").raw(scene_of(4, 4, tokens)).abs().max() == 0


@pytest.mark.parametrize(
    "scorer", [Contrast(at="after"), Frequency(at="after"), Region(regions=2, at="after", over="tokens")]
)
def test_levels_do_not_mix(scorer):
    """What a coarse level holds never moves the scores of the fine one, nor the other way round."""
    picture, encoding, query = levelled(6, 8)
    moved = encoding.tokens.clone()
    moved[48:] += torch.randn(12, 6, generator=torch.Generator().manual_seed(5)) * 100
    scene = Scene.of([(picture, encoding, query)])
    changed = scorer.raw(Scene.of([(picture, type(encoding)(**{**_fields(encoding), "tokens": moved}), query)]))
    alone = scorer.raw(Scene.of([item(6, 8)]))
    torch.testing.assert_close(scorer.raw(scene)[0, :48], alone[0])
    torch.testing.assert_close(changed[0, :48], alone[0])
    assert not torch.allclose(changed[0, 48:], scorer.raw(scene)[0, 48:])


def _fields(encoding):
    return {name: getattr(encoding, name) for name in encoding.__dataclass_fields__}


def test_a_single_token_has_no_contrast():
    scene = Scene.of([item(1, 1), item(3, 3)])
    for scorer in (Contrast(), Frequency()):
        assert scorer.raw(scene)[0].tolist() == [0.0] * 9
