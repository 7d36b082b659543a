"""Experiment tables: means, paired differences and bins worked by hand, and the text that goes into the README."""

from typing import Any

import pytest

from pipelines.runs.experiment import Experiment
from pipelines.runs.markdown import cells, to_markdown
from pipelines.runs.tables import summarise, verdict
from saccade.metrics.bootstrap import Interval


def row(variant: str, number: int, anls: float, x_height_px: float = 7.0, **more: Any) -> dict[str, Any]:
    return {
        "variant": variant,
        "id": f"q{number}",
        "image_id": f"page{number // 2}",
        "x_height_px": x_height_px,
        "score": anls,
        "exact": float(anls == 1),
        "coverage": 0.5,
        "visual_tok": 273,
        "prefill_tok": 300,
        "encoder_passes": 1.0 if number % 2 == 0 else 0.0,
        "fixations": 2,
        "read_s": 0.1,
        "plan_s": 0.2,
        "readable": anls > 0,
        "metadata": {},
        "question": "What?",
        "answers": ["x"],
        "answer": "y",
        **more,
    }


def experiment(*variants: str, **settings: Any) -> Experiment:
    return Experiment(title="", dataset={}, variants={name: {} for name in variants}, **settings)


ROWS = [row("saccade", i, score, x) for i, (score, x) in enumerate([(1.0, 7), (0.5, 7), (0.0, 12), (1.0, 12)])]
ROWS += [row("resize", i, score, x) for i, (score, x) in enumerate([(1.0, 7), (0.0, 7), (0.0, 12), (0.6, 12)])]
BOTH = experiment("saccade", "resize", against={"saccade": "resize"}, bins=(6, 10, 21))


def test_means_differences_and_bins() -> None:
    made = summarise(ROWS, BOTH)["variants"]
    entry = made["saccade"]
    assert entry["score"]["mean"] == pytest.approx(0.625)
    assert entry["exact"]["mean"] == pytest.approx(0.5)
    assert entry["difference"]["mean"] == pytest.approx((0 + 0.5 + 0 + 0.4) / 4)
    assert entry["difference"]["low"] == pytest.approx(0.2), "resampling pages: means of 0.25 and 0.2"
    assert entry["difference"]["high"] == pytest.approx(0.25)
    assert [b["mean"] for b in entry["bins"]] == pytest.approx([0.75, 0.5])
    assert entry["encoder_passes"] == 1.0, "each of the two pages once"
    assert entry["cannot_read"] == pytest.approx(0.25)
    assert "difference" not in made["resize"]


def test_an_error_row_scores_zero_and_is_counted() -> None:
    failed = {"variant": "full", "id": "q0", "image_id": "p", "x_height_px": None, "score": 0.0, "exact": 0.0}
    failed["metadata"] = {}
    failed["error"] = "PictureError: broken"
    results = summarise([failed, row("full", 1, 1.0), row("ink", 0, 1.0)], experiment("full", "ink"))
    entry = results["variants"]["full"]
    assert (entry["errors"], entry["n"], entry["score"]["mean"]) == (1, 2, 0.5)
    assert "errors, counted as wrong: full 1. coverage: " in to_markdown(results)
    assert "errors" not in to_markdown(summarise(ROWS, BOTH))


def test_markdown() -> None:
    results = summarise(ROWS, BOTH)
    text = to_markdown({**results, "title": "made up", "commit": "abc", "processor": "some CPU"})
    lines = text.splitlines()
    assert lines[0].startswith("|  | tokens | ANLS [95 %]")
    assert lines[2].startswith("| saccade | 273 | 0.62 | +0.23 to resize | 0.50 | 0.50 | 0.75 |"), (
        "two pages: no bounds"
    )
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert "n = 4 questions on 2 pages" in text
    assert "Commit abc, some CPU." in text


def test_groups_by_metadata_and_their_spread() -> None:
    rows = [{**each, "metadata": {"part": "even" if each["id"] in ("q0", "q2") else "odd"}} for each in ROWS]
    results = summarise(rows, experiment("saccade", "resize", by="part", spread=True))
    entry = results["variants"]["saccade"]
    assert {name: one["mean"] for name, one in entry["groups"].items()} == {"even": 0.5, "odd": 0.75}
    assert entry["spread"] == pytest.approx(0.25 / 2**0.5), "of two means, a quarter apart"
    columns, lines = cells(results)
    assert columns[6:9] == ["even", "odd", "spread"] and lines[0][6:9] == ["0.50", "0.75", "0.177"]


def test_groups_by_what_a_variant_reads() -> None:
    entry = summarise(ROWS, experiment("saccade", "resize", by="resize"))["variants"]["saccade"]
    means = {name: one["mean"] for name, one in entry["groups"].items()}
    assert means == {"read by resize": 1.0, "not read by resize": 0.25}, "q0 and q3 against q1 and q2"


def test_verdicts() -> None:
    def interval(low: float | None, high: float | None) -> Interval:
        return Interval(0.1, low, high, 9, 9, 9, 0, 0.95)

    assert verdict(interval(0.05, 0.15), 0.1) == "as expected"
    assert verdict(interval(0.05, 0.15), 0.2) == "less" and verdict(interval(0.05, 0.15), 0.0) == "more"
    assert verdict(interval(None, None), 0.1) == verdict(None, 0.1) == "open"
    results = summarise(ROWS, BOTH.with_settings(expected={"saccade": 0.3}))
    assert results["variants"]["saccade"]["verdict"] == "open", "two pages"
    columns, lines = cells(results)
    assert columns[4] == "expected" and [line[4] for line in lines] == ["+0.3: open", ""]


def test_latency_memory_and_profile() -> None:
    stages = {"encoder": 0.02, "prefill": 0.1}
    rows = [row("full", n, 1.0, encode_s=0.0, read_s=n, plan_s=0.5, stages=stages, peak_mb=10.0 * n) for n in range(21)]
    made = experiment("full", timed=True, memory=True, profile=True)
    results = {**summarise(rows, made), "experiment": made.dump()}
    entry = results["variants"]["full"]
    assert (entry["seconds"], entry["seconds_p50"], entry["seconds_p95"]) == (10.5, 10.5, 19.5)
    assert entry["right_per_s"] == pytest.approx(21 / 220.5) and entry["peak_mb"] == 200.0
    text = to_markdown(results)
    assert "| s | p50 s | p95 s | right/s | peak MB |" in text
    assert "|  | decoding | pyramid | encoder | scoring | selection | prefill | answer | rest |" in text
    assert "| full | - | - | 20.0 | - | - | 100.0 | - | 10380.0 |" in text
