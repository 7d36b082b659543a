"""Faults injected into a small run of the bundled model: what is lost, what is there twice, how long it takes in all.

    python -m tests.benchmarks.survival                 # all of them; writes results/survival.json beside this file
    python -m tests.benchmarks.survival reader encoder  # some of them; the other rows stay

Each run is a `saccade batch` process as people start it. Its output is read back and compared with the questions that
the data set lists: a question without a row is lost, one with two rows is repeated. The full disk needs root (tmpfs).
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pipelines.runs.files import read_parquet
from pipelines.runs.provenance import provenance
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parent / "results" / "survival.json"
IMAGES, QUESTIONS, PAGE_PX = 16, 2, 448
STEP_S, MOST_S = 0.02, 500.0
KILLS = 5
DATASET = SynthDoc(page_px=PAGE_PX, num_pages=IMAGES, questions_per_page=QUESTIONS)
IDS = [question.id for row in DATASET.rows() if isinstance(row, Row) for question in row.questions]
MAIN = "from pipelines.commands.app import main; main()"
SETTINGS = {
    "dataset.num_pages": IMAGES,
    "dataset.questions_per_page": QUESTIONS,
    "in_flight": 4,
    "engine.max_new_tok": 8,
}
WORKERS = {
    "encoder": "ray::EncoderActor",
    "looker": "ray::MapWorker(MapBatches(Look))",
    "reader": "ray::ReaderActor",
    "vllm": "VLLM::EngineCore",
}


@dataclass
class Night:
    """One run and what happens to it."""

    folder: Path
    options: tuple[str, ...] = ()
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    stack: ExitStack = field(default_factory=ExitStack)  # closed once the output has been read

    @property
    def output(self) -> Path:
        """The run's folder."""
        return self.folder / "run"

    def start(self, *options: str) -> subprocess.Popen[str]:
        """`saccade batch` over the questions."""
        line = ["batch", "--dataset", "synthdoc", "--page-px", str(PAGE_PX), "--output", str(self.output)]
        line += ["--tokens", "32", "--fixations", "2", "--stop-at", "2", "--device", "cpu"]
        for key, value in SETTINGS.items():
            line += ["--set", f"{key}={value}"]
        environment = {**os.environ, "RAY_worker_niceness": "0", "PYTHONPATH": str(ROOT)}
        pipes: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "-W", "ignore", "-c", MAIN, *line, *self.options, *options]
        self.processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, **pipes))
        return self.processes[-1]

    def answered(self) -> int:
        """Images that are answered."""
        return len(list((self.output / "answers").glob("*.parquet")))

    def until(self, num_images: int) -> None:
        """Waits until so many images are answered; the run must still be going on."""
        process, deadline = self.processes[-1], time.monotonic() + MOST_S
        while self.answered() < num_images:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the run ended, or hangs, before {num_images} images: {last_output(process)}")
            time.sleep(STEP_S)

    def end(self, code: int = 0) -> str:
        """What the last process wrote, once it has ended with this code."""
        process = self.processes[-1]
        written = process.communicate(timeout=MOST_S)[1]
        if process.returncode != code:
            raise RuntimeError(f"exit {process.returncode}, not {code}: {written[-3000:]}")
        return written

    def close(self) -> None:
        """Ends what is still running, and undoes what was done to the machine."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.stack.close()

    def counts(self) -> dict[str, int]:
        """Rows of the output against the questions of the data set, and against what summary.json says."""
        rows = [row for file in (self.output / "answers").iterdir() for row in read_parquet(file).to_pylist()]
        times = Counter(row["id"] for row in rows)
        summary = json.loads((self.output / "summary.json").read_text())
        if summary["questions"] != len(rows) or summary["images"] != self.answered():
            raise RuntimeError(f"summary.json does not say what is there: {summary}")
        return {
            "questions": len(IDS),
            "rows": len(rows),
            "lost": len(set(IDS) - set(times)),
            "repeated": sum(count - 1 for count in times.values()),
            "error_rows": sum(row["error"] is not None for row in rows),
        }


def last_output(process: subprocess.Popen[str]) -> str:
    """The end of what a process wrote; it is killed if it goes on."""
    process.kill()
    return process.communicate()[1][-3000:]


def family() -> list[psutil.Process]:
    """The processes that came of this one; other runs go on beside."""
    return psutil.Process().children(recursive=True)


def workers(name: str) -> list[psutil.Process]:
    """Those of a role."""
    processes = []
    for process in family():
        try:
            if " ".join(process.cmdline()).startswith(WORKERS[name]):
                processes.append(process)
        except psutil.Error:  # it ended meanwhile
            continue
    return processes


def strike(night: Night, name: str, after: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Sends a signal to every worker of a role, once so many images are answered; the run must still be going on.

    The workers are found before, while the models load: what is left of a run then may take less time than the search.
    """
    run = night.processes[-1]
    while not (struck := workers(name)):
        if run.poll() is not None:
            raise RuntimeError(f"the run ended without a process {WORKERS[name]!r}: {last_output(run)}")
        time.sleep(STEP_S)
    night.until(after)
    for process in struck:
        with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile: a fault all the same
            process.send_signal(number)
    if run.poll() is not None:
        raise RuntimeError(f"the run ended before the fault: {last_output(run)}")


