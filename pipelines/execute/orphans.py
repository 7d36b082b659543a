"""Ends what is left of a Ray cluster when the driver that started it is gone, however it ended.

Ray's servers die with the driver, and its workers when they miss their raylet. Two kinds of processes remain: a node's
two agents, which try for 60 s to tell the cluster that it is gone, and those started by workers that do not watch their
parent. A small process beside the driver notes which processes belong to the cluster, and ends them once its own parent
is gone. It runs this file alone, without the packages around it, to start in some 50 ms, beside Ray:

    python -P orphans.py DRIVER RAY_FOLDER
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

FIRST_S, MOST_S = 0.1, 2.0
"""Between two looks at the cluster's processes, which take a few milliseconds: often at the start, seldom later."""

LONGER = 1.1
"""How much longer each pause is than the one before, as long as nothing new is seen."""

GRACE_S = 3.0
"""For a process to end when it is told to. Nothing that it holds is needed: answers are written as they come."""


SESSION = re.compile(r"session_[0-9_-]+")
"""The name of a cluster's own folder, in the arguments of all its programs."""


@contextmanager
def ended_with_driver(ray_folder: Path) -> Iterator[None]:
    """A cluster that this process starts inside ends with this process. At the end of the block nothing happens.

    `ray_folder` is where the package ray lies: its programs, as children of this process, are the cluster.
    """
    command = [sys.executable, "-P", __file__, str(os.getpid()), str(ray_folder)]
    nothing = subprocess.DEVNULL
    # In a session of its own: a closed terminal, or a signal to the driver's group, does not reach it.
    watcher = subprocess.Popen(command, cwd="/", stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)
    try:
        yield
    finally:
        watcher.kill()
        watcher.wait()


def of_cluster(driver: int, ray_folder: str) -> set[psutil.Process]:
    """Ray's programs among the children of the driver, and all their descendants."""
    by_pid: dict[int, psutil.Process] = {}
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(driver).children(recursive=True):  # parents come before their children
            with suppress(psutil.Error):
                parent = process.ppid()
                if parent in by_pid or (parent == driver and _is_rays(process, ray_folder)):
                    by_pid[process.pid] = process
    return set(by_pid.values())


def of_sessions(names: set[str], ray_folder: str) -> set[psutil.Process]:
    """Ray's programs started for clusters of these names that still show arguments in place of a title: workers that
    are just starting."""
    processes = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if _is_rays(process, ray_folder) and names & _sessions(process):
                processes.add(process)
    return processes


def end(processes: set[psutil.Process]) -> None:
    """Tells them to end, and kills those that do not. psutil checks that an id still belongs to the same process."""
    for process in processes:
        with suppress(psutil.Error):
            process.terminate()
    _, left = psutil.wait_procs(processes, timeout=GRACE_S)
    for process in left:
        with suppress(psutil.Error):
            process.kill()


def watch(driver: int, ray_folder: str) -> None:
    """Notes the processes of the cluster as long as the driver is this process's parent, then ends them."""
    known: set[psutil.Process] = set()
    names: set[str] = set()
    pause_s = FIRST_S
    while os.getppid() == driver:
        living = of_cluster(driver, ray_folder)
        for process in living - known:
            with suppress(psutil.Error):
                names |= _sessions(process)
        pause_s = FIRST_S if living - known else min(LONGER * pause_s, MOST_S)
        known = living | {process for process in known if process.is_running()}
        time.sleep(pause_s)
    for process in tuple(known):
        with suppress(psutil.Error):
            known.update(process.children(recursive=True))
    end(known | of_sessions(names, ray_folder))
    end(of_sessions(names, ray_folder))  # those that were on their way into the first list


def _sessions(process: psutil.Process) -> set[str]:
    return {name for part in process.cmdline() for name in SESSION.findall(part)}


def _is_rays(process: psutil.Process, ray_folder: str) -> bool:
    return any(part.startswith(ray_folder + os.sep) for part in process.cmdline()[:3])


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2])
