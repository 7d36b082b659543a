"""`saccade ask`: one question about one image, in this process."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pipelines.commands import ROWS_FAILED
from pipelines.commands.options import takes
from pipelines.commands.settings import episode_and_engine
from pipelines.execute.say import say
from pipelines.runs.config import Looking
from pipelines.runs.files import picture_path
from pipelines.runs.rows import scored_rows
from pipelines.runs.summary import ROUNDED
from saccade.config import Episode, refuse_idle
from saccade.decoding.pages import chosen, lacking
from saccade.engines import Engine, EngineSpec
from saccade.episode import Seen, episodes, run, see
from saccade.errors import ConfigError, DataError, SaccadeError
from saccade.picture import Picture, naming
from saccade.types import Question, Scene, Trace
from saccade.viz import text
from saccade.viz.trace import draw_trace, save
from saccade.viz.view import TraceView
from saccade.wording import counted

console = Console()


@takes(Looking)
def ask(
    image: Annotated[Path, typer.Argument(help="The picture, or a PDF.", exists=True, dir_okay=False)],
    question: Annotated[list[str], typer.Argument(help="The question about it, in quotes or not.")],
    trace: Annotated[
        Path | None, typer.Option(help="PNG to draw the trace into: tokens, numbered gazes, importance.")
    ] = None,
    pages: Annotated[
        str | None, typer.Option(metavar="1,3-5", help="Pages of a PDF or TIFF, each asked by itself (default: all).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per page instead of lines to read.")] = False,
    *,
    settings: dict[str, Any],
    named: dict[str, Any],
) -> None:
    """Answer one question about one image, or about each page of a file, and say where it looked.

    Exit status: 0 answered; 2 it could not be asked; 3 some pages ended in an error; 130 it was stopped.

    Example: saccade ask page.png "What is the total?" --fixations 3 --trace looked.png
    """
    looks, spec = episode_and_engine(settings)
    refuse_idle(named, looks)
    answer(image, " ".join(question), spec, looks, trace, pages, as_json=as_json)


def answer(
    image: Path,
    question: str,
    spec: EngineSpec,
    settings: Episode,
    trace_path: Path | None,
    pages: str | None = None,
    console: Console = console,
    as_json: bool = False,
) -> None:
    """Answers the question about each page; prints a line per fixation, or one line of JSON per page; draws the trace.

    Raises:
        ConfigError: before anything is loaded: the question is empty, the page does not exist, the trace cannot be
            written, or a scorer needs what the engine cannot give.
        SaccadeError: the image or the question cannot be used.
        Exit: some of several pages could not be answered; each has printed its error.
    """
    notices = Console(stderr=True) if as_json else console  # stdout holds nothing but JSON
    if not question.strip():
        raise ConfigError("the question is empty: give it in quotes after the image")
    if trace_path is not None:
        picture_path(trace_path)
    settings.check_engine(spec)
    with naming(image):
        num_pages = Picture.open(image).num_pages
    page_numbers = chosen(pages, num_pages)
    holds = f"{str(image)!r} has {counted(num_pages, 'page')}"
    if not page_numbers:
        raise ConfigError(f"{holds}; --pages {pages} chooses none of them")
    if beyond := lacking(pages, num_pages):
        raise ConfigError(f"{holds}; --pages {pages} asks for {beyond} as well (2- means 2 to the last)")
    failed = False
    with spec.open() as engine:
        for page in page_numbers:
            drawn = trace_path
            if trace_path is not None and len(page_numbers) > 1:
                drawn = trace_path.with_stem(f"{trace_path.stem}-page{page}")
            if num_pages > 1 and not as_json:
                say(console, f"page {page} of {num_pages}", style="bold")
            try:
                picture = Picture.open(image, page=page)
                with naming(image) if len(page_numbers) == 1 else nullcontext():
                    seen, trace = _look(picture, question, engine, settings)
                (_print_json if as_json else _print_lines)(picture, seen, trace, settings, console)
                if drawn is not None:
                    _draw(picture, seen, trace, settings, drawn)
                    say(notices, f"drawn in {drawn}", style="dim")
            except DataError as error:
                if len(page_numbers) == 1:
                    raise
                failed = True
                which = f"page {page}: " if as_json else ""  # else the line above says it
                say(notices, f"{which}error: {error}")
    if failed:
        raise typer.Exit(ROWS_FAILED)


def _look(picture: Picture, question: str, engine: Engine, settings: Episode) -> tuple[Seen, Trace]:
    seen = see(settings, engine, picture, [Question("ask", question)])
    (outcome,) = run(episodes(settings, seen), engine)
    if not isinstance(outcome, Trace):
        raise outcome
    return seen, outcome


def _print_lines(picture: Picture, seen: Seen, trace: Trace, settings: Episode, console: Console) -> None:
    grid = seen.grid
    if picture.width_px * picture.height_px > ROUNDED * grid.width_px * grid.height_px:
        shrunk = "" if settings.view in ("resize", "gundam") else "; --max-px N lets it be larger"
        if seen.print_px:
            shrunk = f", where its smallest print is {seen.print_px:g} px high; --print-px 0 shows it as it is"
        say(
            console,
            f"{picture.width_px} x {picture.height_px} px, shown at {grid.width_px} x {grid.height_px} px{shrunk}",
            style="dim",
        )
    if seen.glimpse is not None and settings.glimpse > grid.rows * grid.cols:
        say(
            console,
            f"--glimpse {settings.glimpse} is more than this page has: it is shown all "
            f"{counted(len(seen.glimpse), 'token')}",
            style="dim",
        )
    for line in text.lines(TraceView.from_trace(trace, grid)):
        say(console, line)
    seconds = ", ".join(f"{stage} {value:.2f} s" for stage, value in trace.cost.seconds.items())
    glimpsed = f", {len(seen.glimpse)} of them the glimpse's" if seen.glimpse is not None else ""
    say(
        console,
        f"{counted(trace.cost.visual_tok, 'visual token')}{glimpsed}, {trace.cost.prefill_tok:,} prefilled, "
        f"{trace.cost.encoder_passes:.2f} encoder passes; {seconds}",
        style="dim",
    )


def _print_json(picture: Picture, seen: Seen, trace: Trace, settings: Episode, console: Console) -> None:
    """The row that a run would store, without the columns that only a data set's question fills."""
    (row,) = scored_rows("", seen, [Question("ask", trace.question)], [trace], settings)
    shown_row = {**row, "page": picture.page if picture.num_pages > 1 else None}  # as rows of a run have it
    for name in ("id", "image_id", "answers", "score", "exact", "coverage", "metadata", "variant", "error"):
        del shown_row[name]
    say(console, json.dumps(shown_row))


def _draw(picture: Picture, seen: Seen, trace: Trace, settings: Episode, path: Path) -> None:
    query = seen.asked[0][1]
    if isinstance(query, SaccadeError):
        raise query
    importance = None
    if settings.view == "foveate":
        importance = settings.with_gaze(seen.gaze).strategies.score(Scene.of([(picture, seen.encoding, query)]))[0]
    save(draw_trace(picture, seen.grid, trace, importance), path)
