"""The graph on a Ray session of 2 CPUs: the rows of a plain loop, one a question, and errors that cost their row."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines.execute.run import batch
from pipelines.runs.files import read_parquet
from pipelines.runs.folder import RunFolder
from saccade.api import Eye
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.jsonl import JsonLines
from saccade.engines.hf import HF
from saccade.errors import ConfigError, EngineDead
from saccade.types import Trace
from tests import broken_images
from tests.pipelines.conftest import EPISODE, NUM_IMAGES, NUM_QUESTIONS, configured

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900), pytest.mark.usefixtures("cluster")]
QUIET = Console(quiet=True)


def answers(output: Path) -> list[dict[str, Any]]:
    """All rows of a run, in the order of their files."""
    return [row for file in sorted((output / "answers").iterdir()) for row in read_parquet(file).to_pylist()]


def loop(data: Path, model: Path, episode: Episode) -> list[Trace]:
    """The same questions in a plain loop."""
    dataset, traces = JsonLines(data_path=str(data)), []
    with HF(model=str(model), max_new_tok=4).open() as engine:
        eye = Eye(engine, episode)
        for row in dataset.rows():
            assert isinstance(row, Row)
            sample = dataset.sample(row)
            traces += eye.outcomes(sample.picture, sample.questions)
    return [trace for trace in traces if isinstance(trace, Trace)]


SHARED = EPISODE.with_settings(canvas="shared", scorer="query,edges", glimpse=6, planner="saliency")
UNSURE = Episode(glimpse=6, fixations=0, rest="all", integrate="confident", stop_at=2)
SURE = UNSURE.with_settings(stop_at=0)
"""Sure of the glimpse: the page behind it is encoded for nobody."""
AGAIN = UNSURE.with_settings(reread=0.8)


@pytest.mark.parametrize(
    "episode",
    [EPISODE, SHARED, UNSURE, SURE, AGAIN],
    ids=["private", "shared", "glimpse, unsure", "glimpse, sure", "and again"],
)
def test_the_graph_gives_the_traces_of_a_loop(data: Path, tmp_path: Path, qwen2_5_vl: Path, episode: Episode) -> None:
    named = tmp_path / "number=5 image_id=zz" / "questions=4 a?b*c 100%20 #é" / "source=s3:"  # only names
    config = configured(data, named, qwen2_5_vl, episode=episode, in_flight=2)
    summary = batch(config, QUIET)
    rows, traces = answers(config.output), loop(data, qwen2_5_vl, episode)
    assert [row["id"] for row in rows] == [trace.question_id for trace in traces], "one row a question, in order"
    assert len(rows) == NUM_IMAGES * NUM_QUESTIONS
    for row, trace in zip(rows, traces, strict=True):
        assert row["error"] is None and row["answer"] == trace.answer.text
        assert row["confidence"] == pytest.approx(trace.answer.confidence, abs=1e-5)
        assert (row["visual_tok"], row["encoder_patches"]) == (trace.cost.visual_tok, trace.cost.encoder_patches)
        for fixation, step in zip(row["fixations"], trace.steps, strict=True):
            assert (fixation["gaze_x"], fixation["gaze_y"]) == pytest.approx(step.gaze.uv)
            assert fixation["kept"] == step.selection.index.tolist()
            assert (fixation["reason"], fixation["tokens"]) == (step.gaze.reason, len(step.selection))
            assert fixation["answer"] == step.answer.text
    assert RunFolder(config.output).num_encoded() == NUM_IMAGES == summary["encoded_images"]
    assert summary["coverage"]["num_questions"] == summary["score"]["num_questions"] == 12


def test_what_cannot_be_read_or_asked_costs_its_own_rows(tmp_path: Path, qwen2_5_vl: Path) -> None:
    folder = tmp_path / "horrors"
    folder.mkdir()
    reasons = broken_images.make(folder)
    lines = [{"id": name, "image": name, "question": "What?"} for name in reasons]
    lines.append({"id": "long", "image": "good_1.png", "question": "word " * 2000, "answers": ["x"]})
    lines.append({"id": "wrong", "image": "good_1.png", "question": "What?", "answer_boxes": [[1, 2, 3]]})
    data = folder / "questions.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"id": "none", "image": "good_1.png"}]))
    config = configured(data, tmp_path / "run", qwen2_5_vl, num_readers=2)
    summary = batch(config, QUIET)
    rows = {row["id"]: row for row in answers(config.output)}
    assert len(rows) == summary["questions"] == len(lines)
    for name, reason in reasons.items():
        error = rows[name]["error"]
        assert error is None if reason is None else reason in error and error.startswith("PictureError: "), name
    assert rows["long"]["error"].startswith("QuestionError: ") and rows["long"]["score"] == 0.0
    assert "answer_boxes" in rows["wrong"]["error"] and rows["wrong"]["score"] is None
    assert summary["skipped"] == {"no_question": 1}
    assert summary["errors"] == sum(row["error"] is not None for row in rows.values())
    assert summary["encoded_images"] == sum(reason is None for reason in reasons.values())


def test_actors_that_no_node_has_room_for_are_told(data: Path, tmp_path: Path, qwen2_5_vl: Path) -> None:
    config, started = configured(data, tmp_path / "run", qwen2_5_vl, num_lookers=30), time.monotonic()
    told = r"does not fit its Ray cluster: a .* needs 0\.1 CPU, which no node .* has free \(its nodes: 2 CPU\)"
    with pytest.raises(ConfigError, match=told):
        batch(config, QUIET)
    assert time.monotonic() - started < 30


def _is_ours(pid: int) -> bool:
    """Whether a process descends from this one: other runs on the machine have readers as well."""
    while pid > 1 and pid != os.getpid():
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
    return pid == os.getpid()


class Killer(threading.Thread):
    """Kills this test's own readers, or actors of another name, with SIGKILL once the first image is written."""

    def __init__(self, output: Path, actor: bytes = b"ReaderActor") -> None:
        super().__init__(daemon=True)
        self.output, self.actor, self.killed = output, actor, 0

    def run(self) -> None:
        while not any((self.output / "answers").glob("*.parquet")):
            time.sleep(0.02)
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            if _is(self.actor, pid) and _is_ours(pid):
                os.kill(pid, signal.SIGKILL)
                self.killed += 1


