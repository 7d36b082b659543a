"""Trained scorers against loops, and their files. What they learn is in tests/training."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import special

from saccade.errors import ConfigError
from saccade.heads.files import CARD, WEIGHTS, load_cached, save
from saccade.heads.scoring import KINDS, MLP, Late
from saccade.importance.cross import CrossAttention
from saccade.importance.late import LateInteraction
from saccade.importance.learned import Learned
from saccade.registry import load
from saccade.types import Scene
from tests.helpers import item
from tests.importance.heads import tiny_head
from tests.importance.scenes import check, several

SCENE = several().weighted(torch.tensor([[1.0, 0.5, 0.0], [1.0, 1.0, 1.0], [0.0, 0.0, 0.25]]))
SCORERS = {"late": LateInteraction, "mlp": Learned, "cross": CrossAttention}
SIDES = ["before", "after"]


def parts(tmp_path, kind, at, **sizes):
    """The scorer, its weights as NumPy arrays, and for each image (patches (N, M, C), words, their weights, levels)."""
    folder = tiny_head(tmp_path / kind, kind, at, **sizes)
    weights = {
        name: value.numpy().astype(float) for name, value in load_cached(KINDS[kind], folder).state_dict().items()
    }
    values = SCENE.features if at == "before" else SCENE.tokens.unsqueeze(2)
    images = [
        (
            values[b][SCENE.present[b]].numpy().astype(float),
            SCENE.query_tokens[b].numpy().astype(float),
            SCENE.query_weight[b].tolist(),
            SCENE.level[b].tolist(),
        )
        for b in range(3)
    ]
    return SCORERS[kind](head=folder), weights, images


def unit(vector):
    return vector / np.linalg.norm(vector)


def normed(vector):
    return (vector - vector.mean()) / np.sqrt(vector.var() + 1e-5)


@pytest.mark.parametrize("at", SIDES)
def test_late_is_its_definition(tmp_path, at):
    scorer, w, images = parts(tmp_path, "late", at)
    expected = []
    for patches, words, weights, _ in images:
        scores = []
        for token in patches:
            best = -np.inf
            for word, weight in zip(words, weights, strict=True):
                cosine = max(unit(w["token.weight"] @ patch) @ unit(w["word.weight"] @ word) for patch in token)
                best = max(best, min(weight * cosine, cosine)) if weight else best
            scores.append(best * math.exp(w["sharpness"]))
        expected.append(scores)
    check(scorer.raw(SCENE), SCENE, expected)


@pytest.mark.parametrize("at", SIDES)
@pytest.mark.parametrize("levels", [1, 2])
def test_learned_is_its_definition(tmp_path, at, levels):
    scorer, w, images = parts(tmp_path, "mlp", at, levels=levels)
    expected = []
    for patches, words, weights, level in images:
        asked = w["question.weight"] @ (np.array(weights) @ words / sum(weights))
        scores = []
        for token, own in zip(patches, level, strict=False):
            net, judged = own if levels == 2 else 0, []
            for patch in map(normed, token):
                inner = w[f"first.{net}.weight"] @ patch + w[f"first.{net}.bias"]
                inner = inner * 0.5 * (1 + special.erf(inner / math.sqrt(2)))
                score = w[f"last.{net}.weight"][0] @ inner + w[f"last.{net}.bias"][0]
                judged.append(score + patch @ asked / math.sqrt(len(patch)))
            scores.append(max(judged))
        expected.append(scores)
    check(scorer.raw(SCENE), SCENE, expected)


@pytest.mark.parametrize("at", SIDES)
def test_cross_is_its_definition(tmp_path, at):
    scorer, w, images = parts(tmp_path, "cross", at, heads=2)
    expected = []
    for patches, words, weights, _ in images:
        received = np.zeros(patches.shape[:2])
        for word, weight in zip(words, weights, strict=True):
            query = w["query.weight"] @ normed(word) + w["query.bias"]
            keys = np.array([[w["key.weight"] @ normed(p) + w["key.bias"] for p in token] for token in patches])
            for half in (slice(0, 4), slice(4, 8)):
                received += weight / 2 * special.softmax(keys[..., half] @ query[half] / 2)
        expected.append((received.sum(-1) / sum(weights)).tolist())
    found = scorer.raw(SCENE)
    check(found, SCENE, expected)
    assert (found * SCENE.present).sum(-1).tolist() == pytest.approx([1.0] * 3, rel=1e-5), "attention sums to 1"


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_change_nothing(tmp_path, monkeypatch, kind):
    scorer, _, _ = parts(tmp_path, kind, "before")
    whole = scorer.raw(SCENE)
    monkeypatch.setattr("saccade.heads.scoring.CHUNK_VALUES", 500)
    torch.testing.assert_close(scorer.raw(SCENE), whole)


@pytest.mark.parametrize("kind", KINDS)
def test_the_question_moves_the_scores(tmp_path, kind):
    """The seed's learned scorer had no projection for it: another width than the words' was an error."""
    scorer, _, _ = parts(tmp_path, kind, "before")
    other = replace(SCENE, query_tokens=SCENE.query_tokens.flip(-1))
    assert not torch.allclose(scorer(other), scorer(SCENE), atol=1e-3)


def test_late_ranks_features_before_the_merger_only_with_a_head(tmp_path):
    """The query's scores before the merger: features of width 5 meet words of width 6 through a projection."""
    from saccade.heads.scoring import Late

    head = Late("before", 5, 6, inner=2)
    with torch.no_grad():
        head.token.weight.copy_(torch.eye(2, 5))
        head.word.weight.copy_(torch.eye(6)[4:])  # the words' last two values mean the features' first two
    save(head, tmp_path)
    picture, encoding, query = item(1, 3)
    features = torch.zeros(3, 2, 5)
    features[0, :, 1], features[1, 1, 0], features[2, :, 4] = 1.0, 1.0, 1.0
    words = torch.zeros(1, 6)
    words[0, 4] = 1.0
    query = replace(query, tokens=words, weight=torch.ones(1))
    scene = Scene.of([(picture, replace(encoding, features=features), query)])
    assert LateInteraction(head=str(tmp_path))(scene)[0].tolist() == [0.0, 1.0, 0.0]


