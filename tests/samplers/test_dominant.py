"""Dominant and contextual tokens against a loop, and what merging does to what is dropped."""

import pytest
import torch

from saccade.samplers.dominant import Dominant
from saccade.types import Part, Scene
from tests.helpers import bare, importance_of, item


def by_definition(tokens, score, keep, ratio):
    """(source token by token as the token that stands for it, -1 = dropped), one token at a time."""
    unit, num = torch.nn.functional.normalize(tokens, dim=-1), len(tokens)
    order = sorted(range(num), key=lambda i: (-score[i], i))
    dominant = sorted(order[: round(ratio * keep)])
    rest = [i for i in range(num) if i not in dominant]
    few = min(keep - len(dominant), len(rest))
    contextual = [rest[(2 * j + 1) * len(rest) // (2 * few)] for j in range(few)]
    into = {i: i for i in dominant + contextual}
    for i in rest:
        if contextual and i not in into:
            into[i] = max(contextual, key=lambda j: (float(unit[i] @ unit[j]), -j))
    return [into.get(i, -1) for i in range(num)]


@pytest.mark.parametrize("score", ["received", "importance"])
@pytest.mark.parametrize("keep, ratio", [(1, 0.84), (10, 0.84), (10, 0.0), (12, 1.0), (13, 0.5), (33, 0.7), (40, 0.9)])
def test_selection_is_its_definition(keep, ratio, score):
    picture, encoding, query = item(5, 7, seed=3)
    scene, importance = Scene.of([(picture, encoding, query)]), importance_of(35, seed=1)
    found = Dominant(ratio=ratio, score=score)(scene, importance, torch.zeros(1, 2), keep)[0]
    worth = encoding.received if score == "received" else importance[0]
    expected = by_definition(encoding.tokens, worth.tolist(), min(keep, 35), ratio)
    assert found.index.tolist() == sorted({i for i in expected if i >= 0})
    assert [int(found.index[s]) if s >= 0 else -1 for s in found.source] == expected


def test_what_was_shown_is_neither_kept_nor_merged():
    scene, shown = bare(6, 6), torch.zeros(1, 36, dtype=torch.bool)
    shown[0, ::3] = True
    found = Dominant()(scene.without(shown), importance_of(36), torch.zeros(1, 2), 10)[0]
    assert (found.source[::3] == -1).all() and (found.source[~shown[0]] >= 0).all()
    assert len(found) == 10 and int(found.counts.sum()) == 24


def test_the_reader_gets_means():
    _, encoding, query = picture_item = item(6, 6)
    found = Dominant(ratio=0.5)(Scene.of([picture_item]), importance_of(36), torch.zeros(1, 2), 4)[0]
    part, slot = Part.of(encoding, found), int(found.counts.argmax())
    torch.testing.assert_close(part.tokens[slot], encoding.tokens[found.source == slot].mean(0))
    assert len(found.sharp) >= 2 and set(found.sharp.tolist()) >= set(encoding.received.topk(2).indices.tolist())
