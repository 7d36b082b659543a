"""`saccade analyze`: over an image, a data set that a tiny model reads, and a stored run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipelines.commands import app as cli
from saccade.analysis.pruning import SHARES, WAYS
from saccade.errors import ConfigError, PictureError, SaccadeError
from saccade.studies import analysis
from tests import tiny
from tests.pipelines import written_run

SMALL = ["--fixations", "2", "--tokens", "12"]


def analyzed(output: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """What is printed, and what analysis.json holds."""
    result = CliRunner().invoke(cli.app, ["analyze", *arguments, "--output", str(output)], catch_exceptions=False)
    assert result.exit_code == 0, result.output

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return result.output, json.loads((output / "analysis.json").read_text(), parse_constant=refuse)


def pictures(folder: Path) -> set[str]:
    """Names of the pictures in a folder, each with something on it."""
    for path in folder.glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 300 and np.asarray(image.convert("L")).std() > 5, path
    return {path.stem for path in folder.glob("*.png")}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    Image.fromarray(tiny.page(300, 240)).save(tmp_path / "page.png")
    return tmp_path / "page.png"


def test_an_image_and_a_question(page: Path, tmp_path: Path, qwen2_5_vl: Path) -> None:
    text, found = analyzed(tmp_path / "out", str(page), "--question", "What?", "--model", str(qwen2_5_vl), *SMALL)
    assert "1 question of" in text and found["questions"] == 1
    assert [block["block"] for block in found["layers"]["blocks"]] == [1, 2, 3]
    assert found["information"]["num_tok"] == 99 and found["bottleneck"][-1]["keep"] == 99
    assert found["scanpath"]["saccades"] == 1 and len(found["scanpath"]["coverage"]) == 2
    assert sum(band["kept"] for band in found["eccentricity"]["bands"]) == pytest.approx(1)
    assert "rate" not in found  # nobody knows the answer
    assert pictures(tmp_path / "out") == {"information", "layers", "scanpath", "eccentricity"}


def test_without_a_question_nothing_depends_on_one(page: Path, tmp_path: Path, qwen2_5_vl: Path) -> None:
    text, found = analyzed(tmp_path / "out", str(page), "--model", str(qwen2_5_vl), *SMALL)
    assert "question_bits" not in found["information"] and "bottleneck" not in found
    assert found["settings"]["planner"] == "saliency" and found["settings"]["scorer"] == "edges"
    assert "tokens and question" not in text and "entropy of a feature" in text


DATA = ["synthdoc", "--limit", "2", "--page-px", "256", *SMALL]


def test_a_data_set_is_read_at_every_share(tmp_path: Path, qwen2_5_vl: Path) -> None:
    text, found = analyzed(tmp_path / "out", *DATA, "--model", str(qwen2_5_vl))
    assert "measured by reading" in text
    rate = found["rate"]
    assert rate["readings"] == 2 * (1 + len(WAYS) * (len(SHARES) - 1))
    for way in WAYS:
        points = rate["ways"][way]["points"]
        assert [point["share"] for point in points] == list(SHARES)
        assert all(point["score"]["num_questions"] == 2 for point in points)
    errors = [point["error"] for point in rate["ways"]["random kept"]["points"]]
    assert errors == sorted(errors, reverse=True) and errors[-1] == 0 < errors[0]  # more of the same draw lose less
    assert "rate" in pictures(tmp_path / "out")


def test_a_broken_page_costs_only_itself(
    tmp_path: Path, qwen2_5_vl: Path, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    arguments = [f"{tmp_path}/", "--question", "What?", "--model", str(qwen2_5_vl), *SMALL]
    _, found = analyzed(tmp_path / "out", *arguments)
    assert found["questions"] == 1 and len(found["errors"]) == 1
    assert "broken" in found["errors"][0] and PictureError.__name__ in found["errors"][0]
    assert "rate" not in found  # the answers are not known


def test_ctrl_c_gives_what_is_done(tmp_path: Path, qwen2_5_vl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure, calls = analysis.measure, []

    def stopped(*given: Any, **more: Any) -> None:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        measure(*given, **more)

    monkeypatch.setattr(analysis, "measure", stopped)
    Image.fromarray(tiny.page(300, 240)).save(tmp_path / "a.png")
    Image.fromarray(tiny.page(300, 240, seed=1)).save(tmp_path / "b.png")
    arguments = ["analyze", f"{tmp_path}/", "--question", "What?", "--model", str(qwen2_5_vl), *SMALL]
    result = CliRunner().invoke(cli.app, [*arguments, "--output", str(tmp_path / "out")])
    assert result.exit_code == 130
    found = json.loads((tmp_path / "out" / "analysis.json").read_text())
    assert found["interrupted"] and found["questions"] == 1
    assert "scanpath" in pictures(tmp_path / "out")


def test_a_run_without_looks_says_that_there_is_nothing_to_measure(tmp_path: Path) -> None:
    run = written_run.write_run(tmp_path / "run", [written_run.error_row(0, "EngineError: x")])
    text, _ = analyzed(tmp_path / "out", str(run))
    assert "Nothing to measure" in text and not pictures(tmp_path / "out")


def test_a_run_is_analyzed_from_what_it_stored(tmp_path: Path) -> None:
    looks = [written_run.look(0.25, 0.25, range(6), "", 0.1), written_run.look(0.75, 0.25, range(20, 26), "7", 0.9)]
    rows = [written_run.answer(0, "7", 1.0, 0.9, looks=looks), written_run.error_row(1, "EngineError: x")]
    run = written_run.write_run(tmp_path / "run", rows)
    _, found = analyzed(tmp_path / "out", str(run))
    assert found["questions"] == 1 and found["errors"] == ["q1: EngineError: x"]
    assert found["scanpath"]["mean_deg"] == pytest.approx(48 / 33.3)  # half of 96 px
    assert found["scanpath"]["mean_uv"] == pytest.approx(48 / 128)
    near = found["eccentricity"]["bands"][0]  # the first row of cells lies within 2 degrees of (24, 32) px
    assert near["kept"] == pytest.approx(5 / 6)
    assert pictures(tmp_path / "out") == {"scanpath", "eccentricity"} and "people" not in found
    with pytest.raises(ConfigError, match="is a run: it is analysed as it was done, without model"):
        analyzed(tmp_path / "out", str(run), "--model", "nano")
    with pytest.raises(ConfigError, match="is a run: it is analysed as it was done, without limit"):
        analyzed(tmp_path / "out", str(run), "--limit", "1")


def test_a_run_beside_people_s_scanpaths(tmp_path: Path) -> None:
    """One of two people looked where the run did, the other at half of it, and then elsewhere."""
    looks = [written_run.look(0.25, 0.25, range(6), "", 0.1), written_run.look(0.75, 0.25, range(20, 26), "7", 0.9)]
    row = written_run.answer(0, "7", 1.0, 0.9, looks=looks)
    run, people = written_run.write_run(tmp_path / "run", [row]), tmp_path / "people.jsonl"
    paths = [[[0.25, 0.25], [0.75, 0.25], [0.1, 0.9]], [[0.25, 0.25]]]
    people.write_text(
        "".join(json.dumps({"image": f"scans/{row['image_id']}", "gazes_uv": path}) + "\n" for path in paths)
    )
    text, found = analyzed(tmp_path / "out", str(run), "--people", str(people))
    assert found["people"] == {"paths": 1, "with_people": pytest.approx(0.75), "among_people": pytest.approx(0.5)}
    assert "0.750" in text and "0.500" in text
    people.write_text(json.dumps({"image": "another", "gazes_uv": [[0, 0]]}))
    text, found = analyzed(tmp_path / "out", str(run), "--people", str(people))
    assert found["people"]["with_people"] is None and "are of other images" in " ".join(text.split())


@pytest.mark.parametrize(
    "more, text",
    [
        (["--limit", "3"], "is an image, which does not go with limit"),
        (["--sampler", "full"], "a sampler, private, not lazy"),
        (["--question", " "], "the question is empty"),
    ],
)
def test_refusals(more: list[str], text: str, page: Path, tmp_path: Path, qwen2_5_vl: Path) -> None:
    with pytest.raises(SaccadeError, match=text):
        analyzed(tmp_path / "out", str(page), "--model", str(qwen2_5_vl), *more)
