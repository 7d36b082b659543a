"""`saccade annotate` from its words to its files, with the bundled model in this process in place of the Ray graph."""

import contextlib
import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner, Result

from pipelines.annotating.export import Exported
from pipelines.commands import app as cli
from pipelines.execute import placement, ray_graph, session
from pipelines.execute.in_process import answer_left
from pipelines.execute.placement import Placement
from pipelines.execute.plan import Plan
from pipelines.runs import manifest, rows, stored
from pipelines.runs.config import RunConfig
from pipelines.runs.folder import RunFolder
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from tests.pipelines.annotating.conftest import SAID, annotated

FIELDS = """
fields:
  - {name: number, question: "What is the invoice number?"}
  - {name: total, question: "What is the total?", type: money, required: false}
  - {name: kind, question: "What is it?", type: choice, choices: [invoice, letter]}
"""


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers in this process."""

    def run(plan: Plan, placed: Placement, config: RunConfig, left: Path, watch: Any) -> float:
        dataset, looks = config.open_dataset(), {rows.ONE: plan.episode}
        with plan.engine.open() as engine:
            answer_left(
                RunFolder(config.output), plan.attempt, dataset, engine, looks, plan.limit_px, Console(quiet=True)
            )
        return 1.0

    monkeypatch.setattr(ray_graph, "run", run)
    monkeypatch.setattr(session, "ray_started", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(placement, "place", lambda _: Placement(1, 1, 1, 32, 0.0, 0.0, 0.25, 1))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two generated pages, a file that is no image, and fields.yaml."""
    (tmp_path / "fields.yaml").write_text(FIELDS)
    folder = tmp_path / "scans"
    folder.mkdir()
    dataset = SynthDoc(page_px=512, num_pages=2)
    for number, row in enumerate(each for each in dataset.rows() if isinstance(each, Row)):
        Image.fromarray(dataset.sample(row).picture.rgb).save(folder / f"{number}.png")
    (folder / "bad.png").write_text("no image")
    return folder


def annotate(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["annotate", *map(str, words)], catch_exceptions=True)


def test_from_pages_to_a_data_set(here: None, scans: Path, tmp_path: Path) -> None:
    output, fields = tmp_path / "out", tmp_path / "fields.yaml"
    looks = ("--sampler", "ink")
    done = annotate(scans, "--fields", fields, "--output", output, *looks)
    assert done.exit_code == 3, (done.output, done.exception)  # bad.png, as in batch
    assert "3 pages, 9 values" in done.output and "3 error" in done.output
    assert f"{output}/review.jsonl says what the errors are" in done.output
    assert "0.png" in done.output and "number" in done.output  # the first page with a value that fits
    table = pq.read_table(output / "annotations" / "00000.parquet").to_pylist()
    assert [row["image"] for row in table] == ["0.png", "1.png", "bad.png"]
    assert all(row["kind"] in ("invoice", "letter") for row in table[:2])  # it was held to its choices
    assert all(row["total_flag"] != "missing" for row in table[:2])
    for row in table[:2]:
        x0, y0, x1, y1 = row["kind_box"]
        assert 0 <= x0 < x1 <= row["width"] and 0 <= y0 < y1 <= row["height"]
    settings = stored.settings(output)
    assert settings["dataset"]["name"] == "fields" and settings["limit"] is None
    again = annotate(scans, "--fields", fields, "--output", output, *looks, "--resume", "--review-below", 0)
    assert again.exit_code == 3 and "unsure" not in again.output  # exported again, nothing asked again
    refused = annotate(scans, "--fields", fields, "--output", output, *looks)
    assert refused.exit_code == 1 and "not empty" in str(refused.exception)
    relabelled = annotate("--from-run", output, "--relabel-failed", "--output", tmp_path / "more", *looks)
    assert relabelled.exit_code == 3 and "values failed or need review and are asked again" in relabelled.stderr
    asked = [json.loads(line) for line in (tmp_path / "more" / ".saccade" / "relabel.jsonl").read_text().splitlines()]
    assert ["bad.png", "number"] in asked
    assert len(pq.read_table(tmp_path / "more" / "annotations" / "00000.parquet")) == 3


def test_the_first_pages(here: None, scans: Path, tmp_path: Path) -> None:
    done = annotate(scans, "--fields", tmp_path / "fields.yaml", "--output", tmp_path / "out", "--limit", 1)
    assert done.exit_code == 0 and "1 page, 3 values" in done.output


def test_the_first_pages_of_what_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def run(config: RunConfig, *_: object) -> Exported:
        listed = RunFolder(config.output)
        listed.begin(config.open_dataset(), config.limit)
        asked.extend(question.id for _, row in manifest.read(listed.manifest) for question in row.questions)
        return Exported()

    asked: list[str] = []
    monkeypatch.setattr("pipelines.commands.annotate.run", run)
    earlier = annotated(tmp_path / "run", SAID)
    words = ("--from-run", earlier, "--relabel-failed", "--output", tmp_path / "more", "--limit", 1)
    done = annotate(*words)
    assert done.exit_code == 0, (done.output, done.exception)
    assert asked == ["b.png:company", "b.png:total"]  # the third value of that page was read
    assert "5 values failed or need review; 2 of them are asked again" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "give IMAGES and --fields"),
        (("none", "--fields", "{fields}"), "no file or folder 'none'"),
        (("{scans}",), "give IMAGES and --fields"),
        (("{scans}", "--fields", "nowhere.yaml"), "cannot read the fields 'nowhere.yaml'"),
        (("{scans}", "--fields", "{fields}", "--set", "limit=3"), "give IMAGES, --limit and --output as options"),
        (("{scans}", "--fields", "{fields}", "--set", "export=csv"), "export in --config or --set: give IMAGES"),
        (("{scans}", "--fields", "{fields}", "--review-below", "2"), "review_below"),
        (("{scans}", "--fields", "{fields}", "--relabel-failed"), "give --from-run DIR as well"),
        (("{scans}", "--fields", "{fields}", "--sampler", "nosuch"), "nosuch"),
    ],
)
def test_what_is_wrong_is_said_before_anything_starts(
    words: tuple[str, ...], message: str, scans: Path, tmp_path: Path
) -> None:
    spelled = [word.format(scans=scans, fields=tmp_path / "fields.yaml") for word in words]
    done = annotate(*spelled, "--output", tmp_path / "out")
    assert done.exit_code == 1 and message in str(done.exception)
    assert not (tmp_path / "out").exists()
    assert "--output DIR" in str(annotate(*spelled).exception)
