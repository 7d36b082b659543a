"""Ctrl-C while a model loads: one line and exit status 130, no traceback."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.broken_images import encoded, page

INTERRUPTED = """
import os, signal, sys
from saccade.engines.hf import HF
opened = HF.open
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs tests in the background ignores it
def interrupted(self, *args, **more):
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    return opened(self, *args, **more)
signal.signal(signal.SIGALRM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
HF.open = interrupted
from pipelines.commands.app import main
main()
"""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["ask", "{page}", "What?"], "interrupted"),
        (
            ["batch", "--in-process", "--limit", "1", "--output", "{folder}/run"],
            "stopped after 0 of 1 image. Go on with",
        ),
    ],
    ids=["ask", "batch"],
)
def test_one_line_says_that_it_was_interrupted(command: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / "page.png").write_bytes(encoded(page()))
    words = [word.format(page=tmp_path / "page.png", folder=tmp_path) for word in command]
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, *words], capture_output=True, text=True, timeout=200)
    assert done.returncode == 130, done.stderr
    assert done.stderr.startswith(said) and done.stderr.count("\n") == 1
