"""`saccade show`: what a run stored is enough to draw where it looked; what is not there is said plainly."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from PIL import Image

from pipelines.reporting.subjects import OfRun, show
from pipelines.runs import manifest, rows, stored
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.jsonl import JsonLines
from saccade.engines.hf import HF, HFEngine
from saccade.episode import episodes, run, see
from saccade.errors import ConfigError, DataError
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path, engine: HFEngine, qwen2_5_vl: Path) -> Path:
    """A run of one image and two questions, the second an error row, written as the graph writes it."""
    Image.fromarray(tiny.page(300, 240)).save(tmp_path / "page.png")
    line = {"image": "page.png", "question": "Who?", "answers": ["x"], "answer_boxes": [[10, 10, 90, 60]]}
    lines = [{**line, "id": "a/1"}, {**line, "id": "b", "answers": True}]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(item) + "\n" for item in lines))
    dataset = JsonLines(data_path=str(tmp_path / "questions.jsonl"))
    listed = [row for row in dataset.rows() if isinstance(row, Row)]
    made = tmp_path / "run"
    (made / "answers").mkdir(parents=True)
    (made / ".saccade").mkdir()
    manifest.write(listed, made / ".saccade" / "manifest.parquet", made / ".saccade" / "skipped.jsonl")
    settings = Episode(budget={"name": "fixed", "tokens": 20}, fixations=2, stop_at=2)
    sample = dataset.sample(listed[0])
    seen = see(settings, engine, sample.picture, sample.questions)
    outcomes = run(episodes(settings, seen), engine)
    table = rows.scored_rows(listed[0].image_id, seen, sample.questions, outcomes, settings)
    pq.write_table(pa.Table.from_pylist(table, rows.SCHEMA), made / "answers" / "00000000.parquet")
    spec = {"name": "hf", "model": str(qwen2_5_vl), "device": "cpu", "dtype": "float32", "max_new_tok": 6}
    settings_of = {
        "dataset": dataset.spec(),
        "max_px": None,
        "engine": spec,
        "episode": settings.model_dump(mode="json"),
    }
    (made / "run.yaml").write_text(yaml.safe_dump(settings_of))
    return made


def test_it_draws_the_first_answered_question(folder: Path) -> None:
    path = show(folder, "trace", None)
    assert path == folder / "show" / "a_1.png"
    with Image.open(path) as drawn:
        assert min(drawn.size) > 200
    again = show(folder, "trace", folder / "again.png", question_id="a/1")
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("what", ["allocation", "saliency", "homunculus", "similarity", "pyramid"])
def test_other_pictures_of_a_run_are_of_its_own_model_and_settings(what: str, folder: Path) -> None:
    path = show(folder, what, None)
    assert path == folder / "show" / f"a_1-{what}.png"
    if what == "saliency":
        other = show(folder, what, folder / "other.png", scorer="variance")
        assert other.read_bytes() != path.read_bytes()


def test_a_run_encodes_as_it_did(folder: Path, engine: HFEngine) -> None:
    subject = OfRun(folder, None)
    seen = see(subject.settings, engine, subject.picture, [subject.asked])
    assert torch.equal(subject.scene.tokens[0], seen.encoding.tokens)
    assert subject.settings.fixations == 2 and subject.boxes_uv


def test_a_run_has_a_curve_of_its_looks(folder: Path) -> None:
    assert show(folder, "rate-distortion", None) == folder / "show" / "rate_distortion.png"
    (curve,) = OfRun(folder, None).curves
    row = stored.row(folder, "a/1")
    assert [point.at for point in curve.points] == [20, 40] and row["visual_tok"] == 40
    shared = yaml.safe_load((folder / "run.yaml").read_text())
    shared["episode"]["canvas"] = "shared"  # what others looked at is on the canvas too
    (folder / "run.yaml").write_text(yaml.safe_dump(shared))
    with pytest.raises(ConfigError, match="there is nothing to draw"):
        show(folder, "rate-distortion", None)


@pytest.mark.parametrize("what", ["trace", "allocation", "pyramid"])
def test_an_image_is_looked_at_here_and_now(
    what: str, folder: Path, qwen2_5_vl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    path = show(folder.parent / "page.png", what, None, question="Who?", model=str(qwen2_5_vl))
    assert path == Path(f"page-{what}.png") and path.exists()


def test_an_image_with_pixels_alone_loads_no_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HF, "open", None)  # not callable
    assert show(folder.parent / "page.png", "pyramid", folder / "bands.png").exists()


def test_an_experiment_has_a_curve(tmp_path: Path) -> None:
    entry = {"score": {"mean": 0.5, "low": 0.4, "high": 0.6}, "visual_tok": 273.0}
    (tmp_path / "results.json").write_text(json.dumps({"variants": {"full": entry, "hybrid@273": entry}}))
    assert show(tmp_path, "rate-distortion", None) == tmp_path / "rate_distortion.png"
    again = show(tmp_path / "results.json", "rate-distortion", tmp_path / "again.png")
    assert again.read_bytes() == (tmp_path / "rate_distortion.png").read_bytes()
    with pytest.raises(ConfigError, match="needs trace, and the experiment .* holds none. Draw --what rate-distortion"):
        show(tmp_path, "trace", None)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ConfigError, match="it has no variants"):
        show(tmp_path, "rate-distortion", None)


def test_what_is_not_there_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='no question \'z\' was answered.*"a/1", "b"$'):
        show(folder, "trace", None, question_id="z")
    with pytest.raises(DataError, match="question 'b' has no trace: it ended with DataError: answers"):
        show(folder, "trace", None, question_id="b")
    (answers,) = (folder / "answers").iterdir()
    failed = [{**row, "error": "EngineError: x"} for row in pq.read_table(answers).to_pylist()]
    pq.write_table(pa.Table.from_pylist(failed, rows.SCHEMA), answers)
    with pytest.raises(ConfigError, match="every answer in .*run is an error; --id shows one"):
        show(folder, "trace", None)
    with pytest.raises(ConfigError, match="every answer of the variant 'default' in .*run is an error"):
        show(folder, "trace", None, variant=rows.ONE)
    with pytest.raises(ConfigError, match="no picture 'heat'. There are: allocation, .*trace"):
        show(folder, "heat", None)
    with pytest.raises(ConfigError, match="Did you mean 'print-size'"):
        show(folder, "print-sise", None)
    with pytest.raises(ConfigError, match="holds no answers: is it the --output"):
        show(tmp_path, "trace", None)


def test_options_that_do_nothing_are_refused(folder: Path) -> None:
    page = folder.parent / "page.png"
    with pytest.raises(ConfigError, match="is a run, which does not go with --question"):
        show(folder, "trace", None, question="Who?")
    with pytest.raises(ConfigError, match="is an image, which does not go with --id"):
        show(page, "trace", None, question_id="a/1", question="Who?")
    for what in ("trace", "rate-distortion", "pyramid"):
        with pytest.raises(ConfigError, match=f"--what {what} draws no importance here, so --scorer would change"):
            show(folder, what, None, scorer="edges")
    with pytest.raises(ConfigError, match="--what pyramid draws no importance here"):
        show(page, "pyramid", None, scorer="edges")
    (folder / "results.json").write_text('{"variants": {}}')
    with pytest.raises(ConfigError, match="is an experiment, which does not go with --model"):
        show(folder, "rate-distortion", None, model="elsewhere")
    with pytest.raises(ConfigError, match="--what saliency depends on what is asked: give --question"):
        show(page, "saliency", None)
    with pytest.raises(ConfigError, match="drawn as .png"):
        show(page, "pyramid", folder / "x.jpg")
