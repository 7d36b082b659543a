"""What a run says while it runs: images and questions done, rate, time left, errors."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from pipelines.execute.say import say
from saccade.wording import counted

POLL_S = 0.5
LINE_S = 15.0  # between lines where there is no terminal to draw a bar on


class Watch:
    """Polls a ledger in a thread and shows what it says. Made by `watching`."""

    def __init__(self, console: Console, num_images: int) -> None:
        self.console, self.num_images = console, num_images
        self.counts = (0, 0, 0)
        self.ended = threading.Event()
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[more]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("starting Ray", total=num_images, more="")

    def say(self, text: str) -> None:
        """Shows what is being done before the first image."""
        self.bar.update(self.task, description=text)
        if not self.console.is_terminal:
            say(self.console, text)

    @contextmanager
    def polling(self, ledger: Any) -> Iterator[None]:
        """Shows what the ledger says while the block runs; not a moment longer: asking Ray would start it again."""
        self.say("images")
        thread = threading.Thread(target=self._poll, args=(ledger,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.ended.set()
            thread.join()

    def _poll(self, ledger: Any) -> None:
        import ray

        started = printed = time.monotonic()
        while not self.ended.wait(POLL_S):
            try:
                self.counts = ray.get(ledger.counts.remote(), timeout=2)
            except ray.exceptions.RayError:
                continue  # the run ends, or the ledger is slow: the run itself says which
            images, questions, errors = self.counts
            seconds = time.monotonic() - started
            more = f"{counted(questions, 'question')}, {images / seconds:.2f} images/s, {counted(errors, 'error')}"
            self.bar.update(self.task, completed=images, more=more)
            if not self.console.is_terminal and time.monotonic() - printed >= LINE_S:
                printed = time.monotonic()
                say(self.console, f"{images:,} of {counted(self.num_images, 'image')}, {more}")


@contextmanager
def watching(console: Console, num_images: int) -> Iterator[Watch]:
    """Shows progress while the block runs."""
    watch = Watch(console, num_images)
    with watch.bar:
        yield watch
