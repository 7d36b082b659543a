"""Resampler and autoencoder: against loops, what they learn on small problems, and their files."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.geometry.grid import plain_grid
from saccade.heads.codec import Codec
from saccade.heads.files import CARD, WEIGHTS, load_cached, save
from saccade.heads.queries import Queries
from saccade.picture import Picture
from saccade.reduction.autoencoder import Autoencoder
from saccade.reduction.resampler import Resampler
from saccade.training.reduction import train_autoencoder, train_resampler
from tests import tiny
from tests.helpers import item
from tests.reduction.trained import tiny_trained

CENTRE = plain_grid(4, 4, 64, 64).centre_uv


def test_attention_against_a_loop() -> None:
    """One round, written out query by query and head by head."""
    torch.manual_seed(1)
    module = Queries(width=6, queries=3, inner=8, heads=2)
    tokens = torch.randn(1, 16, 6)
    with torch.no_grad():
        _, seen = module(tokens, CENTRE[None])
        states = (tokens[0] - tokens[0].mean(-1, keepdim=True)) / (
            tokens[0].var(-1, correction=0, keepdim=True) + 1e-5
        ).sqrt()
        keys = module.key(states) + module._places(CENTRE[None])[0]
        for number in range(3):
            latent = torch.nn.functional.layer_norm(module.latents[number], (8,))
            asked, paid = module.query[0](latent), torch.zeros(16)
            for head in (slice(0, 4), slice(4, 8)):
                logits = torch.stack([asked[head] @ key[head] / 2 for key in keys])
                paid += logits.exp() / logits.exp().sum() / 2
            torch.testing.assert_close(seen[0, number], paid, rtol=1e-4, atol=1e-6)


def test_padding_is_not_read() -> None:
    torch.manual_seed(1)
    module = Queries(width=6, queries=3, inner=8, heads=2)
    tokens, centre = torch.randn(1, 16, 6), CENTRE[None]
    present = torch.arange(16)[None] < 9
    with torch.no_grad():
        padded, seen = module(tokens, centre, present)
        alone, _ = module(tokens[:, :9], centre[:, :9])
    torch.testing.assert_close(padded, alone)
    assert (seen[..., 9:] == 0).all()


def marked(steps: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Sixteen tokens of which one, marked in its first value, holds what is asked for in the last two."""
    make = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        tokens = torch.randn(16, 16, 6, generator=make)
        tokens[..., 0] = 0
        where = torch.randint(16, (16,), generator=make)
        tokens[torch.arange(16), where, 0] = 6
        yield tokens, CENTRE.expand(16, -1, -1), tokens[torch.arange(16), where, 4:]


def test_queries_learn_to_find_what_the_task_needs() -> None:
    torch.manual_seed(0)
    module = Queries(width=6, queries=2, inner=16, heads=2)
    data, unseen = list(marked(250, 0)), next(marked(1, 1))

    def wanted(made: Tensor, asked: Tensor) -> Tensor:
        return (made[:, 0, 4:] - asked).square().mean()

    with torch.no_grad():
        before = float(wanted(module(*unseen[:2])[0], unseen[2]))
    curve = train_resampler(module, ((t, c) for t, c, _ in data), 250, lambda made, n: wanted(made, data[n][2]), 1e-2)
    with torch.no_grad():
        after = float(wanted(module(*unseen[:2])[0], unseen[2]))
    assert len(curve) == 250
    assert after < 0.3 * before and after < 0.3 * float(unseen[2].square().mean()), f"{before} -> {after}"


def test_queries_learn_to_hold_what_was_there() -> None:
    """Pictures of two colours, left and right: two queries can hold them, untrained ones do not."""
    torch.manual_seed(0)
    module = Queries(width=6, queries=2, inner=16, heads=2)

    def pictures(seed: int, steps: int) -> Iterator[tuple[Tensor, Tensor]]:
        make = torch.Generator().manual_seed(seed)
        for _ in range(steps):
            colours = torch.randn(16, 2, 6, generator=make)
            yield colours[:, (CENTRE[:, 0] > 0.5).long()], CENTRE.expand(16, -1, -1)

    curve = train_resampler(module, pictures(0, 300), 300, rate=1e-2)
    assert sum(curve[-20:]) < 0.6 * sum(curve[:20])
    halves = module(*next(pictures(1, 1)))[1][0].detach()  # (2, 16)
    left = halves[:, CENTRE[:, 0] < 0.5].sum(-1)
    assert float((left[0] - left[1]).abs()) > 0.5, "the queries have not shared the page out"


