"""`saccade report`: one file that says what was measured, and lets nothing of what it is given become markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from pipelines.commands import app as cli
from pipelines.reporting import charts, looks, run_page
from pipelines.reporting.experiment_page import read_rows
from pipelines.reporting.page import page, report
from pipelines.runs import rows, stored
from saccade.errors import ConfigError
from saccade.picture import Picture
from saccade.viz.view import TraceView
from tests.pipelines.written_run import HOSTILE, answer, error_row, look, write_run

VOID = {"meta", "link", "img", "br", "input"}


class Reader(HTMLParser):
    """Text and tags of a page; tags must be closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def read(path: Path) -> Reader:
    return Reader(path.read_text(encoding="utf-8"))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four answers on two pages and two errors."""
    rows = [
        answer(0, "INV-7", 1.0, 0.9),
        answer(1, "INV-1", 0.8, 0.6, page="1.png"),
        answer(2, "nothing like", 0.0, 0.8, page="1.png", looks=[look(0.1, 0.1, range(4), "nothing like", 0.8)]),
        answer(3, "", 0.0, 0.0),
        error_row(4, "PictureError: too small"),
        error_row(5, "PictureError: too small"),
    ]
    return write_run(tmp_path / "data" / "run", rows)


def test_a_report_says_what_was_measured(run: Path) -> None:
    path = report(run, None, 4)
    assert path == run / "report.html"
    words = read(path).words
    assert "0.30 ANLS [" in words and "n = 6" in words  # (1 + 0.8) / 6: errors count as wrong
    assert "17 % exact answers" in words and "50 % of the answer boxes looked at" in words
    assert "13 tokens per question, 27 % of the page's" in words  # (3 x 16 + 4) / 4 of 48
    assert "1.8 looks per question" in words and "2 of 6 questions ended in an error" in words
    assert "This run has not ended" in words  # no summary.json
    assert "encode 2.0 s, 50 %" in words and "1.000 s per question" in words
    assert "2 PictureError: too small" in words
    for name in ("Accuracy against tokens", "What confidence was worth", "Scores", "Tokens", "Looks", "Best", "Worst"):
        assert name in words
    assert "2 looks: ANLS 0.30" in words and "1 look: ANLS 0.00" in words  # what the first looks' answers were worth


def test_where_an_answer_was_read_is_drawn_and_shown_by_itself(run: Path) -> None:
    found = read(report(run, None, 4)).seen
    crops = [about for tag, about in found if tag == "svg" and about.get("class") == "crop"]
    boxes = [about for tag, about in found if tag == "rect" and about.get("class") == "box evidence"]
    assert len(crops) == len(boxes) == 3  # the fourth could not be read
    # Cells 20 to 25 are row 3, columns 2 to 5, and, joined by a corner, row 4, columns 0 and 1. A cell has 16 x 16 px.
    shown = [float(number) for number in str(crops[0]["viewbox"]).split()]
    assert shown == pytest.approx([0, 48 - 1.28, 96, 32 + 2.56], abs=0.06)
    assert (boxes[0]["x"], boxes[0]["y"], boxes[0]["width"], boxes[0]["height"]) == ("0.0", "48.0", "96.0", "32.0")


def test_numbers_and_dates_are_right_when_they_are_the_same_ones(tmp_path: Path) -> None:
    said = [("9.00", "38.00", 0.6), ("1,234.50", "1234.5", 0.4), ("12/01/2019", "11/01/2019", 0.9)]
    said += [("11 Jan 2019", "11/01/2019", 0.1), ("Siver Ltd", "Silver Ltd", 0.9), ("9.00", "9.04", 1.0)]
    made = [
        answer(number, text, score, 0.9) | {"answers": [wanted], "metric": "relaxed" if score == 1 else "anls"}
        for number, (text, wanted, score) in enumerate(said)
    ]
    page = report(write_run(tmp_path / "data" / "run", made), None, 6).read_text()
    painted = re.findall(r'class="(right|wrong)">([^<]*)</span> <em>for ([^<]*)</em>', page)
    right = {(text, wanted) for kind, text, wanted in painted if kind == "right"}
    assert len(painted) == len(said) and right == {said[number][:2] for number in (1, 3, 4, 5)}


def test_most_of_a_page_is_not_shown_by_itself() -> None:
    picture = Picture.open(np.zeros((128, 96, 3), np.uint8))
    most = TraceView.from_row(answer(0, "x", 1.0, 0.9, looks=[look(0.5, 0.5, range(40), "x", 0.9, "view: full")]))
    assert most.evidence_uv is not None and looks.crop_svg(most, picture, "page0") == ""
    assert looks.crop_svg(TraceView.from_row(answer(0, "", 0.0, 0.0)), picture, "page0") == ""


def test_the_numbers_a_run_ended_with_are_in_it(run: Path) -> None:
    summary = {
        "questions": 6,
        "images": 2,
        "score": None,
        "exact": None,
        "coverage": None,
        "visual_tok": None,
        "errors": 2,
        "fixations": {"mean": None, "counts": {}},
        "images_per_s": 1.25,
        "seconds": 4.0,
        "errors_by_reason": {},
        "skipped": {},
    }
    (run / "summary.json").write_text(json.dumps(summary))
    words = read(report(run, None, 0)).words
    assert "questions 6 on 2 images" in words and "speed 1.25 images/s, 4 s after start-up" in words
    assert "Where it looked" not in words  # no examples were asked for


def test_the_same_run_gives_the_same_file_and_nothing_is_fetched(run: Path, tmp_path: Path) -> None:
    first, second = report(run, tmp_path / "a.html", 3), report(run, tmp_path / "b.html", 3)
    assert first.read_bytes() == second.read_bytes()
    tags = read(first).seen
    assert [tag for tag, _ in tags if tag in ("script", "link", "iframe", "object", "embed")] == ["link", "script"]
    for _, given in tags:
        for key in ("src", "href", "action", "style"):
            assert re.match(r"(data:|#|background:#|$)", given.get(key) or "")
    assert sum(tag == "image" and given.get("id", "").startswith("page") for tag, given in tags) == 2  # a page, once


def test_nothing_that_is_given_becomes_markup(tmp_path: Path) -> None:
    rows = [
        answer(0, HOSTILE, 0.0, 0.5, question=HOSTILE, looks=[look(0.5, 0.5, range(9), HOSTILE, 0.5, reason=HOSTILE)]),
        error_row(1, f"DataError: {HOSTILE}", question=HOSTILE),
    ]
    rows[0]["answers"] = [HOSTILE]
    path = report(write_run(tmp_path / "data" / "run", rows, commit=HOSTILE), None, 2)
    found = read(path)
    assert [tag for tag, _ in found.seen if tag == "script"] == ["script"]
    assert not any(tag == "img" or any(key.startswith("on") for key in given) for tag, given in found.seen)
    assert found.words.count("window.hacked = 1") >= 6  # question, answer, expected, look, error, settings: as text
    assert "{{body}}" in found.words  # nor does it become a place of the template


def test_rows_are_read_without_their_cells(run: Path) -> None:
    whole = pq.read_table(run / "answers").to_pylist()
    light = list(stored.rows(run))
    assert len(light) == 6 and all("kept" not in item for row in light for item in row["fixations"])
    for row in whole:
        for item in row["fixations"]:
            del item["kept"]
    assert light == whole


def test_only_the_pages_own_script_may_run() -> None:
    html = page("a <title>", "<main></main>")
    script = re.search(r"<script>(.*)</script>", html, re.DOTALL)
    policy = re.search(r"script-src 'sha256-([^']+)'", html)
    assert script and policy
    assert base64.b64decode(policy[1]) == hashlib.sha256(script[1].encode()).digest()
    assert "default-src 'none'" in html and "<title>a &lt;title&gt;</title>" in html


def test_a_page_that_is_gone_is_said(run: Path) -> None:
    (run.parent / "0.png").unlink()
    words = read(report(run, None, 4)).words
    assert words.count("The page cannot be shown: PictureError") == 2


def test_hidden_answers_leave_no_scores(tmp_path: Path) -> None:
    rows = [answer(n, "x", None, 0.1 * n) for n in range(4)]
    words = read(report(write_run(tmp_path / "data" / "run", rows), None, 1)).words
    assert "Most confident" in words and "Least confident" in words
    assert "ANLS" not in words.replace("id question answer expected ANLS sure tokens looks", "")
    assert "Accuracy against tokens" not in words


def test_a_run_of_errors_alone(tmp_path: Path) -> None:
    words = read(report(write_run(tmp_path / "data" / "run", [error_row(0, "X: y")]), None, 4)).words
    assert "1 of 1 question ended in an error" in words and "0.00 ANLS" in words and "Where it looked" not in words


def test_best_and_worst_by_hand() -> None:
    rows = [
        answer(n, "x", score, sure)
        for n, (score, sure) in enumerate([(1, 0.2), (0, 0.9), (1, 0.8), (0, 0.1), (0.5, 1)])
    ]
    best, worst = run_page.extremes(rows, 2)
    assert [row["id"] for row in best] == ["q2", "q0"]
    assert [row["id"] for row in worst] == ["q1", "q3"]  # surest of the wrong ones first
    best, worst = run_page.extremes(rows[:1], 3)
    assert len(best) == 1 and worst == []
    best, worst = run_page.extremes(rows, 9)
    assert len(best) == 3 and len(worst) == 2  # none twice
    hidden = {**answer(9, "x", 0, 0.9), "score": None}
    best, worst = run_page.extremes([*rows, hidden], 9)
    assert hidden not in best + worst  # nobody knows whether it is bad
    assert run_page.extremes([hidden], 9) == ([hidden], [])


def test_outlines_by_hand() -> None:
    inside = np.array([[1, 1, 0], [0, 1, 0]], dtype=bool)
    assert looks.edges(inside) == "M0 0h2M0 1h1M1 2h1M0 0v1M1 1v1M2 0v2"
    some = np.random.default_rng(0).random((9, 7)) < 0.5
    total = sum(int(length) for length in re.findall(r"[hv](\d+)", looks.edges(some)))
    padded = np.pad(some, 1)
    assert total == (padded[1:] != padded[:-1]).sum() + (padded[:, 1:] != padded[:, :-1]).sum()


def test_a_cell_belongs_to_the_look_that_kept_it_first() -> None:
    row = answer(0, "x", 1.0, 0.5, looks=[look(0, 0, range(4), "x", 1), look(1, 1, range(2, 8), "x", 1)])
    assert TraceView.from_row(row).owners()[:2].ravel().tolist() == [0] * 4 + [1] * 4 + [-1] * 4


def test_pages_share_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "PAGES_BYTES", 300_000)
    pages, noise = looks.Pages(3), np.random.default_rng(0)
    for name in ("a", "b", "c", "a"):
        pages.add(name, Picture.open(noise.integers(0, 256, (900, 1200, 3), dtype=np.uint8)))
    assert pages.svg().count("<image ") == 3
    assert 100_000 < len(pages.svg()) < 1.34 * 300_000 + 1000  # base64 is a third longer
    assert 'width="1200" height="900"' in pages.svg()


def test_round_numbers_on_axes() -> None:
    assert charts.steps(0.71) == (0, 0.2, 0.4, 0.6, 0.8)
    assert charts.steps(819, whole=True) == (0, 200, 400, 600, 800, 1000)
    assert charts.steps(3, 4, whole=True) == (0, 1, 2, 3)
    assert charts.steps(0) == (0, 1)
    assert [charts.number(value) for value in (0.25, 1000.0, 5)] == ["0.25", "1,000", "5"]
    axis = charts.Axis(10, 1000, 0, 100, (), log=True)
    assert [axis.at(value) for value in (10, 100, 1000)] == pytest.approx([0, 50, 100])


def test_bins_hold_every_value_once() -> None:
    assert charts.tenths([0, 0.05, 0.1, 0.95, 1.0])[::9] == [(0, 0.1, 2), (0.9, 1.0, 2)]
    assert charts.binned([273, 273]) == [(272, 273, 0), (273, 274, 2), (274, 275, 0)]
    some = list(np.random.default_rng(0).integers(100, 4000, 500))
    bins = charts.binned(some)
    assert sum(count for _, _, count in bins) == 500 and 6 <= len(bins) <= 14
    for low, high, count in bins:
        assert count == sum(low <= value < high for value in some)


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Two variants of three questions; the last line was cut off by a kill."""

    def interval(mean: float) -> dict[str, Any]:
        return {
            "mean": mean,
            "low": mean - 0.1,
            "high": mean + 0.1,
            "num_questions": 3,
            "num_pages": 2,
            "num_resamples": 10,
            "seed": 0,
            "level": 0.95,
        }

    def entry(tokens: int, mean: float) -> dict[str, Any]:
        return {
            "n": 3,
            "errors": 0,
            "score": interval(mean),
            "exact": interval(0.1),
            "coverage": None,
            "visual_tok": tokens,
            "prefill_tok": 9.0,
            "fixations": 1.0,
            "read_s": 0.2,
            "plan_s": 0.1,
            "encoder_passes": 1.0,
            "bins": [],
        }

    variants = {"<b>full</b>": entry(900, 0.6), "resize@273": entry(273, 0.3)}
    results = {"bins": [], "variants": variants, "title": "Two <i>ways</i>", "commit": "abc1234", "experiment": {}}
    (tmp_path / "results.json").write_text(json.dumps(results))
    made = [
        {
            "variant": name,
            "id": str(n),
            "score": 0.5,
            "confidence": 0.2 * n,
            "visual_tok": 273 + n,
            "fixations": [look(0.5, 0.5, range(2), "x", 0.5)],
        }
        for name in variants
        for n in range(3)
    ]
    wrong = {**made[0], "id": "9", "error": "X: <b>", "fixations": []}
    (tmp_path / "answers").mkdir()
    pq.write_table(pa.Table.from_pylist([*made, wrong], rows.SCHEMA), tmp_path / "answers" / "00000000.parquet")
    return tmp_path


