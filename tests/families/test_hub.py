"""Without a network: a checkpoint of the hub is refused in seconds, in one line; one in the hub's cache is loaded."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "someone/some-model"
CODE = f"""
import sys, time
import torch, transformers
import saccade.engines.hf
from saccade.engines import choose_engine
from saccade.errors import ConfigError
from transformers import AutoConfig
started = time.monotonic()
try:
    with choose_engine({{"name": "hf", "model": "{NAME}", "device": "cpu"}}).open() as engine:
        print("opened", type(engine.family).__name__)
except ConfigError as error:
    print(error)
print("seconds:", time.monotonic() - started, file=sys.stderr)
"""


def opened(home: Path) -> tuple["subprocess.CompletedProcess[str]", float]:
    """In its own process, as the hub's client reads its settings at import. Nothing listens at that address.

    The seconds are of the call alone: importing torch and transformers takes as long as the machine is busy.
    """
    unset = {"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_CACHE"}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"HF_HOME": str(home), "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done, float(re.findall(r"^seconds: (.*)$", done.stderr, re.MULTILINE)[0])


def test_what_is_nowhere_is_refused_in_one_line(tmp_path: Path) -> None:
    done, seconds = opened(tmp_path)
    assert done.stdout.startswith(f"no model '{NAME}' here, and http://127.0.0.1:9 does not answer (ConnectError: ")
    assert done.stdout.count("\n") == 1 and "Retry" not in done.stderr and "Traceback" not in done.stderr
    assert seconds < 15  # it once retried for 23 s


def test_what_is_in_the_cache_is_loaded(tmp_path: Path, qwen2_5_vl: Path) -> None:
    cached = tmp_path / "hub" / "models--someone--some-model"
    shutil.copytree(qwen2_5_vl, cached / "snapshots" / "0123")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123")
    done, seconds = opened(tmp_path)
    assert done.stdout == "opened Qwen25VL\n", done.stderr[-2000:]
    assert "is loaded from the hub's cache" in done.stderr and "Retry" not in done.stderr
    assert seconds < 20


@pytest.mark.parametrize("path", ["/nowhere/at/all", "./nowhere"])
def test_a_folder_that_is_not_there_asks_nobody(path: str) -> None:
    from saccade.families._hub import reach

    started = time.monotonic()
    reach(path)
    assert time.monotonic() - started < 5
