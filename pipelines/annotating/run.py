"""One annotation: a run over images and fields, then the files of its data set. `saccade annotate` calls it."""

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console

from pipelines.annotating.export import Exported, export
from pipelines.annotating.pages import read_pages
from pipelines.annotating.places import Places
from pipelines.annotating.settings import Annotating, dataset_of, write_settings
from pipelines.execute.run import batch
from pipelines.runs.config import RunConfig
from pipelines.runs.folder import writable
from saccade.annotation.fields import FieldSpec
from saccade.datasets import Row, open_images
from saccade.datasets.fields import Fields
from saccade.errors import ConfigError
from saccade.files import write_text


def dataset_for(
    images: str | None, fields: Sequence[FieldSpec] | None, pages: str | None, settings: Annotating, output: Path
) -> Fields:
    """The data set of an annotation: these images and fields, or those of an earlier one.

    With `relabel_failed` it asks only what `.saccade/relabel.jsonl` in the output lists, which `begin` writes.

    Raises:
        ConfigError: images or fields are missing or given twice, or the images do not exist.
    """
    if settings.from_run is None:
        if settings.relabel_failed:
            raise ConfigError("--relabel-failed asks again what failed in an earlier run: give --from-run DIR as well")
        if images is None or fields is None:
            raise ConfigError("give IMAGES and --fields fields.yaml, or --from-run DIR to take both from there")
        inner = open_images(images, pages)
        return Fields(images=inner.spec(), fields=tuple(fields))
    if images is not None or fields is not None or pages is not None:
        raise ConfigError("--from-run takes images and fields from there: leave out IMAGES, --fields and --pages")
    if settings.from_run.resolve() == output.resolve():
        raise ConfigError(f"--output {output} is --from-run itself: name another folder; the earlier run is only read")
    before = dataset_of(settings.from_run)
    only = str(Places(output).relabel) if settings.relabel_failed else None
    return Fields(images=before.images, fields=before.fields, only=only)


def list_again(settings: Annotating, output: Path) -> int | None:
    """Writes the list of values to ask again, once, and returns their number; None: all values are asked.

    Raises:
        ConfigError: no value failed or needs review, or the output cannot be written.
    """
    if settings.from_run is None or not settings.relabel_failed:
        return None
    places = Places(output)
    if places.relabel.exists():
        return len(places.relabel.read_text().splitlines())
    lines = [
        json.dumps([page.image_id, value.field.name])
        for page in read_pages(settings.from_run)
        for value in page.values
        if value.flag is not None
    ]
    if not lines:
        raise ConfigError(f"nothing failed in {settings.from_run} and nothing needs review: there is nothing to ask")
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"{str(output)!r} is there and not empty: name another folder (--output)")
    with writable(output):
        write_text(places.relabel, "".join(f"{line}\n" for line in lines))
    return len(lines)


def num_values(dataset: Fields, pages: int) -> int:
    """The number of values that are asked of the first pages; with `only` it differs from page to page."""
    if dataset.only is None:
        return pages * len(dataset.fields)
    rows = (row for row in dataset.rows() if isinstance(row, Row))
    return sum(len(row.questions) for row in islice(rows, pages))


def annotate(config: RunConfig, settings: Annotating, console: Console) -> Exported:
    """Reads every field of every page, and writes the data set.

    Raises: as `pipelines.execute.run.batch`; finished answers are kept, and --resume continues from them.
    """
    batch(config, console)
    write_settings(config.output, settings)
    return export(config.output)
