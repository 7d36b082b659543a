"""Gundam: a page as tiles that are encoded one by one, and small as a whole beside them."""

import pytest
import torch

import saccade
from saccade.config import Episode
from saccade.engines.hf import HF
from saccade.episode import see
from saccade.errors import ConfigError
from saccade.geometry.tiles import GLOBAL_TOK, TILES_TOK, tiles
from saccade.picture import Picture
from saccade.types import Question
from tests import tiny

GUNDAM = Episode(sampler="gundam")


def seen_of(size: tuple[int, int]):
    with HF(model="nano").open_encoder() as encoder:
        picture = Picture.open(tiny.page(*size))
        return see(GUNDAM, encoder, picture, (Question("a", "Who?", ()),)), encoder.encode(
            [encoder.prepare(picture, TILES_TOK).some(tiles(encoder.prepare(picture, TILES_TOK).grid)[1], "tile")]
        )[0]


def test_tiles_and_the_whole_are_one_view() -> None:
    seen, second = seen_of((1200, 900))
    grid, encoding = seen.grid, seen.encoding
    fine = grid.level == 0
    cells = tiles(grid.some(fine.nonzero()[:, 0]))
    assert 0.8 * TILES_TOK < int(fine.sum()) <= TILES_TOK and 0.8 * GLOBAL_TOK < int((~fine).sum()) <= GLOBAL_TOK
    assert torch.equal(encoding.tokens[cells[1]], second.tokens), "a tile is what it is when it is encoded alone"
    assert seen.encoder_patches == len(grid), "every token is a patch of nano, encoded once"


def test_a_small_page_is_shown_whole() -> None:
    seen, _ = seen_of((240, 200))
    assert int(seen.grid.level.max()) == 0


def test_what_encodes_single_cells_is_refused() -> None:
    with pytest.raises(ConfigError, match="gundam encodes whole tiles, --encoder ink"):
        Episode(sampler="gundam", encoder="ink")


def test_a_tower_that_merges_tokens_is_refused() -> None:
    with (
        saccade.load(sampler="gundam", engine={"name": "hf", "reduction": "tome"}) as eye,
        pytest.raises(ConfigError, match="whole pictures only: another --sampler than gundam"),
    ):
        eye.look(tiny.page(400, 300), "Who?")


def test_it_is_read_like_any_view() -> None:
    with saccade.load(sampler="gundam", engine={"name": "hf", "max_new_tok": 2}) as eye:
        trace = eye.look(tiny.page(1200, 900), "Who?")
    assert trace.steps[0].gaze.reason == "view: gundam" and len(trace.steps) == 1
    assert trace.cost.visual_tok == len(trace.steps[0].selection) > TILES_TOK
