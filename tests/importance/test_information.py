"""Information scores: entropy, mutual information, bottleneck, against the scalars they share out."""

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from saccade.importance.bottleneck import Bottleneck
from saccade.importance.entropy import Entropy
from saccade.importance.mutual import Mutual
from saccade.tokens.ranking import normalise
from tests.importance.scenes import check, cosine, dot, of_image, scene_of, several

SCENE = several()


@pytest.mark.parametrize("at", ["before", "after"])
def test_spatial_information_averages_to_the_spatial_entropy(at):
    expected = []
    for number in range(3):
        vectors = of_image(SCENE, number, at)
        distance = [sum(math.dist(v, w) for w in vectors) / len(vectors) for v in vectors]
        p = special.softmax(-np.array(distance))
        expected.append((-np.log2(p)).tolist())
        found = Entropy(of="spatial", at=at).raw(SCENE)[number][SCENE.present[number]].numpy()
        assert float((p * found).sum()) == pytest.approx(stats.entropy(p, base=2), rel=1e-4)
    check(Entropy(of="spatial", at=at).raw(SCENE), SCENE, expected, atol=1e-4)


def test_feature_information_averages_to_the_entropy_of_the_histograms():
    raw = Entropy(bins=7, at="after").raw(SCENE)
    for number in range(3):
        vectors = np.array(of_image(SCENE, number, "after"), dtype=np.float32)
        entropy = [stats.entropy(np.histogram(column, bins=7)[0], base=2) for column in vectors.T]
        assert float(raw[number][SCENE.present[number]].mean()) == pytest.approx(np.mean(entropy), rel=1e-5)


def test_feature_information_by_hand():
    # One feature: three tokens in the lowest of 4 bins, one in the highest. Surprise -log2(3/4) and -log2(1/4).
    raw = Entropy(bins=4, at="after").raw(scene_of(2, 2, torch.tensor([[0.0], [0.1], [0.2], [1.0]])))[0]
    assert raw.tolist() == pytest.approx([math.log2(4 / 3)] * 3 + [2.0])
    constant = torch.cat([torch.full((4, 1), 3.0), torch.tensor([[0.0], [0.1], [0.2], [1.0]])], -1)
    halved = Entropy(bins=4, at="after").raw(scene_of(2, 2, constant))[0]
    assert halved.tolist() == pytest.approx((raw / 2).tolist()), "a feature that never varies says nothing"


def test_feature_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Entropy().raw(SCENE)
    monkeypatch.setattr("saccade.importance.entropy.CHUNK_VALUES", SCENE.present.numel() * 3)
    torch.testing.assert_close(Entropy().raw(SCENE), whole)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_mutual_terms_sum_to_the_divergence(temperature):
    raw = Mutual(temperature=temperature).raw(SCENE)
    for number in range(3):
        vectors, words = of_image(SCENE, number, "after"), SCENE.query_tokens[number].tolist()
        mean = [sum(dot(v, w) for w in words) / len(words) for v in vectors]
        p = special.softmax(np.array(mean) / math.sqrt(6) / temperature)
        found = raw[number][SCENE.present[number]].numpy()
        assert found == pytest.approx(p * np.log2(p * len(p)), rel=1e-3, abs=1e-5)
        uniform = np.full(len(p), 1 / len(p))
        assert float(found.sum()) == pytest.approx(stats.entropy(p, uniform, base=2), rel=1e-3)


def test_a_question_about_nothing_has_no_information():
    scene = several().weighted(torch.zeros(3, 3))
    assert Mutual()(scene).abs().max() == 0


@pytest.mark.parametrize("redundancy", ["all", "nearest"])
def test_bottleneck_is_relevance_less_redundancy(redundancy):
    expected = []
    for number in range(3):
        vectors, only = of_image(SCENE, number, "before"), SCENE.present[number]
        others = [sorted(cosine(v, w) for j, w in enumerate(vectors) if j != i) for i, v in enumerate(vectors)]
        shared = torch.tensor([np.mean(row[-8:] if redundancy == "nearest" else row) for row in others])
        relevance = Mutual().raw(SCENE)[number][only]
        yes = torch.ones(1, len(vectors), dtype=torch.bool)
        scaled = normalise(relevance[None], yes) - 0.5 * normalise(shared[None], yes)
        expected.append(scaled[0].tolist())
    check(Bottleneck(beta=0.5, redundancy=redundancy).raw(SCENE), SCENE, expected)


def test_of_two_equally_relevant_tokens_the_unique_one_wins():
    """The page's one entropy, taken off every token, cannot tell them apart."""
    copies, unique, other = [1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, 0.0, 1.0]
    tokens, words = torch.tensor([copies] * 4 + [unique] + [other]), torch.tensor([[1.0, 0.0, 0.0]])
    scene = scene_of(2, 3, tokens, words)
    relevance = Mutual().raw(scene)[0]
    assert relevance[0] == pytest.approx(float(relevance[4]))
    by_scalar = relevance - 1.0 * float(Entropy(of="spatial", at="after").raw(scene).mean()) / 6
    assert by_scalar[0] == pytest.approx(float(by_scalar[4])), "the seed's: a tie"
    found = Bottleneck(at="after")(scene)[0]
    assert found[4] == 1 and found[0] < 0.7
    assert Bottleneck(at="after", beta=0.0)(scene)[0, 0] == 1
