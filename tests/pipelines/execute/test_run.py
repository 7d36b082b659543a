"""A run's folder: what is refused, what is done again, what is left alone. The graph is replaced by a loop; no Ray."""

import contextlib
import errno
import io
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner

from pipelines.commands import app as cli
from pipelines.execute import in_process, placement, session
from pipelines.execute import ray_graph as graph
from pipelines.execute import run as module
from pipelines.execute.placement import Placement
from pipelines.execute.plan import Plan
from pipelines.execute.run import Stopped, batch
from pipelines.execute.sink import AnswersSink
from pipelines.runs import manifest, rows, stored
from pipelines.runs.config import RunConfig
from pipelines.runs.files import read_parquet
from pipelines.runs.folder import RunFolder
from pipelines.runs.layout import answers_name
from saccade.datasets import Dataset
from saccade.errors import ConfigError, EngineDead, ResumeRefused
from saccade.registry import load
from tests.pipelines.conftest import EPISODE, NUM_IMAGES, NUM_QUESTIONS, configured, write_data

QUIET = Console(quiet=True)


class Loop:
    """Instead of the graph: an error row for every question. Stops after `most` images."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.most, self.stops, self.error = 10**6, KeyboardInterrupt(), "EngineError: none"
        self.looked: list[list[int]] = []  # tokens look by look, image by image
        self.sides: list[tuple[int, int, int, int]] = []  # width and height in px, image by image, and as shown
        self.sure: list[tuple[float, float | None]] = []  # confidence and score of its answers, image by image

    def run(self, plan: Plan, placed: Placement, config: RunConfig, left: Path, watch: Any) -> float:
        for number, image in enumerate(pq.read_table(left).to_pylist()):
            if number >= self.most:
                raise self.stops
            asked = manifest.questions_of(image["questions"])
            made = [{**rows.error_row(image["image_id"], q, self.error), "visual_tok": 12} for q in asked]
            for row, tokens in itertools.product(made, self.looked[number : number + 1]):
                row["fixations"] = [{"gaze_x": 0.5, "gaze_y": 0.5, "tokens": count} for count in tokens]
            for row, (width, height, *shown) in itertools.product(made, self.sides[number : number + 1]):
                grid = {"rows": 1, "cols": 1, "width_px": shown[0], "height_px": shown[1]}
                row |= {"width_px": width, "height_px": height, "grid": grid}
            for row, (confidence, score) in itertools.product(made, self.sure[number : number + 1]):
                row |= {"confidence": confidence, "score": score}
            manifest.write_table(
                rows.pa.Table.from_pylist(made, rows.SCHEMA), plan.answers / answers_name(image["number"])
            )
            self.done.append(image["image_id"])
        return 1.0


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Loop:
    """Stands in for the graph, and says what it was given."""
    made = Loop()
    monkeypatch.setattr(session, "ray_started", lambda *_: contextlib.nullcontext())
    monkeypatch.setattr(placement, "place", lambda _: Placement(1, 1, 1, 32, 0.0, 0.0, 0.25, 1))
    monkeypatch.setattr(graph, "run", made.run)
    return made


@pytest.fixture
def config(data: Path, tmp_path: Path, qwen2_5_vl: Path) -> RunConfig:
    """A run that has not begun."""
    return configured(data, tmp_path / "run", qwen2_5_vl)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file a user sees."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".saccade" not in path.parts]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_run_says_what_it_is_and_what_it_came_to(config: RunConfig, loop: Loop) -> None:
    summary = batch(config, QUIET)
    assert (summary["questions"], summary["images"], summary["errors"]) == (18, 6, 18)
    assert summary["errors_by_reason"] == {"EngineError: none": 18}
    assert summary["score"]["num_questions"] == 12, "hidden answers have no score"
    assert summary["first_look_tok"] == {}, "nothing was looked at"
    assert summary == json.loads((config.output / "summary.json").read_text())
    made = yaml.safe_load((config.output / "run.yaml").read_text())
    assert made["num_readers"] is None and made["max_px"] == 28 * 28 * 256 and made["versions"]["ray"]
    again = RunConfig(**{key: made[key] for key in RunConfig.model_fields})
    assert again == config, "run.yaml is a configuration"
    assert {path.name for path in config.output.iterdir()} == {"run.yaml", "summary.json", "answers", ".saccade"}


def test_the_summary_says_how_the_budget_fell_out(config: RunConfig, loop: Loop) -> None:
    loop.looked = [[180, 180], [456, 3], [180], [273], []]  # the sixth image has no looks either
    assert batch(config, QUIET)["first_look_tok"] == {"180": 6, "273": 3, "456": 3}


def test_the_summary_says_how_many_images_were_shown_smaller(config: RunConfig, loop: Loop) -> None:
    """Rounding to whole tokens is no shrinking; images of which nothing was stored are not counted."""
    loop.sides = [(1000, 800, 500, 400), (1000, 800, 992, 800), (1000, 1000, 250, 250), (100, 100, 112, 112)]
    assert batch(config, QUIET)["shrunk"] == {"images": 2, "side": pytest.approx((0.5 + 0.25) / 2)}


def test_the_summary_says_what_sure_answers_are_worth(config: RunConfig, loop: Loop) -> None:
    """Three questions an image: two images are sure, of one of them the answers are known."""
    loop.sure = [(0.8, 1.0), (0.95, None), (0.79, 0.0)]
    sure = batch(config, QUIET)["sure"]
    assert (sure["at"], sure["answers"]) == (0.8, 6)
    assert (sure["score"]["mean"], sure["score"]["num_questions"]) == (1.0, 3)


def test_a_folder_in_use_is_refused_without_resume(config: RunConfig, loop: Loop) -> None:
    batch(config, QUIET)
    with pytest.raises(ResumeRefused, match="is there and not empty.*--resume, or name another"):
        batch(config, QUIET)


def test_a_folder_that_is_no_run_is_refused(config: RunConfig, loop: Loop) -> None:
    config.output.mkdir()
    (config.output / "notes.txt").write_text("mine")
    with pytest.raises(ResumeRefused, match="holds no run"):
        batch(config.with_settings(resume=True), QUIET)
    assert [path.name for path in config.output.iterdir()] == ["notes.txt"]


def test_nothing_is_resumed_twice(config: RunConfig, loop: Loop) -> None:
    first = batch(config, QUIET)
    before = snapshot(config.output)
    for _ in range(2):
        assert batch(config.with_settings(resume=True, num_readers=2), QUIET) == first
    assert snapshot(config.output) == before and len(loop.done) == NUM_IMAGES


def test_an_interrupted_run_goes_on_where_it_was(config: RunConfig, loop: Loop) -> None:
    loop.most = 2
    with pytest.raises(Stopped, match="stopped after 2 of 6 images. Go on with the same command and --resume"):
        batch(config, QUIET)
    loop.most = 10**6
    summary = batch(config.with_settings(resume=True), QUIET)
    assert summary["questions"] == NUM_IMAGES * NUM_QUESTIONS and summary["images_done"] == 4
    assert sorted(loop.done) == sorted(set(loop.done))


def test_a_lost_summary_is_made_again_without_work(config: RunConfig, loop: Loop) -> None:
    batch(config, QUIET)
    (config.output / "summary.json").unlink()
    summary = batch(config.with_settings(resume=True), QUIET)
    assert summary["questions"] == 18 and summary["seconds"] is None and len(loop.done) == NUM_IMAGES


def test_a_summary_of_before_does_not_outlive_an_attempt(config: RunConfig, loop: Loop) -> None:
    assert batch(config, QUIET)["errors_by_reason"] == {"EngineError: none": 18}
    loop.error, loop.most, loop.stops = "EngineError: again", NUM_IMAGES - 1, KeyboardInterrupt()
    with pytest.raises(Stopped):
        batch(config.with_settings(resume=True, retry_errors=True), QUIET)
    summary = batch(config.with_settings(resume=True), QUIET)  # nothing is left to do
    assert summary["errors_by_reason"] == {"EngineError: again": 15, "EngineError: none": 3}


def test_a_mistake_in_the_data_leaves_a_folder_that_can_be_used(config: RunConfig, loop: Loop, data: Path) -> None:
    lines = data.read_text()
    data.write_text(lines.replace('"image"', '"imgae"'))
    with pytest.raises(ConfigError):
        batch(config, QUIET)
    data.write_text(lines)
    assert batch(config, QUIET)["questions"] == NUM_IMAGES * NUM_QUESTIONS


@pytest.mark.parametrize("limit, said", [(18, False), (19, True)])
def test_fewer_questions_than_asked_for_are_told(config: RunConfig, loop: Loop, limit: int, said: bool) -> None:
    console = Console(file=io.StringIO(), width=200)
    batch(config.with_settings(limit=limit), console)
    assert ("jsonl holds 18 questions, fewer than --limit 19" in console.file.getvalue()) == said  # type: ignore[attr-defined]


def test_generated_pages_can_be_more(tmp_path: Path, qwen2_5_vl: Path, loop: Loop) -> None:
    console, spec = Console(file=io.StringIO(), width=200), {"name": "synthdoc", "num_pages": 1, "page_px": 256}
    batch(configured(tmp_path, tmp_path / "run", qwen2_5_vl, dataset=spec, limit=100), console)
    assert "--set dataset.num_pages=N draws more pages" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "before, now, refused",
    [({}, {"device": "cpu"}, False), ({}, {"dtype": "float32"}, False), ({}, {"dtype": "bfloat16"}, True)],
)
def test_what_auto_stood_for_is_part_of_a_run(
    config: RunConfig,
    loop: Loop,
    before: dict[str, Any],
    now: dict[str, Any],
    refused: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    engine = {key: config.engine[key] for key in ("name", "model", "max_new_tok")}
    batch(config.with_settings(engine={**engine, **before}), QUIET)
    again = config.with_settings(resume=True, engine={**engine, **now})
    if not refused:
        assert batch(again, QUIET)["images"] == NUM_IMAGES
        return
    with pytest.raises(ResumeRefused, match="engine.dtype: float32 -> bfloat16"):
        batch(again, QUIET)


def test_a_dead_engine_ends_the_run_loudly(config: RunConfig, loop: Loop) -> None:
    loop.most, loop.stops = 1, EngineDead("reader 0 died")  # type: ignore[assignment]
    with pytest.raises(EngineDead, match=r"reader 0 died\. Done: 1 of 6 images\. Go on .*--resume"):
        batch(config, QUIET)


def test_last_words_that_were_cut_off_are_passed_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.hidden.mkdir()
    assert folder.last_death("a") is None
    folder.deaths.write_text('{"attempt": "a", "error": "CUDA error"}\n{"attempt": "a", "err')  # the disk was full
    assert folder.last_death("a") == "CUDA error"


@pytest.mark.parametrize(
    "change, text",
    [
        ({"episode": EPISODE.with_settings(sampler="random")}, "episode.sampler: hybrid -> random"),
        ({"limit": 4}, "limit: null -> 4"),
        ({"episode": EPISODE.with_settings(budget={"name": "fixed", "tokens": 13})}, "budget.tokens: 12 -> 13"),
    ],
)
def test_another_configuration_is_refused(config: RunConfig, loop: Loop, change: dict[str, Any], text: str) -> None:
    batch(config, QUIET)
    before = snapshot(config.output)
    with pytest.raises(ResumeRefused, match=text):
        batch(config.with_settings(resume=True, **change), QUIET)
    assert snapshot(config.output) == before


def test_other_data_or_weights_are_refused(
    config: RunConfig, loop: Loop, data: Path, tmp_path: Path, qwen2_5_vl: Path
) -> None:
    batch(config, QUIET)
    moved = write_data(tmp_path / "elsewhere")
    spec = {"name": "jsonl", "data_path": str(moved)}
    assert batch(config.with_settings(resume=True, dataset=spec), QUIET)["images"] == 6, "the same data elsewhere"
    moved.write_text(moved.read_text() + '{"id": "new", "image": "0.png", "question": "And now?"}\n')
    with pytest.raises(ResumeRefused, match=r"the questions or images of the data set changed \(data: [0-9a-f]+ -> "):
        batch(config.with_settings(resume=True, dataset=spec), QUIET)
    from tests import tiny

    other = configured(data, config.output, tiny.qwen2_5_vl(tmp_path / "other", seed=1), resume=True)
    with pytest.raises(ResumeRefused, match=r"the model's weights changed \(engine.weights: [0-9a-f]+ -> "):
        batch(other, QUIET)


def test_another_prompt_is_refused(config: RunConfig, loop: Loop, tmp_path: Path, qwen2_5_vl: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(qwen2_5_vl, model)
    mine = config.with_settings(engine={**config.engine, "model": str(model)})
    batch(mine, QUIET)
    (model / "chat_template.jinja").write_text("{{ messages }} Answer in one word.")
    with pytest.raises(ResumeRefused, match=r"the model's tokenizer, prompt or picture settings changed \(engine\.set"):
        batch(mine.with_settings(resume=True), QUIET)


@pytest.mark.parametrize("resume", [False, True])
def test_a_resume_that_begins_a_run_says_so(config: RunConfig, loop: Loop, resume: bool) -> None:
    console = Console(file=io.StringIO(), width=400)
    batch(config.with_settings(resume=resume), console)
    told = console.file.getvalue()  # type: ignore[attr-defined]
    assert (f"there is no run in '{config.output}' to --resume yet: this one begins there" in told) == resume


@pytest.mark.parametrize("errors, code", [(2, 3), (0, 0)])
def test_the_exit_status_says_whether_rows_failed(
    config: RunConfig, errors: int, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.commands.batch.run_config", lambda _: config)
    monkeypatch.setattr("pipelines.commands.batch.run", lambda *_: {"errors": errors})
    monkeypatch.setattr("pipelines.commands.batch.table", lambda summary: f"{summary['errors']} errors")
    result = CliRunner().invoke(cli.app, ["batch"])
    assert result.exit_code == code and f"{errors} errors" in result.output, (result.output, result.exception)


def test_a_run_that_answered_nothing_may_be_begun_anew_with_other_settings(config: RunConfig, loop: Loop) -> None:
    loop.most = 0
    with pytest.raises(Stopped):
        batch(config, QUIET)
    loop.most = 10**6
    summary = batch(config.with_settings(resume=True, limit=4), QUIET)
    assert (summary["questions"], summary["images"]) == (4, 2), "the manifest is the new one"


def test_retry_errors_replaces_rows_and_leaves_the_others(config: RunConfig, loop: Loop) -> None:
    batch(config, QUIET)
    good = config.output / "answers" / answers_name(3)
    table = pq.read_table(good)
    manifest.write_table(table.set_column(table.schema.get_field_index("error"), "error", [[None] * 3]), good)
    before, loop.error = good.read_bytes(), "EngineError: again"
    loop.done.clear()
    summary = batch(config.with_settings(resume=True, retry_errors=True), QUIET)
    assert len(loop.done) == 5 and "3.png" not in loop.done and good.read_bytes() == before
    assert summary["errors_by_reason"] == {"EngineError: again": 15} and summary["questions"] == 18


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_file_that_a_crash_cut_off_is_made_again(config: RunConfig, loop: Loop, share: float) -> None:
    batch(config, QUIET)
    cut, other = (config.output / "answers" / answers_name(number) for number in (2, 4))
    whole, kept = pq.read_table(cut), other.read_bytes()
    os.truncate(cut, int(cut.stat().st_size * share))
    loop.done.clear()
    summary = batch(config.with_settings(resume=True), QUIET)
    assert loop.done == ["2.png"] and pq.read_table(cut).equals(whole) and other.read_bytes() == kept
    assert summary["questions"] == NUM_IMAGES * NUM_QUESTIONS


def test_a_copy_without_what_is_hidden_goes_on(config: RunConfig, loop: Loop) -> None:
    """`cp run/* elsewhere` leaves .saccade behind."""
    batch(config, QUIET)
    shutil.rmtree(config.output / ".saccade")
    with pytest.raises(ConfigError, match=r"manifest.parquet is not there, perhaps because a copy left out what is"):
        stored.sample(config.output, stored.settings(config.output), "0.png")
    (config.output / "answers" / answers_name(3)).unlink()
    loop.done.clear()
    summary = batch(config.with_settings(resume=True), QUIET)
    assert loop.done == ["3.png"] and summary["questions"] == NUM_IMAGES * NUM_QUESTIONS
    assert stored.sample(config.output, stored.settings(config.output), "0.png").image_id == "0.png"


@pytest.mark.parametrize(
    "text, said", [("", "has no identity"), ("a: 1", "is not that of a run: it"), ("a: [", "is not YAML")]
)
def test_a_run_yaml_that_is_none_is_named(config: RunConfig, loop: Loop, text: str, said: str) -> None:
    config.output.mkdir()
    (config.output / "run.yaml").write_text(text)
    with pytest.raises(ResumeRefused, match=rf"run\.yaml.*{said}"):
        batch(config.with_settings(resume=True), QUIET)
    assert (config.output / "run.yaml").read_text() == text


def test_answers_that_were_cut_off_are_named_where_they_are_read(config: RunConfig, loop: Loop) -> None:
    batch(config, QUIET)
    os.truncate(config.output / "answers" / answers_name(2), 0)
    for read in (lambda: list(stored.rows(config.output)), lambda: stored.row(config.output, "2-0")):
        with pytest.raises(ConfigError, match=r"answers cannot be read: .*00000002.parquet.* \(with --resume\)"):
            read()


@pytest.mark.parametrize("rows_left", [0, 2])
def test_a_file_with_other_rows_than_questions_is_made_again(config: RunConfig, loop: Loop, rows_left: int) -> None:
    batch(config, QUIET)
    file = config.output / "answers" / answers_name(1)
    manifest.write_table(pq.read_table(file).slice(0, rows_left), file)
    loop.done.clear()
    assert batch(config.with_settings(resume=True), QUIET)["questions"] == NUM_IMAGES * NUM_QUESTIONS
    assert loop.done == ["1.png"]


def test_settings_that_contradict_each_other_fail_first(config: RunConfig, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give --resume as well"):
        config.with_settings(retry_errors=True)
    with pytest.raises(ConfigError, match="no model '/nowhere': there is no such folder. Give 'nano'"):
        batch(configured(data, tmp_path / "run", Path("/nowhere")), QUIET)
    assert not (tmp_path / "run").exists(), "nothing was started"


def test_two_processes_do_not_write_to_one_folder(config: RunConfig, loop: Loop) -> None:
    def run(*_: Any) -> float:
        with pytest.raises(ResumeRefused, match="another process is writing"):
            batch(config.with_settings(resume=True), QUIET)
        return loop.run(*_)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "run", run)
        batch(config, QUIET)


def test_a_disk_without_locks_is_not_taken_for_another_process(
    config: RunConfig, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("pipelines.runs.resume.fcntl.flock", refusing)
    with pytest.raises(ConfigError, match=r"the disk of .* has no locks \(No locks available\)") as refused:
        batch(config, QUIET)
    assert not isinstance(refused.value, ResumeRefused) and not loop.done


@contextlib.contextmanager
def nobody_counts() -> Iterator[None]:
    """A sink without a ledger to tell."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "pipelines.execute.sink.ray.get_actor", lambda *_: (_ for _ in ()).throw(LookupError("no ledger"))
        )
        yield


