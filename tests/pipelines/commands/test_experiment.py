"""`saccade experiment`: an oracle, what is measured, why answers are wrong, and all experiments with one report."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
import yaml
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from pipelines.commands import app, experiment
from pipelines.execute import in_process
from pipelines.execute.experiment import run_experiment
from pipelines.reporting.page import report
from pipelines.reporting.subjects import show
from pipelines.runs import stored
from pipelines.runs.experiment import ALL, Experiment, in_repository, read_experiment
from pipelines.runs.resume import locked_folder
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.heads.crosslevel import CrossLevel
from saccade.heads.files import save
from saccade.heads.scoring import Late
from tests import tiny

BUDGET = {"name": "fixed", "tokens": 10}
LOOKS = {"sampler": "topk", "fixations": 1, "budget": BUDGET}
TOLD = {"planner": {"name": "oracle", "near": True}}


@pytest.fixture
def settings(tmp_path: Path, qwen2_5_vl: Path) -> dict[str, Any]:
    """Two pages with two questions each, one of which has no box."""
    lines = []
    for number in range(2):
        Image.fromarray(tiny.page(200, 160, seed=number)).save(tmp_path / f"{number}.png")
        for question in ("Who?", "When?"):
            line = {"id": f"{number}-{question}", "image": f"{number}.png", "question": question, "answers": ["x"]}
            lines.append(line if question == "When?" and number else {**line, "answer_boxes": [[0, 0, 60, 40]]})
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return {
        "title": "tiny",
        "dataset": {"name": "jsonl", "data_path": str(tmp_path / "questions.jsonl")},
        "engine": {"model": str(qwen2_5_vl), "max_new_tok": 4},
        "variants": {"full": {"sampler": "full"}, "looks": LOOKS, "told": {**LOOKS, **TOLD}},
        "against": {"told": "looks"},
    }


def made(settings: dict[str, Any], output: Path, **more: Any) -> dict[str, Any]:
    return run_experiment(Experiment(**{**settings, **more}), output, Console(quiet=True))


def chosen_by(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The experiment that a command line makes, without running it."""
    ran: list[Experiment] = []

    def caught(chosen: Experiment, *_: Any) -> Any:
        ran.append(chosen)
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "run_experiment", caught)
    result = CliRunner().invoke(app.app, ["experiment", *words, "--output", "out"])
    if isinstance(result.exception, ConfigError):
        raise result.exception
    return ran[0]


