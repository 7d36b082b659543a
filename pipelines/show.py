"""`saccade show`: where a run looked for one question, from what the run stored."""

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as arrow
import yaml

from pipelines import manifest
from pipelines.files import picture_path
from saccade.datasets import Dataset
from saccade.errors import ConfigError
from saccade.registry import load
from saccade.viz.trace import draw, save
from saccade.viz.view import TraceView

PICTURES = ("trace",)


def show(run: Path, question_id: str | None, what: str, output: Path | None) -> Path:
    """Draws one answered question of a run; the path of the PNG.

    Raises:
        ConfigError: no run, no such question, or no such picture.
        DataError: the question ended in an error, or its image cannot be read any more.
    """
    if what not in PICTURES:
        raise ConfigError(f"no picture {what!r}. There are: {', '.join(PICTURES)}")
    if output is not None:
        picture_path(output)
    row = answered(run, question_id)
    settings = yaml.safe_load((run / "run.yaml").read_text())
    dataset = load("datasets", settings["dataset"], Dataset)
    listed = manifest.find(run / ".saccade" / "manifest.parquet", row["image_id"])
    sample = dataset.sample(listed, settings["max_px"])
    boxes = next(question.answer_boxes_uv for question in sample.questions if question.id == row["id"])
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in row["id"])
    figure = draw(TraceView.from_row(row), sample.picture, boxes_uv=boxes)
    return save(figure, output or run / "show" / f"{name}.png")


def answered(run: Path, question_id: str | None) -> dict[str, Any]:
    """One row of a run's answers: the question's, or the first that is no error row."""
    if not (run / "run.yaml").exists() or not any((run / "answers").glob("*.parquet")):
        raise ConfigError(f"{run} holds no answers: is it the --output of a `saccade batch`?")
    answers = arrow.dataset(run / "answers", format="parquet")
    wanted = arrow.field("id") == question_id if question_id is not None else arrow.field("error").is_null()
    found = answers.head(1, filter=wanted).to_pylist()
    if not found:
        some = answers.head(5, columns=["id"])["id"].to_pylist()
        raise ConfigError(
            f"no question {question_id!r} was answered in {run}. There are: {json.dumps(some)[1:-1]}, ..."
        )
    return dict(found[0])
