"""A small data set on disk and one Ray session for all tests that need it."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.runs.config import RunConfig
from saccade.config import Episode
from saccade.engines.hf import HF
from tests import tiny

NUM_IMAGES, NUM_QUESTIONS = 6, 3
EPISODE = Episode(sampler="hybrid", budget={"name": "fixed", "tokens": 12}, fixations=2, stop_at=2)


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a Ray session on this machine, with 2 CPUs."""
    import ray

    os.environ.setdefault("RAY_worker_niceness", "0")  # Ray's 15 starves workers where other work goes on beside
    from pipelines.execute.session import ray_started

    with ray_started(None, "tests"):
        yield str(ray.get_runtime_context().gcs_address)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium without a window."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("pages are tested in chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync"]
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=path, args=flags)
        yield opened
        opened.close()


def write_data(folder: Path, num_images: int = NUM_IMAGES, num_questions: int = NUM_QUESTIONS) -> Path:
    """Pages of two shapes with questions about them; the first question's answers are hidden, the others have boxes."""
    folder.mkdir(parents=True, exist_ok=True)
    lines: list[dict[str, Any]] = []
    for image in range(num_images):
        size_px = (140, 196) if image % 2 else (196, 112)
        Image.fromarray(tiny.page(*size_px, seed=image)).save(folder / f"{image}.png")
        for number in range(num_questions):
            known = {"answers": ["x"], "answer_boxes": [[10, 10, 90, 60]]} if number else {}
            ask = {"id": f"{image}-{number}", "image": f"{image}.png", "question": f"What is field {number}?"}
            lines.append({**ask, **known})
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """questions.jsonl of `NUM_IMAGES` images."""
    return write_data(tmp_path / "data")


def configured(data: Path, output: Path, model: Path, **settings: Any) -> RunConfig:
    """A run over `data` with the tiny checkpoint."""
    spec = {"name": "jsonl", "data_path": str(data)}
    engine = HF(model=str(model), max_new_tok=4)
    return RunConfig(**{"dataset": spec, "output": output, "episode": EPISODE, "engine": engine, **settings})
