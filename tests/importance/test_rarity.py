"""Global rarity against loops over all pairs, and what tells its three ways apart."""

import math
import statistics

import pytest
import torch

from saccade.importance.rarity import Rarity
from saccade.tokens.similarity import mean_distances, nearest_cosine
from tests.importance.scenes import check, cosine, of_image, scene_of, several

SCENE = several()


@pytest.mark.parametrize("at", ["before", "after"])
def test_rarity_is_its_definition(at):
    from_mean, from_all, from_nearest = [], [], []
    for number in range(3):
        vectors = of_image(SCENE, number, at)
        mean = [statistics.mean(value) for value in zip(*vectors, strict=True)]
        from_mean.append([math.dist(v, mean) for v in vectors])
        others = [[cosine(v, w) for j, w in enumerate(vectors) if j != i] for i, v in enumerate(vectors)]
        from_all.append([-statistics.mean(row) for row in others])
        from_nearest.append([-statistics.mean(sorted(row)[-3:]) for row in others])
    check(Rarity(at=at).raw(SCENE), SCENE, from_mean)
    check(Rarity(to="all", at=at).raw(SCENE), SCENE, from_all)
    check(Rarity(to="nearest", nearest=3, at=at).raw(SCENE), SCENE, from_nearest)


def test_chunks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = SCENE.tokens
    whole = nearest_cosine(values, SCENE.present, 4), mean_distances(values, SCENE.present)
    monkeypatch.setattr("saccade.tokens.similarity.PAIR_BYTES", 4 * 3 * values.shape[1] * 5)  # 5 rows at a time
    chunked = nearest_cosine(values, SCENE.present, 4), mean_distances(values, SCENE.present)
    for a, b in zip(whole, chunked, strict=True):
        torch.testing.assert_close(a, b)


def test_a_repeated_word_is_rare_by_share_but_not_by_neighbours():
    paper, word, stain = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    tokens = torch.tensor([paper] * 12 + [word] * 3 + [stain])
    scene = scene_of(4, 4, tokens)
    by_all, by_nearest = (Rarity(to=to, nearest=2, at="after")(scene)[0] for to in ("all", "nearest"))
    assert by_all[12] > 0.8 and by_all[15] == 1 and by_all[0] == 0
    assert by_nearest[12] == 0 and by_nearest[15] == 1


def test_fewer_others_than_asked_for():
    scene = scene_of(1, 2, torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    assert Rarity(to="nearest", at="after").raw(scene)[0].tolist() == pytest.approx([-(0.5**0.5)] * 2)
    assert Rarity(to="nearest", at="after").raw(scene_of(1, 1, torch.ones(1, 2))).tolist() == [[0.0]]