def test_the_codec_starts_at_the_principal_components_and_bends_beyond() -> None:
    """Tokens on a curve: two numbers tell all, but no linear map of two numbers does."""
    make = torch.Generator().manual_seed(0)

    def curved(steps: int) -> Iterator[Tensor]:
        for _ in range(steps):
            u = torch.rand(256, 2, generator=make) * 2 - 1
            yield torch.cat([2 * u, u.square(), u[:, :1] * u[:, 1:]], -1)

    torch.manual_seed(0)
    codec, data = Codec(width=5, code=2, inner=32), list(curved(400))
    codec.start(data[0])
    values = data[0] - data[0].mean(0)
    rest = torch.linalg.svdvals(values)[2:].square().sum() / values.numel()
    linear = float((codec(data[0]) - data[0]).square().mean().detach())
    assert linear == pytest.approx(float(rest), rel=1e-3), "not the best linear codec"
    curve = train_autoencoder(codec, data, 400, 1e-2)
    assert curve[0] == pytest.approx(linear, rel=1e-3)
    unseen = next(curved(1))
    assert float((codec(unseen) - unseen).square().mean().detach()) < 0.2 * linear
    assert codec.encode(unseen).shape == (256, 2)


def test_the_same_after_saving(tmp_path: Path) -> None:
    torch.manual_seed(3)
    for module, call in (
        (Queries(6, 4, 8, 2, 2), lambda m: m(torch.ones(1, 16, 6), CENTRE[None])[0]),
        (Codec(6, 2, 8), lambda m: m(torch.arange(12.0).view(2, 6))),
    ):
        save(module, tmp_path / type(module).__name__, steps=3)
        again = load_cached(type(module), str(tmp_path / type(module).__name__))
        assert torch.equal(call(module), call(again)) and again.sizes == module.sizes
        assert json.loads((tmp_path / type(module).__name__ / CARD).read_text())["notes"] == {"steps": 3}


def test_what_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no Queries"):
        Resampler(weights=str(tmp_path / "nowhere"))
    folder = tiny_trained(tmp_path / "codec", "autoencoder")
    with pytest.raises(ConfigError, match="holds a Codec, not a Queries"):
        Resampler(weights=folder)
    made = item(4, 4, tokens=torch.zeros(16, 9))[1]
    with pytest.raises(ConfigError, match="width 6; this model's are 9"):
        Autoencoder(weights=folder).after(made)
    (tmp_path / "codec" / WEIGHTS).unlink()
    with pytest.raises(ConfigError, match="holds no Codec"):
        load_cached(Codec, folder)


def test_a_query_stands_where_it_looks(tmp_path: Path) -> None:
    folder = tiny_trained(tmp_path / "few", "resampler")
    encoding = item(5, 7)[1]
    found = Resampler(weights=folder).after(encoding)
    module = load_cached(Queries, folder)
    seen = module(encoding.tokens[None], encoding.grid.centre_uv[None])[1][0]
    centre = seen @ encoding.grid.centre_uv  # (4, 2)
    cells = sorted((int(y * 5), int(x * 7)) for x, y in centre.tolist())
    assert list(zip(found.grid.row.tolist(), found.grid.col.tolist(), strict=True)) == cells
    assert len(found) == 4 and found.features.shape == (4, 2, 5)
    torch.testing.assert_close(found.received.sum(), encoding.received.sum())
    assert found.grid.source is not None and found.grid.source.shape == (35,)
    few = item(1, 4)[1]
    assert Resampler(weights=folder).after(few) is few, "as many queries as tokens: nothing to do"


def test_through_the_engine(qwen2_5_vl: Path, tmp_path: Path) -> None:
    save(Queries(width=128, queries=9, inner=16, heads=2), tmp_path / "few")
    picture = Picture.open(tiny.page(301, 203))
    with HF(model=str(qwen2_5_vl), reduction={"name": "resampler", "weights": str(tmp_path / "few")}).open() as engine:
        found = engine.encode([engine.prepare(picture)])[0]
    assert len(found) == 9 and found.tokens.shape == (9, 128)