@pytest.mark.parametrize("actor, episode", [(b"ReaderActor", EPISODE), (b"EncoderActor", UNSURE)])
def test_an_actor_that_dies_is_restarted_and_its_episodes_go_on(
    data: Path, tmp_path: Path, qwen2_5_vl: Path, actor: bytes, episode: Episode
) -> None:
    config = configured(data, tmp_path / "run", qwen2_5_vl, episode=episode, in_flight=2)
    killer = Killer(config.output, actor)
    killer.start()
    batch(config, QUIET)
    rows = answers(config.output)
    assert killer.killed == 1 and [row["error"] for row in rows] == [None] * NUM_IMAGES * NUM_QUESTIONS


@pytest.mark.slow
def test_a_reader_that_dies_too_often_stops_the_run_loudly(data: Path, tmp_path: Path, qwen2_5_vl: Path) -> None:
    config = configured(data, tmp_path / "run", qwen2_5_vl, in_flight=2, max_restarts=0)
    Killer(config.output).start()
    with pytest.raises(EngineDead, match=r"reader 0 died.*Done: . of 6 images\. Go on with the same command"):
        batch(config, QUIET)
    summary = batch(config.with_settings(resume=True), QUIET)
    assert summary["questions"] == NUM_IMAGES * NUM_QUESTIONS and summary["errors"] == 0


def _is(actor: bytes, pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::" + actor)
    except OSError:
        return False
