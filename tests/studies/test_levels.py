"""The pyramid's report over pictures and data sets, with a real tiny reader."""

import json
from pathlib import Path

import cv2
import pytest
import torch
from typer.testing import CliRunner

from pipelines.commands.app import app
from saccade.analysis.pyramid import pyramid_report, read_value
from saccade.config import Episode
from saccade.datasets import open_dataset
from saccade.engines.hf import HFEngine
from saccade.episode import see
from saccade.errors import ConfigError, EngineDead
from saccade.picture import Picture
from saccade.studies.levels import memory, over, reports
from saccade.types import Canvas, Part, Question, Selection
from tests import tiny

SMALL = Episode(sampler="pyramid", levels=3, fixations=1, scorer="variance", budget={"name": "fixed", "tokens": 20})


@pytest.fixture(scope="module")
def picture() -> Picture:
    return Picture.open(tiny.page(440, 400))


def test_a_report_of_one_question(engine: HFEngine, picture: Picture) -> None:
    ((_, report),) = reports(SMALL, engine, picture, [Question("a", "What is the total?")])
    assert [one.selected for one in report.levels] == [4, 7, 9]
    assert report.levels[0].tokens == 224
    assert all(one.energy is not None and one.energy > 0 for one in report.levels)
    assert report.value is not None
    for one in report.levels:
        assert one.contribution is not None
        assert report.value - one.contribution >= -1e-9


def test_the_value_is_what_a_reader_makes_of_those_tokens(engine: HFEngine, picture: Picture) -> None:
    seen = see(SMALL, engine, picture, [Question("a", "What is the total?")])
    kept = torch.zeros(len(seen.encoding), dtype=torch.bool)
    kept[::7] = True
    grid = seen.encoding.grid
    chosen = Selection.keep(kept.nonzero().flatten(), len(kept))
    answer = engine.read(Canvas(grid.rows, grid.cols).add(Part.of(seen.encoding, chosen)), "What is the total?")
    value = read_value(seen, Question("a", "What is the total?"), engine)
    assert value(kept) == pytest.approx(answer.confidence, abs=1e-5)
    assert value(torch.zeros_like(kept)) == 0
    wider = Question("a", "What is the total?", answers=(answer.text + "!?",), metric="words")
    assert read_value(seen, wider, engine)(kept) == 1, "by the question's own metric: punctuation does not count"
    known = read_value(seen, Question("a", "What is the total?", answers=(answer.text or "x",)), engine)
    assert known(kept) == (1.0 if answer.text else 0.0)
    report = pyramid_report(grid, torch.ones(len(kept)), kept & (grid.level == 0), value=known)
    assert [one.contribution for one in report.levels][1:] == [0.0, 0.0]  # nothing was kept of them


def test_memory_of_all_levels_at_once_and_of_one_after_the_other(engine: HFEngine, picture: Picture) -> None:
    every, apart = memory(SMALL, engine, picture, [4, 7, 9])
    encoding = see(SMALL, engine, picture, []).encoding
    assert every > sum(tensor.numel() * tensor.element_size() for tensor in encoding.tensors.values())
    assert apart > picture.width_px * picture.height_px * 3 * 4, "the picture as numbers, to be blurred and halved"
    assert (every, apart) == memory(SMALL, engine, picture, [4, 7, 9]), "it repeats exactly"


def test_means_over_a_data_set(engine: HFEngine) -> None:
    dataset = open_dataset("synthdoc", page_px=256)
    found = over(SMALL, engine, dataset, 3)
    assert found["questions"] == 3
    assert [level["selected"]["mean"] for level in found["levels"]]
    assert sum(level["selected"]["mean"] for level in found["levels"]) == pytest.approx(20)
    assert 0 <= found["score"]["mean"] <= 1 and found["metric"] == "ANLS"
    assert json.loads(json.dumps(found)) == found