def test_other_data_or_another_model_than_the_file_names(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    (tmp_path / "data.yaml").write_text("dataset: synthdoc\nmodel: elsewhere\n")

    def made(*words: str) -> Experiment:
        return chosen_by([str(tmp_path / "mine.yaml"), *words], monkeypatch)

    questions = settings["dataset"]["data_path"]
    plain = made()
    assert plain == Experiment(**settings)
    other = made("--page-px", "512", "--dataset", "synthdoc", "--limit", "3")
    assert (other.dataset["name"], other.dataset["page_px"], other.limit) == ("synthdoc", 512, 3)
    assert other.engine == plain.engine and other.title.startswith("synthdoc, ")
    for words in (["--dataset", questions], ["--set", f"dataset={questions}"]):
        assert made(*words).dataset == plain.dataset | {"question": None, "pages": None, "metric": "anls"}
    assert made("--set", "dataset.name=docvqa").dataset["name"] == "docvqa"
    assert made("--set", "dataset.metric=exact").dataset == plain.dataset | {"metric": "exact"}
    of_file = made("--config", str(tmp_path / "data.yaml"))
    assert (of_file.dataset["name"], of_file.engine["model"]) == ("synthdoc", "elsewhere")
    moved = made("--model", "elsewhere")
    assert moved.engine == {"model": "elsewhere", "max_new_tok": 4} and moved.dataset == plain.dataset
    assert made("--engine", "auto", "--model", "there").engine == plain.engine | {"name": "auto", "model": "there"}


@pytest.mark.parametrize("entry", ["fixations=5", "limt=5", "sampler.ratio=0.5"])
def test_a_setting_that_an_experiment_does_not_take_is_refused(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("looks", ALL):
        with pytest.raises(ConfigError, match=r"no setting .*[.?] Settings: engine, dataset, limit, data_path"):
            chosen_by([name, "--set", entry], monkeypatch)


def test_an_oracle_shows_the_answer_and_costs_who_has_no_box(settings: dict[str, Any], tmp_path: Path) -> None:
    results = made(settings, tmp_path / "out")
    rows = {(row["variant"], row["id"]): row for row in stored.rows(tmp_path / "out")}
    failed = [key for key, row in rows.items() if row["error"]]
    assert failed == [("told", "1-When?")]
    assert rows[failed[0]]["error"].startswith("DataError: an oracle looks where the answer stands")
    told, looks = (results["variants"][name]["coverage"]["mean"] for name in ("told", "looks"))
    assert told == pytest.approx(1.0) and looks < told
    assert rows["told", "0-Who?"]["fixations"][0]["reason"] == "oracle"


def test_what_is_measured_is_in_the_rows_and_the_table(settings: dict[str, Any], tmp_path: Path) -> None:
    results = made(settings, tmp_path / "out", timed=True, memory=True, profile=True)
    assert "| s | p50 s | p95 s | right/s | peak MB |" in (tmp_path / "out" / "table.md").read_text().splitlines()[0]
    for row in stored.rows(tmp_path / "out"):
        if row["error"] is None:
            stages = {stage["name"]: stage["seconds"] for stage in row["stages"]}
            chose = {"scoring", "selection"} if row["variant"] == "looks" else set()
            assert {"decoding", "pyramid", "encoder", "prefill", "answer"} | chose <= set(stages), row["variant"]
            assert all(seconds >= 0 for seconds in stages.values()) and row["peak_mb"] > 0
    full, looks = results["variants"]["full"], results["variants"]["looks"]
    assert full["seconds_p50"] <= full["seconds_p95"] and looks["peak_mb"] > 0
    (tmp_path / "plain").mkdir()
    made(settings, tmp_path / "plain" / "out")
    assert all(row["stages"] is None and row["peak_mb"] is None for row in stored.rows(tmp_path / "plain" / "out"))
    with pytest.raises(ConfigError, match="profile: the time of each stage .* give timed: true"):
        Experiment(**settings, profile=True).resolved()


def test_failures_are_in_the_table_and_the_report(settings: dict[str, Any], tmp_path: Path) -> None:
    """A model with random weights reads nothing: every failure is the reader's."""
    failing = {"of": "looks", "oracle": "told", "everything": "full"}
    results = made(settings, tmp_path / "out", failures=failing)
    found = results["failures"]["classes"]
    assert {name: entry["n"] for name, entry in found.items()} == {"read": 0, "reader": 4, "gaze": 0, "tokens": 0}
    assert "| why `looks` fails | questions |" in (tmp_path / "out" / "table.md").read_text()
    html = report(tmp_path / "out", None, 4).read_text()
    assert "Why it fails" in html and html.count('<figure class="card example">') == 2
    assert html.count('<image id="page') == len({example["image_id"] for example in found["reader"]["examples"][:2]})
    one = show(tmp_path / "out", "trace", None, question_id="0-Who?", variant="told")
    assert one == tmp_path / "out" / "show" / "0-Who_-told.png" and one.exists()
    with pytest.raises(ConfigError, match="no variant 'tod' in .* There are: full, looks, told"):
        show(tmp_path / "out", "trace", None, question_id="0-Who?", variant="tod")
    with pytest.raises(ConfigError, match="failures: no variant tld"):
        Experiment(**settings, failures={**failing, "oracle": "tld"}).resolved()


def test_failures_of_data_that_may_not_be_copied_are_counted_alone(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = {"of": "looks", "oracle": "told", "everything": "full"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**settings, "failures": failing}))
    monkeypatch.setattr(experiment, "console", Console(quiet=True))
    words = [str(tmp_path / "mine.yaml"), "--output", str(tmp_path / "out")]
    app.load("experiment").main([*words, "--examples", "0"], standalone_mode=False)
    results = stored.results(tmp_path / "out" / "results.json")
    assert [len(each["examples"]) for each in results["failures"]["classes"].values()] == [0, 0, 0, 0]
    assert "| why `looks` fails | questions | share [95 %] |\n" in (tmp_path / "out" / "table.md").read_text()
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ConfigError, match="--examples: this experiment tells no failures"):
        app.load("experiment").main([*words, "--examples", "0"], standalone_mode=False)


