"""The nouns: batches of them."""

from dataclasses import replace

import torch

from saccade.types import Scene
from tests.helpers import item


def test_a_scene_lies_where_its_tokens_do() -> None:
    """Grids stay on the CPU; a scorer on another device must not meet their columns there."""
    picture, encoding, query = item(3, 4)
    away = {name: getattr(encoding, name).to("meta") for name in ("tokens", "features", "received")}
    query = replace(query, tokens=query.tokens.to("meta"), weight=query.weight.to("meta"))
    scene = Scene.of([(picture, replace(encoding, **away), query)] * 2)
    for name in ("valid", "tokens", "features", "received", "centre_uv", "row", "col", "level", "query_tokens"):
        assert getattr(scene, name).device.type == "meta", name
    assert scene.grids[0].row.device.type == "cpu"


def test_some_of_a_scene_are_those_images_with_their_padding() -> None:
    items = [item(2, 3, seed=0), item(4, 5, seed=1), item(1, 2, seed=2)]
    whole, some = Scene.of(items), Scene.of(items).some(slice(1, 3))
    assert len(some.grids) == len(some.pictures) == len(some.queries) == 2 and some.grids[0] is items[1][1].grid
    assert torch.equal(some.tokens, whole.tokens[1:]) and torch.equal(some.valid, whole.valid[1:])
    assert some.attention is None
