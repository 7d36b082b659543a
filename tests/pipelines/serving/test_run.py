"""`serve run configs/serve.yaml`, Ray Serve's own command, from the repository's root; two readers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.pipelines.serving.client import KNOBS, body, in_process, png
from tests.pipelines.serving.test_ray import ROOT, descendants, free_port

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(600)]

START_S, END_S = 300.0, 90.0
SERVE = [sys.executable, "-W", "ignore", "-m", "ray.serve.scripts"]
NUM_PAGES, NUM_READERS = 8, 2
TRIES = 3  # a reader that joins late takes pages over from the other one: what was asked before it came is lost to both


@contextmanager
def running(config: Path, log: Path, url: str) -> Iterator[int]:
    """The process of `serve run`, once every replica is there."""
    environment = {**os.environ, "RAY_ADDRESS": "local", "RAY_worker_niceness": "0"}  # another Ray may run beside
    with log.open("wb") as out:
        process = subprocess.Popen([*SERVE, "run", str(config)], cwd=ROOT, env=environment, stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + START_S
        while not healthy(url) or len(descendants(process.pid, READER)) < NUM_READERS:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.5)
        yield process.pid
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()


READER = "ray::ServeReplica:saccade:Reader"


def healthy(url: str) -> bool:
    try:
        return bool(httpx2.get(f"{url}/healthz", timeout=5).status_code == 200)
    except httpx2.HTTPError:
        return False


def test_the_configuration_runs_with_two_readers(qwen2_5_vl: Path, tmp_path: Path) -> None:
    """Answers are those of one process, and a page that is asked about again finds the reader that knows it."""
    made = yaml.safe_load((ROOT / "configs" / "serve.yaml").read_text())
    made["http_options"]["port"] = port = free_port()
    (application,) = made["applications"]
    engine = {**application["args"]["engine"], "model": str(qwen2_5_vl), "max_new_tok": 4, "device": "cpu"}
    readers = {"min_readers": NUM_READERS, "max_readers": NUM_READERS, "served_name": "tiny"}
    application["args"] |= {"engine": engine, **readers}
    config, url = tmp_path / "serve.yaml", f"http://127.0.0.1:{port}"
    config.write_text(yaml.safe_dump(made))
    batches = [[page(seed) for seed in range(NUM_PAGES * i, NUM_PAGES * (i + 1))] for i in range(TRIES)]

    def post(one: dict[str, Any]) -> Any:
        return httpx2.post(f"{url}/v1/chat/completions", json=one, timeout=120)

    with in_process(qwen2_5_vl) as endpoint:
        expected = [[facts_of(endpoint.post(one).json()) for one in asked] for asked in batches]
    with running(config, tmp_path / "log", url) as pid, ThreadPoolExecutor(NUM_PAGES) as pool:
        for asked, answers in zip(batches, expected, strict=True):
            for _ in range(2):
                responses = list(pool.map(post, asked))
                assert [response.status_code for response in responses] == [200] * NUM_PAGES, responses[0].text
                assert [facts_of(response.json()) for response in responses] == answers
            known = [response.json()["saccade"]["fixations"][0]["cached_tok"] > 0 for response in responses]
            if all(known):
                break
        assert all(known), "pages went to a reader that does not know them"
        assert len(descendants(pid, READER)) == NUM_READERS


def page(seed: int) -> dict[str, Any]:
    return body("What is field 1?", png(seed=seed), saccade=KNOBS)


def facts_of(completion: dict[str, Any]) -> Any:
    """The answer, and what each fixation kept."""
    return completion["choices"][0]["message"]["content"], [
        fixation["kept"] for fixation in completion["saccade"]["fixations"]
    ]
