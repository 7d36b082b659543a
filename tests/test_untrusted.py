"""What a request may not choose: someone else's modules, files, and numbers without a limit."""

from typing import Any

import pytest

from saccade.errors import ConfigError
from saccade.untrusted import refuse, refuse_scorers


@pytest.mark.parametrize(
    ("kind", "spec", "message"),
    [
        ("samplers", "os.path", "'os.path' is not one of saccade's own"),
        ("planners", {"name": "a.b"}, "'a.b' is not one of saccade's own"),
        ("importance", {"name": "late", "head": "/etc"}, "head: files are the server's own to name"),
        ("budgets", {"name": "predicted", "weights": "/etc"}, "weights: files are the server's own to name"),
        ("samplers", {"name": "logpolar", "num_rho": 10**9}, "num_rho is 1000000000; a request may say at most 1024"),
        ("samplers", {"name": "logpolar", "num_rho": -(10**99)}, "num_rho is a huge number"),
        ("samplers", {"name": "pyramid", "shares": [0.5, 1e9]}, "shares is 1000000000.0"),
        ("samplers", {"name": "hybrid", "alpha_uv": float("nan")}, "alpha_uv is nan"),
        ("samplers", {"name": "logpolar", "num_rho": "1000000000"}, "num_rho is 1000000000"),
        ("samplers", {"name": "logpolar", "num_rho": " 1_000_000 "}, "num_rho is  1_000_000 ; a request may say"),
        ("samplers", {"name": "logpolar", "num_rho": "9" * 400}, "num_rho is a huge number"),
        ("samplers", {"name": "hybrid", "alpha_uv": "inf"}, "alpha_uv is inf"),
        ("samplers", {"name": "pyramid", "shares": [0.5, "1e9"]}, "shares is 1e9"),
        ("samplers", 3, "needs a 'name'"),
    ],
)
def test_what_is_the_operators(kind: str, spec: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        refuse(kind, spec)


@pytest.mark.parametrize("given", ["query:0.5,a.b", [{"name": "a.b", "weight": 2}], 3, [3]])
def test_mixes_of_scorers(given: Any) -> None:
    with pytest.raises(ConfigError, match=r"saccade's own|'name"):
        refuse_scorers(given)


def test_views_and_unknown_names_are_for_others_to_judge() -> None:
    refuse("samplers", "full")
    refuse("samplers", "resize")
    refuse("planners", "nope")


def test_texts_and_small_numbers_in_quotes_are_no_large_ones() -> None:
    refuse("samplers", {"name": "logpolar", "num_rho": "32"})
    refuse_scorers([{"name": "query", "neutral": "Describe the image of 2024."}])


def test_fields_with_a_limit_of_their_own_may_be_large() -> None:
    refuse("samplers", {"name": "random", "seed": 2**40})
    refuse("budgets", {"name": "fixed", "tokens": "5000"})
    refuse("budgets", {"name": "fixed", "tokens": 5000})
    refuse_scorers([{"name": "edges", "canny_low": 2000, "weight": 3}, "query:0.3"])
