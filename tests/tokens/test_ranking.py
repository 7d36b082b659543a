"""Token kernels against loops."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from saccade.tokens.ranking import bins_first, first_of_bin, normalise, rank
from saccade.tokens.similarity import cosine
from tests.helpers import importance_of

YES = torch.ones(1, 5, dtype=torch.bool)


def test_normalise_by_hand():
    raw = torch.tensor([[2.0, 4.0, 3.0, 99.0, -99.0], [7.0, 7.0, 7.0, 7.0, 7.0]])
    present = torch.tensor([[True, True, True, False, False], [True] * 5])
    assert normalise(raw, present).tolist() == [[0.0, 1.0, 0.5, 0.0, 0.0], [0.0] * 5]


def test_normalise_does_not_stretch_rounding_errors():
    raw = torch.full((1, 5), 0.1)
    raw[0, 2] += 1e-8
    assert normalise(raw, YES).sum() == 0
    assert normalise(torch.tensor([[0.0, 1e-20, 0, 0, 0]]), YES)[0, 1] == 1  # small is not constant
    assert normalise(torch.ones(1, 5), ~YES).tolist() == [[0.0] * 5]


def test_cosine_is_0_where_either_is_zero():
    words = torch.tensor([[[2.0, 0.0], [0.0, 0.0]]])
    tokens = torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    assert torch.allclose(cosine(tokens, words), torch.tensor([[[0.6, 0.0], [0.0, 0.0]]]))


def test_rank_puts_ties_in_order_and_invalid_tokens_last():
    values = torch.tensor([[0.5, 0.9, 0.5, 1.0, 0.1]])
    valid = torch.tensor([[True, True, True, False, True]])
    assert rank(values, valid).tolist() == [[1, 0, 2, 4, 3]]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 99))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_first_of_bin_is_the_loop(num_tok, num_bins, seed):
    make = torch.Generator().manual_seed(seed)
    values = importance_of(num_tok, num_tok, seed=seed)
    bins = torch.randint(num_bins, (2, num_tok), generator=make)
    ranks = rank(values, torch.ones_like(bins, dtype=torch.bool))
    found = first_of_bin(ranks, bins, num_bins)
    for b in range(2):
        best: dict[int, int] = {}
        for i in sorted(range(num_tok), key=lambda i: -float(values[b, i])):
            best.setdefault(int(bins[b, i]), i)
        assert set(found[b].nonzero().flatten().tolist()) == set(best.values())
        order = bins_first(ranks, bins, num_bins)[b].argsort(descending=True).tolist()
        rest = [i for i in range(num_tok) if i not in best.values()]
        expected = sorted(best.values(), key=lambda i: -values[b, i]) + sorted(rest, key=lambda i: -values[b, i])
        assert order == expected
