"""`saccade annotate`: a data set of fields from a pile of pages."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.annotating.export import Exported
from pipelines.annotating.run import annotate as run
from pipelines.annotating.run import dataset_for, list_again, num_values
from pipelines.annotating.settings import Annotating
from pipelines.commands import ROWS_FAILED
from pipelines.commands.options import takes
from pipelines.commands.settings import run_config
from pipelines.execute.say import say
from pipelines.runs import manifest
from pipelines.runs.config import RunConfig
from pipelines.runs.layout import Layout
from saccade.annotation.fields import read_fields
from saccade.config import refuse_idle
from saccade.errors import ConfigError
from saccade.registry import checked
from saccade.wording import counted

console = Console()
OWN = ("dataset", "data_path", "question", "page_px", "limit", "output", "pages", "metric", "export")
RARELY = ("glimpse", "rest", "fovea", "levels", "canvas", "integrate", "encoder")  # in a file, or by --set


@takes(Annotating, RunConfig, leave_out=(*OWN, *RARELY))
def annotate(
    images: Annotated[
        str | None,
        typer.Argument(
            help="A folder, an image, a PDF, a pattern in quotes, a URL, a .tar, .jsonl or .parquet file.",
        ),
    ] = None,
    fields: Annotated[
        Path | None,
        typer.Option(help="YAML with the fields to read from every page.", rich_help_panel=Annotating.panel),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the data set and its run.", rich_help_panel=Annotating.panel)
    ] = None,
    pages: Annotated[
        str | None,
        typer.Option(metavar="1,3-5", help="Pages of a PDF or TIFF (default: all).", rich_help_panel=Annotating.panel),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Pages at most: the first ones.", rich_help_panel=Annotating.panel)
    ] = None,
    *,
    settings: dict[str, Any],
    named: dict[str, Any],
) -> None:
    """Read the same fields from every page: a data set with confidence, evidence, and a flag where a person is needed.

    fields.yaml: `fields:`, then `- {name: total, question: "What is the total?", type: money}` for each.
    Types: text, number, date (with its date_order: DMY, MDY, YMD), money, choice (with its choices), yes/no;
    any may have a pattern.

    Writes OUTPUT/annotations/*.parquet (one row per page), JSON Lines, labelstudio.json and coco.json.
    If it is killed or stopped, the same command with --resume continues. Then: `saccade review OUTPUT`.

    Exit status: 0 all answered; 2 it could not run; 3 some values hold an error; 130 it was stopped.

    Example: saccade annotate scans/ --fields fields.yaml --output data
    """
    if output is None:
        raise ConfigError("say where the data set goes: --output DIR")
    own = checked(Annotating, {key: settings.pop(key) for key in Annotating.model_fields if key in settings})
    if unknown := [key for key in ("dataset", "limit", "output", "export") if key in settings]:
        options = "give IMAGES, --limit and --output as options; what is exported is not chosen"
        raise ConfigError(f"{', '.join(unknown)} in --config or --set: {options}")
    dataset = dataset_for(images, None if fields is None else read_fields(fields), pages, own, output)
    values = {"output": output, "dataset": dataset.spec()}
    chosen = run_config({**settings, **values})
    refuse_idle(named, chosen.episode)
    notices = Console(stderr=True)
    again = list_again(own, chosen.output)
    if limit is not None:
        chosen = chosen.model_copy(update={"limit": num_values(dataset, limit)})
    if again is not None:
        say(notices, _asked_again(again, None if limit is None else chosen.limit))
    exported = run(chosen, own, notices)
    tell(exported, chosen.output)
    if exported.flags["error"]:
        raise typer.Exit(ROWS_FAILED)


def _asked_again(found: int, asked: int | None) -> str:
    """How many values of the earlier run are asked again; `asked`: with --limit, those of the first pages."""
    one = found == 1
    then = f"; {asked} of them are" if asked is not None else " and is" if one else " and are"
    return f"{counted(found, 'value')} failed or {'needs' if one else 'need'} review{then} asked again"


def tell(exported: Exported, output: Path) -> None:
    """Prints the first page's values, how many values need review, and where the files are."""
    table = Table(box=None, pad_edge=False, show_edge=False)
    for name in ("field", "value", "sure", "flag"):
        table.add_column(name, justify="right" if name == "sure" else "left", overflow="fold")
    for value in exported.first.values if exported.first is not None else ():
        sure = "by a person" if value.by_person else f"{value.confidence:.0%}"
        table.add_row(value.field.name, Text(value.shown or "-"), sure, Text(value.flag or ""))
    if exported.first is not None:
        console.print(Text(exported.first.image_id, style="bold"))
    console.print(table)
    flags = ", ".join(f"{times} {flag}" for flag, times in exported.flags.most_common())
    say(
        console,
        f"{counted(exported.pages, 'page')}, {counted(exported.values, 'value')}; {exported.review:,} on "
        f"{counted(exported.review_pages, 'page')} {'needs' if exported.review == 1 else 'need'} review"
        + (f" ({flags})" if flags else "")
        + (f"; {exported.by_person} by a person" if exported.by_person else ""),
    )
    listed = Layout(output).skipped
    if listed.exists() and (skips := Counter(skip.reason for skip in manifest.skips(listed))):
        reasons = ", ".join(f"{times} x {reason}" for reason, times in skips.items())
        say(console, f"skipped: {reasons} (listed in {listed})")
    say(
        console,
        f"annotations/*.parquet, annotations.jsonl, labels.jsonl, review.jsonl, labelstudio.json and coco.json are in "
        f"{output}",
    )
    if exported.flags["error"]:
        say(console, f"{output}/review.jsonl says what the errors are")
    if exported.review:
        say(console, f"`saccade review {output}` shows one after another")
