"""Where the time goes: stages add up, inner ones are taken off outer ones, nobody pays outside of a clock."""

import time

import pytest

from saccade.clock import STAGES, clock, stage


@stage("encoder")
def outer(seconds: float) -> str:
    time.sleep(seconds)
    inner(seconds)
    return "done"


@stage("decoding")
def inner(seconds: float) -> None:
    time.sleep(seconds)


def test_stages_never_count_a_second_twice() -> None:
    started = time.perf_counter()
    with clock() as spent:
        assert outer(0.02) == "done"
        inner(0.02)
    total = time.perf_counter() - started
    assert list(spent) == ["decoding", "encoder"]
    assert spent["decoding"] >= 0.04 and spent["encoder"] >= 0.02
    assert sum(spent.values()) <= total


def test_outside_of_a_clock_nothing_is_counted() -> None:
    with clock() as spent:
        pass
    outer(0.0)
    assert spent == {}


def test_a_stage_that_fails_is_counted_and_fails() -> None:
    @stage("answer")
    def broken() -> None:
        raise ValueError("no")

    with clock() as spent:
        with pytest.raises(ValueError, match="no"):
            broken()
        inner(0.0)
    assert set(spent) == {"answer", "decoding"}


def test_an_inner_clock_is_a_clock_of_its_own() -> None:
    with clock() as spent:
        with clock() as within:
            inner(0.0)
    assert list(within) == ["decoding"] and spent == {}


def test_only_known_stages() -> None:
    assert len(set(STAGES)) == 7
    with pytest.raises(AssertionError, match="pretraining"):
        stage("pretraining")
