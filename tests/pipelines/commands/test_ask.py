"""`saccade ask`: a page that is shown smaller than it is says so, and why."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from pipelines.commands.ask import answer
from pipelines.execute.run import batch
from pipelines.runs.config import RunConfig
from pipelines.runs.stored import rows
from saccade.config import Episode
from saccade.datasets import open_dataset
from saccade.datasets.synthdoc import render
from saccade.engines.hf import HF
from tests import tiny


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


@pytest.mark.parametrize(("pages", "expected"), [(1, [None]), (2, [1, 2])])
def test_json_names_the_page_of_files_that_have_several_as_rows_do(
    qwen2_5_vl: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pages: int, expected: list[int | None]
) -> None:
    first, *others = [Image.fromarray(tiny.page(140, 196, seed)) for seed in range(pages)]
    first.save(tmp_path / "fax.tif", save_all=True, append_images=others)
    spec = HF(model=str(qwen2_5_vl), max_new_tok=2, device="cpu")
    answer(tmp_path / "fax.tif", "What?", spec, Episode(), None, None, Console(width=9), as_json=True)
    assert [json.loads(line)["page"] for line in capsys.readouterr().out.splitlines()] == expected
    questions = open_dataset("glob", data_path=str(tmp_path / "fax.tif"), question="What?")
    config = RunConfig(dataset=questions.spec(), engine=spec.spec(), output=tmp_path / "run", in_process=True)
    batch(config, Console(quiet=True))
    assert [row["page"] for row in rows(config.output)] == expected