def test_the_report_of_an_experiment(experiment: Path) -> None:
    found = read(report(experiment, None, 4))
    words = found.words
    assert "Two <i>ways</i>" in words and "<b>full</b>" in words
    assert ("i", {}) not in found.seen and "b" not in [tag for tag, _ in found.seen]
    assert "0.60 [0.50, 0.70]" in words and "0.30 [0.20, 0.40]" in words
    assert "n = 3 questions on 2 pages" in words
    assert "resize@273: ANLS 0.30 [0.20, 0.40] with 273 tokens" in words
    assert "274 (273 to 275)" in words and "100 ms plan, 200 ms read" in words
    assert "1 answer; each counts as wrong" in words and "X: <b>" in words
    by_variant = read_rows(experiment, ["<b>full</b>"])
    assert [row["id"] for row in by_variant["<b>full</b>"]] == ["0", "1", "2", "9"]


def test_results_alone_are_enough(experiment: Path, tmp_path: Path) -> None:
    (experiment / "answers" / "00000000.parquet").unlink()
    path = report(experiment / "results.json", tmp_path / "made.html", 4)
    words = read(path).words
    assert "Accuracy against tokens" in words and "What confidence was worth" not in words


def test_what_cannot_be_reported_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no answers: is it the --output of a `saccade batch`"):
        report(tmp_path, None, 4)
    with pytest.raises(ConfigError, match="written as .html"):
        report(run, tmp_path / "x.pdf", 4)
    with pytest.raises(ConfigError, match="there is no folder .*nowhere' to write x.html into"):
        report(run, tmp_path / "nowhere" / "x.html", 4)


def test_the_command(run: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli.app, ["report", str(run), "--output", str(tmp_path / "x.html")], catch_exceptions=False
    )
    assert result.exit_code == 0 and re.search(r"written to .*x\.html \(0\.\d MB\)", result.output)
