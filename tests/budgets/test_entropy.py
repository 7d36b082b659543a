"""The entropy floor: entropies by hand, and who gets more."""

import torch

from saccade.budgets.entropy import Entropy, average
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.tokens.entropy import token_entropy
from saccade.types import Scene
from tests.helpers import item


def test_averages_are_those_of_cells():
    tokens = torch.arange(16.0).view(16, 1)
    row, col = torch.arange(16) // 4, torch.arange(16) % 4
    assert average(tokens, row, col, 4, 4, 4).flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert len(average(tokens, row, col, 4, 4, 100)) == 16


def page(tokens: torch.Tensor) -> Scene:
    return Scene.of([item(16, 16, tokens=tokens)])


def test_more_is_kept_until_the_floor_is_reached():
    make = torch.Generator().manual_seed(0)
    # Checkered in two opposite kinds: any average of neighbours is nearly nothing but the common part.
    sign = ((torch.arange(256) // 16 + torch.arange(256)) % 2 * 2 - 1).float().unsqueeze(1)
    kinds = sign * torch.nn.functional.normalize(torch.randn(256, 6, generator=make), dim=-1)
    checkered = page(kinds + 0.2)
    few, blank = Entropy(tokens=4, most=256, floor=0.9), page(torch.ones(256, 6))
    given = few(checkered)[0]
    assert given > 4
    unit = torch.nn.functional.normalize(checkered.tokens[0], dim=-1)
    place = checkered.row[0], checkered.col[0], 16, 16
    most = token_entropy(unit)
    assert token_entropy(average(unit, *place, given)) >= 0.9 * most or given == 256
    steps = [4]
    while steps[-1] < given:
        steps.append(min(256, int(steps[-1] * 1.25) + 1))
    assert steps[-1] == given
    assert all(token_entropy(average(unit, *place, keep)) < 0.9 * most for keep in steps[:-1])
    assert few(blank) == [4]  # nothing to lose
    assert Entropy(tokens=4, most=20, floor=1.0)(checkered) == [20]
    assert Entropy(tokens=4, most=256, floor=0.0)(checkered) == [4]


def test_large_pages_get_more_and_small_ones_do_not():
    """Of the bundled model's own tokens: averaging to 273 takes more from a page that has more to lose."""
    with HF(model="nano").open_encoder() as encoder:
        given = {}
        for page_px in (512, 1024):
            data = SynthDoc(page_px=page_px, num_pages=2, split="train", seed=78)
            pictures = [data.picture(row.source) for row in data.rows()]
            encoded = [encoder.encode([encoder.prepare(picture)])[0] for picture in pictures]
            query = encoder.query("Total?")
            given[page_px] = [Entropy()(Scene.of([pair + (query,)]))[0] for pair in zip(pictures, encoded, strict=True)]
    assert given[512] == [273, 273] and all(273 < tokens <= 819 for tokens in given[1024])
