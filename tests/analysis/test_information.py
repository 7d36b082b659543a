"""Entropy, information and bottleneck of a page against plain loops over their definitions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from saccade.analysis.information import bottleneck_curve, page_entropy, question_information
from saccade.importance.bottleneck import Bottleneck
from saccade.types import Scene
from tests.helpers import item


@pytest.fixture
def scene() -> Scene:
    return Scene.of([item(3, 4)])


def test_spatial_entropy_is_that_of_the_softmax(scene: Scene) -> None:
    x = scene.features[0].flatten(1).double().numpy()
    mean = np.array([np.mean([np.linalg.norm(a - b) for b in x]) for a in x])
    p = np.exp(-mean) / np.exp(-mean).sum()
    found = page_entropy(scene)
    assert found.spatial_bits == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-5)
    assert found.most_bits == pytest.approx(math.log2(12))


def test_feature_entropy_is_the_mean_over_features(scene: Scene) -> None:
    x = scene.features[0].flatten(1).numpy()
    expected = []
    for column in x.T:
        counts, _ = np.histogram(column, 50)
        p = counts[counts > 0] / counts.sum()
        expected.append(-(p * np.log2(p)).sum())
    assert page_entropy(scene).feature_bits == pytest.approx(np.mean(expected), abs=0.05)  # of values on a bin's edge


def test_equal_tokens_have_the_most_entropy_in_space_and_none_in_features(scene: Scene) -> None:
    found = page_entropy(replace(scene, features=torch.ones_like(scene.features)))
    assert found.spatial_bits == pytest.approx(found.most_bits)
    assert found.feature_bits == 0


def test_the_question_s_bits_are_the_divergence_from_uniform(scene: Scene) -> None:
    tokens, words = scene.tokens[0].double().numpy(), scene.query_tokens[0].double().numpy()
    logits = (tokens @ words.T).mean(1) / math.sqrt(6)
    p = np.exp(logits) / np.exp(logits).sum()
    bits = sum(each * math.log2(each * 12) for each in p)
    found = question_information(scene)
    assert found.bits == pytest.approx(bits, abs=1e-5)
    assert found.effective_tok == pytest.approx(2 ** -sum(each * math.log2(each) for each in p), rel=1e-4)
    silent = question_information(replace(scene, query_tokens=torch.zeros_like(scene.query_tokens)))
    assert (silent.bits, silent.effective_tok) == (pytest.approx(0, abs=1e-6), pytest.approx(12))


def test_the_bottleneck_keeps_its_best(scene: Scene) -> None:
    few, every = bottleneck_curve(scene, [3, 12])
    best = Bottleneck()(scene)[0].argsort(descending=True)[:3]
    x = scene.features[0].flatten(1)[best]
    pairs = [float(torch.cosine_similarity(x[i], x[j], 0)) for i in range(3) for j in range(3) if i != j]
    assert few.redundancy == pytest.approx(sum(pairs) / 6, abs=1e-5)
    assert every.bits == pytest.approx(question_information(scene).bits)
    assert (few.keep, every.keep) == (3, 12)
