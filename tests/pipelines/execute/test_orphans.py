"""A cluster ends with its driver, however that ends; what is not the cluster's is left alone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipelines.execute import orphans
from tests.benchmarks.survival import outlived

ROOT = Path(__file__).parents[3]
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(90)"
SERVER = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}]); time.sleep(90)"
DRIVER = """
import subprocess, sys
from pathlib import Path
from pipelines.execute.orphans import ended_with_driver
folder = Path(sys.argv[1])
with ended_with_driver(folder):
    subprocess.Popen([sys.executable, str(folder / "server.py")])
    subprocess.Popen(["sleep", "90"])
    print("started", flush=True)
    sys.stdin.readline()
print("ended", flush=True)
sys.stdin.readline()
"""
CLUSTER = """
import sys
from pipelines.execute.session import ray_started
with ray_started(None, "tests"):
    print("started", flush=True)
    sys.stdin.readline()
"""

Start = Callable[..., tuple["subprocess.Popen[str]", dict[str, psutil.Process]]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts code that prints `started`: its process, and what came of it, by what it is. All end with the test."""
    every: list[Any] = []

    def started(code: str, *arguments: str, number: int = 0) -> tuple[subprocess.Popen[str], dict[str, psutil.Process]]:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        driver = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=ROOT, env=environment, **pipes)
        every.append(driver)
        assert driver.stdout is not None and driver.stdout.readline() == "started\n"
        deadline = time.monotonic() + 20
        while len(found := psutil.Process(driver.pid).children(recursive=True)) < number:
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        time.sleep(orphans.MOST_S + 1)  # for the watcher to see them as well
        every.extend(found)
        return driver, {_what(process): process for process in found}

    yield started
    for process in every:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _what(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    for name, part in {"watcher": "orphans.py", "server": "server.py", "stubborn": "SIG_IGN", "other": "sleep"}.items():
        if part in line:
            return name
    return line


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A package with a program that starts another one, which does not end where it is told to."""
    (tmp_path / "server.py").write_text(SERVER)
    return str(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGABRT])
def test_what_a_driver_leaves_behind_ends(start: Start, folder: str, number: signal.Signals) -> None:
    driver, left = start(DRIVER, folder, number=4)
    other = left.pop("other")
    assert set(left) == {"watcher", "server", "stubborn"}
    driver.send_signal(number)
    driver.wait(10)
    assert not outlived(list(left.values()), orphans.MOST_S + orphans.GRACE_S + 10)
    assert other.status() == psutil.STATUS_SLEEPING


def test_nothing_happens_where_the_driver_ends_its_session(start: Start, folder: str) -> None:
    driver, left = start(DRIVER, folder, number=4)
    assert driver.stdin is not None and driver.stdout is not None
    driver.stdin.write("\n")
    driver.stdin.flush()
    assert driver.stdout.readline() == "ended\n"
    assert not left.pop("watcher").is_running()
    driver.kill()
    driver.wait(10)
    time.sleep(orphans.MOST_S + 1)
    assert len(left) == 3 and all(process.status() == psutil.STATUS_SLEEPING for process in left.values())


def test_the_watcher_of_a_driver_that_is_gone_already_ends() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    started = time.monotonic()
    orphans.watch(gone.pid, "/")
    assert time.monotonic() - started < orphans.GRACE_S


def test_programs_of_a_cluster_are_known_by_its_name(folder: str, start: Start) -> None:
    mine, others = "session_2026-11-29_21-54-59_123456_77", "session_2026-11-29_21-54-59_123456_78"
    code = f"""
import subprocess, sys, time
for name in ({mine!r}, {others!r}):
    subprocess.Popen([sys.executable, {folder!r} + "/server.py", "--socket=/tmp/ray/" + name + "/sockets/raylet"])
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(90)", "/tmp/ray/{mine}/logs"])
print("started", flush=True)
time.sleep(90)
"""
    driver, _ = start(code, number=5)
    found = orphans.of_sessions({mine}, folder)
    assert [process.ppid() for process in found] == [driver.pid]
    assert all(any(mine in part for part in process.cmdline()) for process in found)
    assert orphans.of_sessions(set(), folder) == set()


@pytest.mark.ray
def test_a_killed_driver_leaves_nothing_of_ray_behind(start: Start) -> None:
    driver, left = start(CLUSTER)
    assert any("raylet" in line for line in left) and any("DashboardAgent" in line for line in left)
    driver.kill()
    driver.wait(10)
    assert not outlived(list(left.values()), 20)
