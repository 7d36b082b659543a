"""`saccade review`: a person checks the values that need review."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipelines.annotating.export import export, outdated
from pipelines.execute.say import say
from pipelines.pages.listening import check_free
from saccade.errors import ConfigError
from saccade.wording import counted, meant

console = Console()
HOST = "127.0.0.1"


def review(
    run: Annotated[Path, typer.Argument(help="The --output of a `saccade annotate`.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on, on this machine only.")] = 8010,
    all: Annotated[bool, typer.Option(help="Show every value, not only those that need review.")] = False,
    field: Annotated[list[str] | None, typer.Option(help="Show only this field; may be repeated.")] = None,
) -> None:
    """Accept or correct values one after another, with the keyboard, on a page of this machine.

    It shows each value that needs review beside its crop of the page. Enter accepts the text in the field,
    PgDn skips it, Alt-W shows the whole page. Corrections are appended to RUN/corrections.jsonl; the
    model's answers do not change. Ctrl-C ends the review and writes the data set again with the corrections.

    Example: saccade review data
    """
    import uvicorn

    from pipelines.annotating.review import Queue, review_app

    queue = Queue(run, every=all, fields=field or ())
    known = [each.name for each in queue.dataset.fields]
    if unknown := [name for name in field or () if name not in known]:
        near = meant(unknown[0], known)
        raise ConfigError(f"--field {unknown[0]}: there is no such field. {near}There are: {', '.join(known)}")
    if not queue.items:
        say(console, "nothing needs review; --all shows every value")
        if outdated(run):  # what was said in a review that was killed is in no file but its own
            _write_again(run)
        return
    check_free(HOST, port)
    say(console, f"{queue.left} of {counted(len(queue.items), 'value')} to see at http://{HOST}:{port}/")
    say(console, "Ctrl-C ends it and writes the data set again", style="dim")
    config = uvicorn.Config(review_app(queue), host=HOST, port=port, log_level="warning")
    with suppress(KeyboardInterrupt):  # the regular way to end it
        uvicorn.Server(config).run()
    _write_again(run)


def _write_again(run: Path) -> None:
    exported = export(run)
    say(
        console,
        f"{counted(exported.by_person, 'value')} by a person, {exported.review} still to review; "
        f"written again in {run}",
    )