def test_trained_heads_get_rows_with_the_pages_they_were_trained_on(settings: dict[str, Any], tmp_path: Path) -> None:
    heads = {"looks": LOOKS, "against": "looks"}
    model = Path(settings["engine"]["model"])
    with HF(model=str(model)).open_encoder() as encoder:
        width = encoder.query("Who?").tokens.shape[-1]
    for name, notes in (("few", {"report": {"pages": 9}, "steps": 400}), ("unknown", {})):
        torch.manual_seed(0)
        save(Late("after", width, width), tmp_path / "heads" / name, **notes)
    folders = [tmp_path / "heads" / name for name in ("few", "unknown")]
    results = run_experiment(
        Experiment(**settings, heads=heads).with_heads(folders), tmp_path / "out", Console(quiet=True)
    )
    assert list(results["variants"]) == ["full", "looks", "told", "few", "unknown"]
    assert {name: entry.get("trained_pages") for name, entry in results["variants"].items() if "few" in name} == {
        "few": 9
    }
    assert results["variants"]["few"]["against"] == "looks" and results["variants"]["few"]["errors"] == 0
    lines = (tmp_path / "out" / "table.md").read_text().splitlines()
    assert lines[0].startswith("|  | trained on | tokens |") and lines[5].startswith("| few | 9 pages | 10 |")
    assert lines[6].startswith("| unknown | - | 10 |") and lines[2].startswith("| full | - |")
    with pytest.raises(ConfigError, match="there is a row 'few' already"):
        Experiment(**settings, heads=heads).with_heads([folders[0], tmp_path / "others" / "few"][:1] * 2)
    with pytest.raises(ConfigError, match="no rows for trained heads"):
        Experiment(**settings).with_heads(folders)
    with pytest.raises(ConfigError, match="nothing holds no head"):
        Experiment(**settings, heads=heads).with_heads([tmp_path / "nothing"])


def test_attention_across_levels_gets_a_row_of_its_levels(settings: dict[str, Any], tmp_path: Path) -> None:
    with HF(model=settings["engine"]["model"]).open_encoder() as encoder:
        width = encoder.query("Who?").tokens.shape[-1]
    folder = tmp_path / "heads" / "crosslevel"
    save(CrossLevel(width, width, levels=2), folder, pages="7", steps="30")
    heads = {"looks": LOOKS, "against": "looks", "row": "top-K by {}"}
    results = made(Experiment(**settings, heads=heads).with_heads([folder]).dump(), tmp_path / "out")
    entry = results["variants"]["top-K by crosslevel"]
    assert (entry["trained_pages"], entry["against"], entry["errors"]) == (7, "looks", 0)
    passes = {name: each["encoder_passes"] for name, each in results["variants"].items()}
    assert passes["looks"] == 1 and 1 < passes["top-K by crosslevel"] <= 1.5


def test_what_is_expected_needs_a_comparison(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="expected: looks is compared with nothing"):
        Experiment(**settings, expected={"looks": 0.1}).resolved()
    with pytest.raises(ConfigError, match="expected: no variant lokks"):
        Experiment(**settings, expected={"lokks": 0.1}).resolved()


def test_all_experiments_one_after_the_other(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**settings, "title": f"about {name}"}))
    there = {name: tmp_path / f"{name}.yaml" for name in ("one", "two")}
    monkeypatch.setattr(experiment, "in_repository", lambda: there)
    answered, answer = [], in_process.answer
    monkeypatch.setattr(in_process, "answer", lambda row, *rest: answered.append(row.image_id) or answer(row, *rest))
    monkeypatch.setattr(experiment, "console", Console(quiet=True))
    out = tmp_path / "all"
    for _ in range(2):
        experiment.everything(out, {"limit": 2})
        assert answered == ["0.png"] * 2, "the second time everything is done"
    text, html = (out / "report.md").read_text(), (out / "report.html").read_text()
    assert text.count("| full |") == 2 and "## one" in text and "about two" in text
    assert "about one" in html and 'href="two/report.html"' in html and (out / "two" / "report.html").exists()
    console = Console(record=True, width=200)
    monkeypatch.setattr(experiment, "console", console)
    with pytest.raises(typer.Exit) as ended:
        experiment.everything(tmp_path / "with errors", {})
    assert ended.value.exit_code == 3
    assert console.export_text().strip().splitlines()[-2:] == ["errors: one: told 1", "errors: two: told 1"]
    with pytest.raises(ConfigError, match="is on the data of each experiment"):
        experiment.everything(out, {"dataset": {"name": "synthdoc"}})