def worker_killed(name: str) -> Callable[[Night], None]:
    """SIGKILL of one role in mid-run."""

    def fault(night: Night) -> None:
        night.start()
        strike(night, name, after=3)
        night.end()

    return fault


def outlived(processes: list[psutil.Process], timeout_s: float = 20) -> list[psutil.Process]:
    """Those that still run after a while. A zombie has ended: whoever adopted it may never ask for its status."""

    def running(process: psutil.Process) -> bool:
        try:
            return bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    deadline = time.monotonic() + timeout_s
    while (alive := [process for process in processes if running(process)]) and time.monotonic() < deadline:
        time.sleep(STEP_S)
    return alive


def driver_killed(night: Night) -> None:
    """Its orphans must end by themselves."""
    for kill in range(KILLS):
        process = night.start(*(("--resume",) if kill else ()))
        done = night.answered()  # the kills that are left share the images that are left
        night.until(done + random.randint(0, min(3, (IMAGES - done) // (KILLS - kill))))
        time.sleep(random.uniform(0, 0.5))
        orphans = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.communicate()
        if alive := outlived(orphans):
            raise RuntimeError(f"orphans: {[(each, each.cmdline()) for each in alive]}")
    night.start("--resume")
    night.end()


def terminated(night: Night) -> None:
    night.start().poll()
    night.until(3)
    night.processes[-1].terminate()
    if "--resume" not in night.end(130):
        raise RuntimeError("it does not say how to go on")
    night.start("--resume")
    night.end()


def worker_hangs(name: str) -> Callable[[Night], None]:
    """SIGSTOP of one role in mid-run."""

    def fault(night: Night) -> None:
        night.start("--set", "hang_timeout_s=15")
        strike(night, name, after=3, number=signal.SIGSTOP)
        night.end()

    return fault


def vllm_killed(night: Night) -> None:
    night.start("--engine", "vllm", "--set", "engine.kv_gib=0.25", "--set", "engine.block_tok=32")
    strike(night, "vllm", after=1)  # once it answers, all is answered in a second or two
    night.end()


def truncated(night: Night) -> None:
    night.start()
    night.until(4)
    night.processes[-1].kill()
    night.processes[-1].communicate()
    for file, share in zip(sorted((night.output / "answers").iterdir()), (0.0, 0.5, 0.99), strict=False):
        os.truncate(file, int(file.stat().st_size * share))
    night.start("--resume")
    night.end()


def two_runs(night: Night) -> None:
    first = night.start()
    while not (night.output / "run.yaml").exists() and first.poll() is None:  # before it opens the model
        time.sleep(STEP_S)
    night.start("--resume")
    if "another process is writing" not in night.end(2):
        raise RuntimeError("the second run is not told why")
    night.processes.append(first)
    night.end()


def other_settings(night: Night) -> None:
    night.start()
    night.until(2)
    night.processes[-1].kill()
    night.processes[-1].communicate()
    for option, told in (("--sampler=random", "sampler"), ("--tokens=33", "tokens"), ("--limit=3", "limit")):
        night.start("--resume", option)
        if told not in night.end(2):
            raise RuntimeError(f"it is not told that {told} changed")
    night.start("--resume")
    night.end()


def full_disk(night: Night) -> None:
    """The output is on a file system of 3 MiB, which another file fills in mid-run and leaves again."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(night.folder)], check=True)
    night.stack.callback(subprocess.run, ["umount", "--lazy", str(night.folder)], check=True)
    night.start()
    night.until(3)
    filler = night.folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            continue
    if "the disk is full" not in night.end(2):
        raise RuntimeError("it does not say that the disk is full")
    filler.unlink()
    night.start("--resume")
    night.end()


@contextmanager
def cluster(*cpus: int, **head: Any) -> Iterator[Any]:
    """A Ray cluster of nodes on this machine, the first of them the head."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves workers where other work goes on beside
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus[0], "include_dashboard": False, **head})
    try:
        for count in cpus[1:]:
            nodes.add_node(num_cpus=count)
        nodes.wait_for_nodes()
        yield nodes
    finally:
        nodes.shutdown()


def node_removed(night: Night) -> None:
    with cluster(2, 2) as nodes:
        night.start("--address", nodes.address)
        night.until(3)
        nodes.remove_node(next(iter(nodes.worker_nodes)), allow_graceful=False)
        night.end()


def node_added(night: Night) -> None:
    with cluster(1, 1) as nodes:
        night.start("--address", nodes.address)
        night.until(3)
        nodes.add_node(num_cpus=2)
        night.end()


def store_full(night: Night) -> None:
    """80 MiB of object store, of which another driver holds nine tenths."""
    hold = "import ray, sys, numpy; ray.init(sys.argv[1], log_to_driver=False); "
    hold += "held = ray.put(numpy.zeros(72 << 20, numpy.uint8)); print('held', flush=True); sys.stdin.read()"
    with cluster(2, object_store_memory=80 << 20) as nodes:
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
        holder = subprocess.Popen([sys.executable, "-c", hold, nodes.address], **pipes)
        try:
            if holder.stdout.readline() != "held\n":  # type: ignore[union-attr]
                raise RuntimeError("the object store could not be filled")
            night.start("--address", nodes.address)
            night.end()
        finally:
            holder.kill()
            holder.communicate()


FAULTS: Mapping[str, tuple[str, str, Callable[[Night], None]]] = {
    "driver": ("driver killed", f"SIGKILL at {KILLS} random moments, then `--resume`", driver_killed),
    "terminated": ("driver terminated", "SIGTERM, then `--resume`", terminated),
    "encoder": ("encoder killed", "SIGKILL", worker_killed("encoder")),
    "looker": ("looker killed", "SIGKILL", worker_killed("looker")),
    "reader": ("reader killed", "SIGKILL", worker_killed("reader")),
    "hang": ("reader hangs", "SIGSTOP; time-out of 15 s", worker_hangs("reader")),
    "encoder_hang": ("encoder hangs", "SIGSTOP; time-out of 15 s", worker_hangs("encoder")),
    "vllm": ("vLLM's engine core killed", "SIGKILL", vllm_killed),
    "node_removed": ("node lost", "one of two Ray nodes ended", node_removed),
    "node_added": ("node joins", "a third Ray node beside two of one CPU", node_added),
    "store": ("object store nearly full", "90% of 80 MiB held by another driver", store_full),
    "disk": ("disk full", "file system of 3 MiB filled, emptied, then `--resume`", full_disk),
    "truncated": ("files of answers cut off", "driver killed, 3 files truncated, then `--resume`", truncated),
    "two_runs": ("two runs, one folder", "a second `--resume` meanwhile: refused", two_runs),
    "settings": ("settings changed", "`--resume` with three others: refused; then with the same", other_settings),
}


def survive(name: str) -> dict[str, Any]:
    """Injects one fault; the row of the table.

    Raises:
        RuntimeError: the fault could not be injected, or the run did not take it as it should.
    """
    fault, how, inject = FAULTS[name]
    with tempfile.TemporaryDirectory() as folder:
        night, started = Night(Path(folder)), time.perf_counter()
        try:
            inject(night)
            seconds = time.perf_counter() - started
            counted = night.counts()
        finally:
            night.close()
    origin = provenance()
    return {"fault": fault, "injected": how, **counted, "seconds": round(seconds, 1), "commit": origin["commit"]}


def markdown(results: Mapping[str, Any]) -> str:
    """The README's table."""
    head = ("fault", "how it was injected", "questions", "rows", "lost", "twice", "s")
    lines = [f"| {' | '.join(head)} |", "|---|---|---:|---:|---:|---:|---:|"]
    for row in results["rows"].values():
        cells = (row["fault"], row["injected"], row["questions"], row["rows"], row["lost"], row["repeated"])
        lines.append(f"| {' | '.join(map(str, cells))} | {row['seconds']:.0f} |")
    return "\n".join(lines)


def main() -> int:
    """Measures what is named, or all of it, and writes each row as it is measured; the number of faults that failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fault", nargs="*", help=f"some of: {', '.join(FAULTS)} (default: all)")
    chosen = parser.parse_args().fault or list(FAULTS)
    if unknown := set(chosen) - set(FAULTS):
        parser.error(f"no fault is called {', '.join(sorted(unknown))}. There are: {', '.join(FAULTS)}")
    failed = 0
    for name in chosen:
        try:
            row = survive(name)
        except (RuntimeError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            continue
        print(json.dumps(row), flush=True)
        rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else {}
        rows[name] = row
        results = {"images": IMAGES, "page_px": PAGE_PX, **provenance()}
        results["rows"] = {each: rows[each] for each in FAULTS if each in rows}
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return failed


if __name__ == "__main__":
    sys.exit(main())
