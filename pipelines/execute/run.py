"""One batch run: checks everything, lists the images, answers them, sums up. `saccade batch` is this function."""

import json
import time
import uuid
from typing import Any

from rich.console import Console

from pipelines.execute.in_process import answer_left
from pipelines.execute.plan import Plan
from pipelines.execute.progress import watching
from pipelines.execute.say import say
from pipelines.runs import manifest
from pipelines.runs.config import RunConfig, identity
from pipelines.runs.folder import RunFolder
from pipelines.runs.provenance import provenance
from pipelines.runs.resume import locked_folder, select_left
from pipelines.runs.rows import ONE
from pipelines.runs.summary import summarise
from saccade.datasets import NO_SUCH_PAGE, digest
from saccade.errors import EngineDead
from saccade.wording import counted


class Stopped(KeyboardInterrupt):
    """The run was interrupted; its text says how to go on."""


def batch(config: RunConfig, console: Console | None = None) -> dict[str, Any]:
    """Answers all questions of a data set; the summary, as it is in DIR/summary.json.

    Raises:
        ConfigError: a setting, the data or the model is wrong; nothing has been started.
        ResumeRefused: the output folder is another run's, or of another configuration.
        EngineDead: a worker died more often than `max_restarts`; what is done stays.
        Stopped: interrupted; what is done stays.
    """
    console = console or Console(stderr=True)
    dataset = config.open_dataset()
    same, limit_px = identity(config, dataset)
    with locked_folder(config.output, same, config.resume) as folder:
        if config.resume and not folder.run_yaml.exists():
            text = f"there is no run in {str(config.output)!r} to --resume yet: this one begins there"
            say(console, text)
        folder.begin(dataset, config.limit)
        _say_what_is_missing(config, folder, console)
        _say_what_has_fewer_pages(config, folder, console)
        num_left = select_left(folder, config.retry_errors)
        if num_left == 0 and folder.summary_json.exists():
            return dict(json.loads(folder.summary_json.read_text("utf-8")))
        record = {**provenance(), "fingerprint": digest(same)}
        seconds = None
        if num_left:
            attempt = folder.new_attempt()
            folder.write_yaml({**config.dump(), "max_px": limit_px, **record, "attempt": attempt, "identity": same})
            seconds = _run(config, folder, attempt, limit_px, num_left, console)
        return summarise(
            folder,
            {
                "seconds": seconds,  # of this attempt, from first image to last answers; null: nothing was left to do
                "images_done": num_left,  # by this attempt
                "images_per_s": num_left / seconds if seconds else None,
                **record,
            },
        )


def _say_what_is_missing(config: RunConfig, folder: RunFolder, console: Console) -> None:
    """A notice when the data set holds fewer questions than were asked for."""
    if config.limit is None or (num_questions := manifest.num_questions(folder.manifest)) >= config.limit:
        return
    more = "; --set dataset.num_pages=N draws more pages" if "num_pages" in config.dataset else ""
    text = (
        f"{config.dataset['name']} holds {counted(num_questions, 'question')}, fewer than --limit {config.limit}{more}"
    )
    say(console, text)


def _say_what_has_fewer_pages(config: RunConfig, folder: RunFolder, console: Console) -> None:
    """A notice when files lack pages that were asked for: the run answers the others."""
    if lacking := [skip.where for skip in manifest.skips(folder.skipped) if skip.reason == NO_SUCH_PAGE]:
        more = f", and {len(lacking) - 1} more (listed in {folder.skipped})" if len(lacking) > 1 else ""
        say(console, f"some files lack pages of --pages {config.dataset['pages']}: {lacking[0]}{more}", style="yellow")


def _run(
    config: RunConfig, folder: RunFolder, attempt: str, limit_px: int | None, num_left: int, console: Console
) -> float:
    """Answers what is left; seconds from its first image to the last answers written, without starting and loading."""
    how = _in_process if config.in_process else _on_ray
    try:
        return how(config, folder, attempt, limit_px, num_left, console)
    except KeyboardInterrupt as error:
        raise Stopped(f"stopped after {_progress(folder)}. {_how(config)}") from error
    except EngineDead as error:
        died = folder.last_death(attempt)
        because = f" Its last words: {died}." if died else ""
        raise EngineDead(f"{error}.{because} Done: {_progress(folder)}. {_how(config)}") from error


def _in_process(
    config: RunConfig, folder: RunFolder, attempt: str, limit_px: int | None, num_left: int, console: Console
) -> float:
    """As `_run`, by a loop in this process."""
    with config.engine_spec().open() as engine:
        started = time.monotonic()
        answer_left(folder, attempt, config.open_dataset(), engine, {ONE: config.episode}, limit_px, console)
        return time.monotonic() - started


def _on_ray(
    config: RunConfig, folder: RunFolder, attempt: str, limit_px: int | None, num_left: int, console: Console
) -> float:
    """As `_run`, by the graph."""
    from pipelines.execute import ray_graph  # Ray: only when there is something to do
    from pipelines.execute.placement import place
    from pipelines.execute.session import ray_started

    namespace = f"saccade-{uuid.uuid4().hex[:8]}"
    with watching(console, num_left) as watch:
        watch.say("starting Ray")
        with ray_started(config.address, namespace):
            placement = place(config)
            watch.say(f"loading models: {placement}")
            plan = Plan(
                dataset=config.dataset,
                episode=config.episode,
                engine=config.engine_spec(),
                limit_px=limit_px,
                answers=folder.answers,
                hidden=folder.hidden,
                attempt=attempt,
                namespace=namespace,
                num_encoders=placement.num_encoders,
                num_readers=placement.num_readers,
                encode_batch=config.encode_batch,
                episodes_per_looker=max(1, -(-config.episodes_per_reader // placement.num_lookers)),
                threads=placement.threads,
                max_restarts=config.max_restarts,
                hang_s=config.hang_timeout_s,
            )
            return ray_graph.run(plan, placement, config, folder.left, watch)


def _progress(folder: RunFolder) -> str:
    num_done = sum(1 for _ in folder.answers.glob("*.parquet"))
    return f"{num_done:,} of {counted(len(folder.images()), 'image')}"


def _how(config: RunConfig) -> str:
    return f"Go on with the same command and --resume (--output {config.output})"
