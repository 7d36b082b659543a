"""Reads a stored run: the one reader of its rows, for pictures, pages and analyses."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as arrow
import yaml

from pipelines.runs import manifest
from pipelines.runs.layout import Layout
from pipelines.runs.rows import SCHEMA
from saccade.datasets import Dataset
from saccade.errors import ConfigError
from saccade.metrics.scoring import title
from saccade.registry import load
from saccade.types import Sample
from saccade.wording import meant


def results_file(target: Path) -> Path | None:
    """The results.json of an experiment's folder, or such a file itself."""
    if target.is_dir():
        path = Layout(target).results_json
        return path if path.exists() else None
    return target if target.suffix == ".json" else None


def sample(folder: Path, settings: Mapping[str, Any], image_id: str) -> Sample:
    """One image of a run, opened by the data set that run.yaml names.

    Raises:
        ConfigError: the data set is not there any more.
        DataError: the image cannot be read any more.
    """
    dataset: Dataset = load("datasets", settings["dataset"], Dataset)
    return dataset.sample(manifest.find(Layout(folder).manifest, image_id), settings["max_px"])


def row(run: Path, question_id: str | None, variant: str | None = None) -> dict[str, Any]:
    """One row of a run's answers: of a question, or the first that is not an error row; of a variant, or of the first.

    Raises:
        ConfigError: there is no such row; the message says which there are.
    """
    check(run)
    with _readable(run):
        return _row(run, _answers(run), question_id, variant)


def _row(run: Path, answers: arrow.Dataset, question_id: str | None, variant: str | None) -> dict[str, Any]:
    wanted = arrow.field("id") == question_id if question_id is not None else arrow.field("error").is_null()
    if variant is not None:
        variants = sorted(set(answers.to_table(columns=["variant"])["variant"].to_pylist()))
        if variant not in variants:
            raise ConfigError(
                f"no variant {variant!r} in {run}. {meant(variant, variants)}There are: {', '.join(variants)}"
            )
        wanted &= arrow.field("variant") == variant
    matching = answers.head(1, filter=wanted).to_pylist()
    if not matching and question_id is None:
        of_variant = f" of the variant {variant!r}" if variant is not None else ""
        raise ConfigError(f"every answer{of_variant} in {run} is an error; --id shows one")
    if not matching:
        some = answers.head(6, columns=["id"])["id"].to_pylist()
        more = ", ..." if len(some) > 5 else ""
        raise ConfigError(
            f"no question {question_id!r} was answered in {run}. There are: {json.dumps(some[:5])[1:-1]}{more}"
        )
    return dict(matching[0])


def rows(run: Path, *, cells: bool = False) -> Iterator[dict[str, Any]]:
    """Every row of a run's answers; `cells`: with those that each look kept, which are most of what a run stores."""
    if not Layout(run).answers.exists():
        return
    with _readable(run):
        for batch in _answers(run).to_batches():
            yield from (batch if cells else _light(batch)).to_pylist()


def _light(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows without the cells that each look kept."""
    looks = batch.column("fixations")
    names = [field.name for field in looks.type.value_type if field.name != "kept"]
    light = pa.StructArray.from_arrays([looks.values.field(name) for name in names], names=names)
    listed = pa.ListArray.from_arrays(looks.offsets, light)
    return batch.set_column(batch.schema.get_field_index("fixations"), "fixations", listed)


@contextmanager
def _readable(run: Path) -> Iterator[None]:
    """Raises ConfigError where a file of answers is none, or was cut off."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise ConfigError(
            f"a file of answers in {Layout(run).answers} cannot be read: {str(error).splitlines()[0]}. The command "
            "that made the run makes it again (with --resume)"
        ) from error


def place(row: Mapping[str, Any]) -> str:
    """Which page a row is about: its file (or else the image's id), and page and size where they are known."""
    parts = [row["path"] or row["image_id"]]
    parts += [] if row["page"] is None else [f"page {row['page']}"]
    parts += [] if row["width_px"] is None else [f"{row['width_px']:,} x {row['height_px']:,} px"]
    return ", ".join(parts)


def check(run: Path) -> None:
    """Raises ConfigError if a folder is not that of a run, or nothing is answered in it yet."""
    layout = Layout(run)
    if not layout.run_yaml.exists() or not any(layout.answers.glob("*.parquet")):
        raise ConfigError(
            f"{run} holds no answers: is it the --output of a `saccade batch`, or of a `saccade experiment` "
            "(results.json)?"
        )


def results(path: Path) -> dict[str, Any]:
    """A results.json.

    Raises:
        ConfigError: it is not such a file.
    """
    try:
        read = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error
    if not isinstance(read, dict) or not isinstance(read.get("variants"), dict):
        raise ConfigError(f"{path} is not the results.json of a `saccade experiment`: it has no variants")
    for entry in read["variants"].values():
        if isinstance(entry, dict) and "anls" in entry:  # written before there were other metrics
            entry["score"] = entry.pop("anls")
    return {"metric": title(()), **read}


def settings(run: Path) -> dict[str, Any]:
    """What run.yaml holds."""
    return dict(yaml.safe_load(Layout(run).run_yaml.read_text("utf-8")))


def _answers(run: Path) -> arrow.Dataset:
    """The files of answers; columns that an older saccade did not write are null."""
    return arrow.dataset(Layout(run).answers, format="parquet", schema=SCHEMA)