def test_one_bad_picture_or_question_costs_only_itself(tmp_path: Path, engine: HFEngine) -> None:
    cv2.imwrite(str(tmp_path / "page.png"), tiny.page(224, 200))
    (tmp_path / "broken.png").write_bytes(b"no image")
    lines: list[dict[str, object]] = [
        {"id": "a", "image": "broken.png"},
        {"id": "b", "image": "page.png"},
        {"id": "c", "image": "page.png", "question": "What? " * 2000},
        {"id": "d", "image": "page.png", "answer_boxes": [[1, 1, 9]]},
        {"id": "hidden", "image": "page.png", "answers": None},
    ]
    whole = [{"question": "What?", "answers": ["7"]} | line for line in lines]
    file = tmp_path / "q.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in whole))
    found = over(SMALL, engine, open_dataset(str(file)), 9)
    assert (found["questions"], found["pages"]) == (1, 1)
    assert [error.split(": ")[:2] for error in found["errors"]] == [
        ["broken.png", "PictureError"],
        ["c", "QuestionError"],
        ["d", "DataError"],
    ]
    file.write_text(json.dumps(whole[0]) + "\n")
    with pytest.raises(ConfigError, match="no question of jsonl could be reported on: broken.png: PictureError"):
        over(SMALL, engine, open_dataset(str(file)), 9)


def test_an_engine_that_is_gone_ends_the_report(engine: HFEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(*_: object) -> None:
        raise EngineDead("gone")

    monkeypatch.setattr(engine, "encode", dead)
    with pytest.raises(EngineDead, match="gone"):
        over(SMALL, engine, open_dataset("synthdoc", page_px=256), 3)


def test_scores_are_of_the_data_set_s_own_metric(tmp_path: Path, engine: HFEngine) -> None:
    cv2.imwrite(str(tmp_path / "page.png"), tiny.page(224, 200))
    line = {"id": "a", "image": "page.png", "question": "What?", "answers": ["7"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(line) + "\n")
    found = over(SMALL, engine, open_dataset(str(tmp_path / "q.jsonl"), metric="exact"), 1)
    assert found["metric"] == "exact match" and found["score"]["mean"] in (0, 1)


def test_views_and_shared_canvases_have_no_report(engine: HFEngine, picture: Picture) -> None:
    for settings in ({"sampler": "full"}, {"canvas": "shared"}):
        with pytest.raises(ConfigError, match="one question's looks"):
            next(reports(Episode(**settings), engine, picture, [Question("a", "What?")]))  # type: ignore[arg-type]


def test_the_command(tmp_path: Path) -> None:
    page = tmp_path / "page.png"
    cv2.imwrite(str(page), tiny.page(224, 200))
    run = CliRunner()
    small = ["--levels", "2", "--tokens", "30", "--device", "cpu"]
    good = run.invoke(app, ["levels", str(page), "--question", "What?", *small])
    assert good.exit_code == 0, good.output
    assert "MB with all levels encoded at once" in good.output
    assert "contribution" in good.output
    assert good.output.splitlines()[-2].startswith("30 of ")
    with pytest.raises(ConfigError, match="is an image: give --question"):
        run.invoke(app, ["levels", str(page)], catch_exceptions=False)
    for more in (["--output", str(tmp_path / "x.json")], ["--limit", "3"]):
        with pytest.raises(ConfigError, match=f"is an image, which does not go with {more[0][2:]}"):
            run.invoke(app, ["levels", str(page), "--question", "What?", *more], catch_exceptions=False)
    (tmp_path / "broken.png").write_bytes(b"no image")
    lines = [{"id": name, "image": name, "question": "What?", "answers": ["7"]} for name in ("page.png", "broken.png")]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    good = run.invoke(app, ["levels", str(tmp_path / "q.jsonl"), "--output", str(tmp_path / "x.json"), *small])
    assert good.exit_code == 0 and "left out: broken.png: PictureError" in good.stderr, good.output
    assert "1 question on 1 page" in good.stdout