def test_a_worker_of_a_killed_run_cannot_commit_any_more(config: RunConfig, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    load("datasets", config.dataset, Dataset)
    plan = Plan(
        {},
        EPISODE,
        config.engine_spec(),
        None,
        folder.answers,
        folder.hidden,
        folder.new_attempt(),
        "n",
        1,
        1,
        None,
        1,
        1,
    )
    sink, block = AnswersSink(plan), rows.pa.Table.from_pylist([], rows.SCHEMA)
    stream = rows.pa.BufferOutputStream()
    with rows.pa.ipc.new_stream(stream, rows.SCHEMA) as writer:
        writer.write_table(block)
    row = rows.pa.table({"number": [7], "image_id": ["i"], "rows": [stream.getvalue().to_pybytes()]})
    with nobody_counts():
        with pytest.raises(LookupError):
            sink.write([row], None)  # commits, then tells
        os.unlink(folder.answers / answers_name(7))
        folder.new_attempt()  # the resumed run
        with pytest.raises(OSError):
            sink.write([row], None)
    assert list(folder.answers.iterdir()) == []


def test_importing_batch_does_not_start_or_import_ray() -> None:
    import subprocess
    import sys

    code = f"import sys, {module.__name__}; sys.exit('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3]).returncode == 0


def test_a_run_in_this_process_is_a_run_like_any_other(
    data: Path, tmp_path: Path, qwen2_5_vl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_ray(*_: Any) -> None:
        raise AssertionError("Ray was started")

    monkeypatch.setattr(session, "ray_started", no_ray)
    (data.parent / "broken.png").write_bytes(b"no image")
    with data.open("a") as lines:
        lines.write(json.dumps({"id": "broken", "image": "broken.png", "question": "What?", "answers": ["x"]}) + "\n")
    config, answered = configured(data, tmp_path / "run", qwen2_5_vl, in_process=True), []
    answer = in_process.answer

    def until_the_third(row: Any, *rest: Any) -> list[dict[str, Any]]:
        answered.append(row.image_id)
        if len(answered) == 3:
            raise KeyboardInterrupt
        return answer(row, *rest)

    monkeypatch.setattr(in_process, "answer", until_the_third)
    with pytest.raises(Stopped, match="stopped after 2 of 7 images. Go on with the same command and --resume"):
        batch(config, QUIET)
    summary = batch(config.with_settings(resume=True), QUIET)
    assert (summary["questions"], summary["images_done"], summary["errors"]) == (NUM_IMAGES * NUM_QUESTIONS + 1, 5, 1)
    assert len(answered) == 8 and answered[2] == answered[3], "one image twice: it was cut off"
    assert summary["encoded_images"] == NUM_IMAGES, "the broken one was not encoded"
    made = [row for file in sorted((config.output / "answers").iterdir()) for row in read_parquet(file).to_pylist()]
    assert [row["variant"] for row in made] == [rows.ONE] * len(made) and all(row["fixations"] for row in made[:-1])
    assert made[-1]["error"].startswith("PictureError: ")


@pytest.mark.parametrize(
    "setting",
    [{"num_readers": 2}, {"num_encoders": 2}, {"address": "head:6379"}, {"encoder_gpus": 1}, {"reader_gpus": 0.5}],
)
def test_one_process_is_not_several(config: RunConfig, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"--{next(iter(setting)).replace('_', '-')} would change nothing: leave"):
        config.with_settings(in_process=True, **setting)


@pytest.mark.parametrize(
    "setting",
    [
        {"threads": 2},
        {"encode_batch": 8},
        {"in_flight": 4},
        {"num_lookers": 2},
        {"episodes_per_reader": 4},
        {"max_restarts": 0},
        {"hang_timeout_s": 9},
    ],
)
def test_settings_of_actors_are_refused_where_there_are_none(config: RunConfig, setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"where --set {next(iter(setting))} would change nothing: leave that out"):
        config.with_settings(in_process=True, **setting)
    ones = dict.fromkeys(("num_readers", "num_encoders", "num_lookers"), 1)
    repeated = config.with_settings(in_process=True, **ones).dump()  # as run.yaml holds it, with every default
    assert RunConfig(**repeated).in_process


def test_what_needs_one_process_has_it(config: RunConfig) -> None:
    lazy = EPISODE.with_settings(encoder="lazy")
    with pytest.raises(ConfigError, match="batch --in-process"):
        config.with_settings(episode=lazy)
    assert config.with_settings(episode=lazy, in_process=True).episode.encoder == "lazy"
