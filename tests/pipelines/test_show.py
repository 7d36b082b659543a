"""`saccade show`: what a run stored is enough to draw where it looked; what is not there is said plainly."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipelines import manifest, rows
from pipelines.show import show
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.jsonl import JsonLines
from saccade.engines.hf import HFEngine
from saccade.errors import ConfigError, DataError
from saccade.look import episodes, run, see
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path, engine: HFEngine) -> Path:
    """A run of one image and two questions, the second an error row, written as the graph writes it."""
    Image.fromarray(tiny.page(300, 240)).save(tmp_path / "page.png")
    line = {"image": "page.png", "question": "Who?", "answers": ["x"], "answer_boxes": [[10, 10, 90, 60]]}
    lines = [{**line, "id": "a/1"}, {**line, "id": "b", "answers": 5}]
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
    outcomes = [item for flow in episodes(settings, seen) for item in run(flow, engine)]
    table = rows.scored_rows(listed[0].image_id, seen, sample.questions, outcomes, settings)
    pq.write_table(pa.Table.from_pylist(table, rows.SCHEMA), made / "answers" / "00000000.parquet")
    (made / "run.yaml").write_text(yaml.safe_dump({"dataset": dataset.spec(), "max_px": None}))
    return made


def test_it_draws_the_first_answered_question(folder: Path) -> None:
    path = show(folder, None, "trace", None)
    assert path == folder / "show" / "a_1.png"
    with Image.open(path) as drawn:
        assert min(drawn.size) > 200
    again = show(folder, "a/1", "trace", folder / "again.png")
    assert again.read_bytes() == path.read_bytes()


def test_what_is_not_there_is_said(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='no question \'z\' was answered.*"a/1", "b"'):
        show(folder, "z", "trace", None)
    with pytest.raises(DataError, match="question 'b' has no trace: it ended with DataError: answers"):
        show(folder, "b", "trace", None)
    with pytest.raises(ConfigError, match="no picture 'heat'. There are: trace"):
        show(folder, None, "heat", None)
    with pytest.raises(ConfigError, match="holds no answers: is it the --output"):
        show(tmp_path, None, "trace", None)
