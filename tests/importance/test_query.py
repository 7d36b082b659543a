"""Query cosine against loops."""

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.importance.query import QueryCosine
from saccade.tokens.ranking import normalise
from saccade.types import Scene
from tests.helpers import item


def by_definition(tokens, words, weights, how):
    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    scores = []
    for token in tokens:
        similar = [cosine(token, word) for word in words]
        if how == "mean":
            scores.append(sum(w * s for w, s in zip(weights, similar, strict=True)) / sum(weights))
        else:
            scores.append(max(w * s if s > 0 else s for w, s in zip(weights, similar, strict=True) if w > 0))
    return scores


@given(st.integers(0, 10**6), st.sampled_from(["max", "mean"]))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_query_is_its_definition(seed, how):
    made = item(2, 3, seed=seed)
    weights = torch.rand(1, 3, generator=torch.Generator().manual_seed(seed)).round(decimals=1) + 0.1
    weights[0, 1] = 0
    scene = Scene.of([made]).weighted(weights.clamp(max=1))
    expected = by_definition(made[1].tokens.tolist(), made[2].tokens.tolist(), scene.query_weight[0].tolist(), how)
    raw = QueryCosine(words=how).raw(scene)
    assert torch.allclose(raw[0], torch.tensor(expected), atol=1e-5)
    assert torch.equal(QueryCosine(words=how)(scene), normalise(raw, scene.present))


def test_weights_move_the_maximum_from_one_word_to_the_other():
    tokens, words = torch.tensor([[1.0, 0.1], [0.2, 0.9], [-1.0, -1.0]]), torch.eye(2)
    scene = Scene.of([item(1, 3, tokens=tokens, words=words)])
    assert QueryCosine()(scene).argmax() == 0
    assert QueryCosine()(scene.weighted(torch.tensor([[0.1, 1.0]]))).argmax() == 1
    assert QueryCosine()(scene.weighted(torch.zeros(1, 2))).tolist() == [[0.0, 0.0, 0.0]]


def test_a_word_found_does_not_make_mismatches_relevant():
    tokens, words = torch.tensor([[-0.1, 1.0], [-0.9, 1.0]]), torch.tensor([[1.0, 0.0]])
    scene = Scene.of([item(1, 2, tokens=tokens, words=words)])
    for weight in (1.0, 0.5, 0.01):
        assert QueryCosine()(scene.weighted(torch.tensor([[weight]]))).tolist() == [[1.0, 0.0]]
