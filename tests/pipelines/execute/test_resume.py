"""A driver killed with SIGKILL at a random moment, and its run resumed: every question exactly once."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from pipelines.execute.run import batch
from pipelines.runs.resume import locked_folder
from saccade.errors import ResumeRefused
from tests.pipelines.conftest import configured, write_data

IN_FLIGHT, NUM_IMAGES = 3, 10
DRIVER = """
import sys
from pathlib import Path
from pipelines.execute.run import batch
from tests.pipelines.conftest import configured
data, output, model, address = sys.argv[1:]
batch(configured(Path(data), Path(output), Path(model), address=address, in_flight=3))
"""


@pytest.mark.ray
@pytest.mark.timeout(900)
def test_killed_and_resumed_every_question_is_there_once(cluster: str, tmp_path: Path, qwen2_5_vl: Path) -> None:
    data, output = write_data(tmp_path / "data", NUM_IMAGES, 2), tmp_path / "run"
    arguments = [sys.executable, "-c", DRIVER, str(data), str(output), str(qwen2_5_vl), cluster]
    driver = subprocess.Popen(arguments, cwd=Path(__file__).parents[3], stderr=subprocess.PIPE)
    at_least = random.randint(1, NUM_IMAGES - 3)
    while driver.poll() is None and len(list((output / "answers").glob("*.parquet"))) < at_least:
        time.sleep(0.01)
    assert driver.poll() is None, driver.stderr and driver.stderr.read().decode()
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    config = configured(data, output, qwen2_5_vl, in_flight=IN_FLIGHT, resume=True)
    summary = batch(config, Console(quiet=True))
    files = list((output / "answers").iterdir())
    ids = Counter(id for file in files for id in pq.read_table(file)["id"].to_pylist())
    assert set(ids.values()) == {1} and len(ids) == NUM_IMAGES * 2 == summary["questions"]
    assert summary["errors"] == 0 and summary["images_done"] <= NUM_IMAGES - at_least
    assert NUM_IMAGES <= summary["encoded_images"] <= NUM_IMAGES + IN_FLIGHT


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.txt").write_text("mine")
    with pytest.raises(ResumeRefused, match=r"run.txt' is a file, and a run goes into a folder"):
        with locked_folder(tmp_path / "run.txt", {}, resume=True):
            pass