def test_files_come_back_as_they_went(tmp_path):
    folder = tiny_head(tmp_path / "head", "mlp", levels=3)
    card = json.loads((tmp_path / "head" / CARD).read_text())
    assert card["kind"] == "MLP" and card["sizes"]["at"] == "before" and card["sizes"]["levels"] == 3
    assert card["notes"] == {"weights": "random"}
    assert (tmp_path / "head" / WEIGHTS).exists()
    assert load_cached(MLP, folder) is load_cached(MLP, folder), "read once"
    before = load_cached(MLP, folder).question.weight.clone()
    tiny_head(tmp_path / "head", "mlp", levels=3, seed=9)
    assert not torch.equal(load_cached(MLP, folder).question.weight, before), "a rewritten head is read again"


@pytest.mark.parametrize(("name", "kind"), [("late", "late"), ("learned", "mlp"), ("cross", "cross")])
def test_wrong_heads_are_refused_before_anything_starts(tmp_path, name, kind):
    from saccade.importance import Scorer

    with pytest.raises(ConfigError, match=f"/nowhere holds no {KINDS[kind].__name__}"):
        load("importance", {"name": name, "head": "/nowhere"}, Scorer)
    other = "mlp" if kind != "mlp" else "late"
    folder = tiny_head(tmp_path / "other", other)
    with pytest.raises(ConfigError, match=f"holds a {KINDS[other].__name__}, not a {KINDS[kind].__name__}"):
        load("importance", {"name": name, "head": folder}, Scorer)
    if name != "late":
        with pytest.raises(ConfigError, match=r"head: Field required .*head \(required\)"):
            load("importance", name, Scorer)


def test_a_head_of_another_model_says_so(tmp_path):
    save(KINDS["late"]("after", 7, 7), tmp_path)
    with pytest.raises(ConfigError, match="width 7 after the merger and words of 7; this model's are 6 and 6"):
        LateInteraction(head=str(tmp_path)).raw(SCENE)


def test_a_level_that_was_not_trained_is_an_error(tmp_path):
    scorer = Learned(head=tiny_head(tmp_path, "mlp", levels=2))
    deeper = replace(SCENE, level=SCENE.level * 2)
    with pytest.raises(ConfigError, match="trained on 2 levels; the scene has 3"):
        scorer.raw(deeper)


def test_damaged_heads_are_named(tmp_path):
    folder = tiny_head(tmp_path, "late")
    (tmp_path / CARD).write_text((tmp_path / CARD).read_text().replace('"inner": 8', '"inner": 9'))
    with pytest.raises(ConfigError, match="the Late in .* does not fit its sizes"):
        load_cached(Late, folder)
    (tmp_path / WEIGHTS).unlink()
    with pytest.raises(ConfigError, match=f"holds no Late: it needs {CARD} and {WEIGHTS}"):
        load_cached(Late, folder)
