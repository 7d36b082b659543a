"""`saccade ask`: a page that is shown smaller than it is says so, and why."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from pipelines.commands.ask import answer
from saccade.config import Episode
from saccade.datasets.synthdoc import render
from saccade.engines.hf import HF


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Large letters."""
    path = tmp_path_factory.mktemp("asked") / "page.png"
    Image.fromarray(render(9, 0, 512, x_height_px=16.0).image).save(path)
    return path


@pytest.mark.parametrize(
    ("engine", "settings", "said"),
    [
        ({}, {"print_px": 8}, "where its smallest print is 8 px high; --print-px 0 shows it as it is"),
        ({"card": {"print_px": 7}}, {}, "where its smallest print is 7 px high"),
        ({}, {}, None),
        ({"max_px": 28 * 28 * 100}, {}, "; --max-px N lets it be larger"),
        ({"max_px": 28 * 28 * 100}, {"print_px": 15}, "; --max-px N lets it be larger"),
        ({}, {"sampler": "resize", "fixations": 1, "budget": {"name": "fixed", "tokens": 90}}, " px\n"),
    ],
)
def test_a_page_that_is_shrunk_says_why(
    qwen2_5_vl: Path, page: Path, engine: dict[str, Any], settings: dict[str, Any], said: str | None
) -> None:
    console = Console(record=True, width=200, file=open("/dev/null", "w"))
    spec = HF(model=str(qwen2_5_vl), max_new_tok=2, device="cpu", **engine)
    answer(page, "What?", spec, Episode(**settings), None, None, console)
    told = console.export_text()
    assert ("shown at" in told) == (said is not None) and (said or "") in told