def test_all_goes_on_without_one_that_another_process_writes(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {name: tmp_path / f"{name}.yaml" for name in ("busy", "wrong", "well")}
    for name, path in there.items():
        path.write_text(yaml.safe_dump({**settings, "title": name, **({"limits": 3} if name == "wrong" else {})}))
    console = Console(record=True, width=200)
    monkeypatch.setattr(experiment, "in_repository", lambda: there)
    monkeypatch.setattr(experiment, "console", console)
    out = tmp_path / "all"
    with locked_folder(out / "busy", {}, resume=True):
        with pytest.raises(typer.Exit) as ended:
            experiment.everything(out, {"limit": 2})
    assert ended.value.exit_code == 3
    *_, done, busy, wrong = console.export_text(clear=True).strip().splitlines()
    assert done.startswith("1 experiment: ")
    assert busy.startswith("left out: busy: another process is writing to") and "limits" in wrong
    assert (out / "well" / "report.html").exists() and "## well" in (out / "report.md").read_text()
    monkeypatch.setattr(experiment, "in_repository", lambda: {"wrong": there["wrong"]})
    with pytest.raises(ConfigError, match="1 experiment, and none ran. The first: .*limits"):
        experiment.everything(out, {})


def test_interrupted_all_stops_and_one_says_what_is_left(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {name: tmp_path / f"{name}.yaml" for name in ("one", "two")}
    for path in there.values():
        path.write_text(yaml.safe_dump(settings))
    answer, answered = in_process.answer, list[str]()

    def stopped(row: Any, *rest: Any) -> Any:
        answered.append(row.image_id)
        if len(answered) == 2:
            raise KeyboardInterrupt
        return answer(row, *rest)

    console = Console(record=True, width=200)
    monkeypatch.setattr(in_process, "answer", stopped)
    monkeypatch.setattr(experiment, "in_repository", lambda: there)
    monkeypatch.setattr(experiment, "console", console)
    with pytest.raises(KeyboardInterrupt, match="interrupted at one: the same command goes on in"):
        experiment.everything(tmp_path / "all", {})
    assert not (tmp_path / "all" / "two").exists() and (tmp_path / "all" / "report.html").exists()
    said = console.export_text(clear=True)
    planned = "2 images, 4 questions in 3 ways: 12 answers; how long they take is said when the first image is answered"
    assert planned in said and "interrupted after 1 of 2 images" in said
    answered[:] = ["as before"]
    words = ["experiment", str(there["two"]), "--output", str(tmp_path / "alone")]
    result = CliRunner().invoke(app.app, words)
    assert result.exit_code == 130 and "interrupted: 2 images left" in result.stderr
    assert CliRunner().invoke(app.app, words).exit_code == 3, "one answer is an error: a question has no box"
    said = console.export_text()
    assert "| full |" in said and "errors, counted as wrong: told 1. " in said and len(answered) == 4


def test_every_experiment_has_its_baselines() -> None:
    """full, ink, and resize and random at equal tokens; those of before that were, say which they lack."""
    assert ALL not in in_repository()
    names = (
        "adaptive", "curve", "difficulty", "failures", "fixations", "gaze", "gundam", "profile", "terms", "tokens",
        "trained", "variable",
    )  # fmt: skip
    for name in names:
        variants = list(read_experiment(in_repository()[name]).variants)
        assert {"full", "ink"} <= set(variants), name
        sizes = [{each.partition("@")[2] for each in variants if each.startswith(way)} for way in ("resize", "random")]
        assert sizes[0] == sizes[1] != set(), name
