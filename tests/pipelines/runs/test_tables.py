"""Experiment tables: means, paired differences and bins worked by hand, and the text that goes into the README."""

from typing import Any

import pytest

from pipelines.runs.tables import summarise, to_markdown


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
        **more,
    }


ROWS = [row("saccade", i, score, x) for i, (score, x) in enumerate([(1.0, 7), (0.5, 7), (0.0, 12), (1.0, 12)])]
ROWS += [row("resize", i, score, x) for i, (score, x) in enumerate([(1.0, 7), (0.0, 7), (0.0, 12), (0.6, 12)])]


def test_means_differences_and_bins() -> None:
    made = summarise(ROWS, ["saccade", "resize"], {"saccade": "resize"}, [6, 10, 21])["variants"]
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
    failed["error"] = "PictureError: broken"
    entry = summarise([failed, row("full", 1, 1.0)], ["full"], {}, [])["variants"]["full"]
    assert (entry["errors"], entry["n"], entry["score"]["mean"]) == (1, 2, 0.5)


def test_markdown() -> None:
    results = summarise(ROWS, ["saccade", "resize"], {"saccade": "resize"}, [6, 10, 21])
    text = to_markdown({**results, "title": "made up", "commit": "abc", "processor": "some CPU"})
    lines = text.splitlines()
    assert lines[0].startswith("|  | tokens | ANLS [95 %]")
    assert lines[2].startswith("| saccade | 273 | 0.62 | +0.23 to resize | 0.50 | 0.50 | 0.75 |"), (
        "two pages: no bounds"
    )
    assert len({line.count("|") for line in lines[:4]}) == 1
    assert "n = 4 questions on 2 pages" in text
    assert "Commit abc, some CPU." in text
