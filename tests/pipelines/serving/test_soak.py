"""Five minutes of requests, one to thirty-two at once: no error, and no memory that only grows."""

import itertools
import threading
import time
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from tests.pipelines.serving.client import body, png
from tests.pipelines.serving.test_ray import Served

MINUTE_S = 60.0
MINUTES = 5
AT_ONCE = (1, 2, 4, 8, 16, 32)
GROWTH = 1.05


def resident_bytes(served: Served) -> int:
    """Memory of their own that all processes of Serve hold; the pages of the object store are shared, and bounded."""
    total = 0
    for pid in served.descendants("ray::"):
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return total


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_five_minutes(qwen2_5_vl: Path) -> None:
    served = Served(qwen2_5_vl, "--max-queue", "64", "--set", "cache_bytes=2000000").wait()
    pages = [png(140 + 28 * (n % 5), 196, seed=n) for n in range(40)]
    bodies = [body(f"What is field {n}?", page, stream=n % 3 == 0) for n, page in enumerate(pages)]
    statuses: Counter[int] = Counter()
    next_one, ended, at_once = itertools.count(), threading.Event(), [0]

    def client(number: int) -> None:
        with httpx2.Client(timeout=120) as connection:
            while not ended.is_set():
                if number >= at_once[0]:
                    time.sleep(0.05)
                    continue
                made = bodies[next(next_one) % len(bodies)]
                response = connection.post(f"{served.url}/v1/chat/completions", json=made)
                complete = not made["stream"] or response.text.endswith("data: [DONE]\n\n")
                statuses[response.status_code if complete else -1] += 1

    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(max(AT_ONCE))]
    for thread in threads:
        thread.start()
    memory = []
    try:
        for _ in range(MINUTES):
            for at_once[0] in AT_ONCE:
                time.sleep(MINUTE_S / len(AT_ONCE))
            memory.append(resident_bytes(served))
    finally:
        ended.set()
        for thread in threads:
            thread.join(timeout=120)
        written = served.stop()
    print({"requests": sum(statuses.values()), "resident_mib": [round(size / 2**20) for size in memory]})
    assert set(statuses) == {200}, statuses
    assert memory[-1] < GROWTH * memory[0], memory
    assert served.process.returncode == 0, written
