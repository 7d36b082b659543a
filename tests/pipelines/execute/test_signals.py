"""SIGTERM is Ctrl-C: for a command, for the first process of a container, and after Ray has put its own handler."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines.commands.app import terminated_as_interrupted
from pipelines.execute import session

ROOT = Path(__file__).parents[3]
WAITING = """
import sys, time
from pipelines.commands import app
from pipelines.execute.run import Stopped
def run(*_):
    try:
        print("running", flush=True)
        time.sleep(60)
    except KeyboardInterrupt as error:
        raise Stopped("stopped after 3 of 9 images. Go on by --resume") from error
import pipelines.commands.batch
pipelines.commands.batch.run = run
sys.argv = ["saccade", "batch", "--output", sys.argv[1]]
app.main()
"""


def first_process() -> list[str]:
    """What makes a process the first one of a process namespace; skips where that is refused."""
    command = ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("a process namespace of one's own needs root")
    return command


@pytest.mark.parametrize("first", [False, True], ids=["any", "PID 1"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_ends_with_a_word(number: signal.Signals, first: bool, tmp_path: Path) -> None:
    command = [*(first_process() if first else ()), sys.executable, "-W", "ignore", "-c", WAITING, str(tmp_path)]
    asked_here = partial(signal.signal, number, signal.SIG_DFL)  # a shell has its background jobs ignore Ctrl-C
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=asked_here, **pipes)
    try:
        assert process.stdout is not None and process.stdout.readline() == "running\n"
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]) if first else process.pid, number)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130 and "stopped after 3 of 9 images. Go on by --resume" in said, said


def test_the_handler_of_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_session_that_starts_leaves_the_handler_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as ray.init sets its own

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupted(), session.ray_started(None, "tests"):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)


def test_a_session_that_is_ended_while_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", lambda **_: sys.exit(1))  # Ray's handler of SIGTERM
    with pytest.raises(KeyboardInterrupt), session.ray_started(None, "tests"):
        raise AssertionError("it did not start")
