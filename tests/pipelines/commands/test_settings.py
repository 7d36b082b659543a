"""From options, a file and --set to what a command runs: which wins, what is kept, and what a mistake is told."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.commands import settings
from pipelines.commands.app import app
from pipelines.commands.options import flags
from pipelines.commands.settings import episode, episode_and_engine, run_config
from pipelines.runs.experiment import Experiment
from saccade import engines
from saccade.api import Eye
from saccade.config import LOOKING, Episode, refuse_idle
from saccade.engines import choose_engine
from saccade.engines.hf import HF
from saccade.errors import ConfigError, UnknownName
from saccade.settings import option_of
from tests import tiny


def read(tmp_path: Path, text: str, given: dict[str, Any] | None = None, *sets: str) -> dict[str, Any]:
    """The settings of a file with this text, with options and --set."""
    file = tmp_path / "settings.yaml"
    file.write_text(text)
    return settings.merged(file, given or {}, sets)


@pytest.mark.parametrize(
    "key, dotted",
    [("limit", "limit"), ("fixations", "fixations"), ("model", "engine.model"), ("tokens", "budget.tokens")],
)
def test_a_file_is_overruled_by_options_and_both_by_set(tmp_path: Path, key: str, dotted: str) -> None:
    def value(made: dict[str, Any]) -> Any:
        for part in dotted.split("."):
            made = made[part]
        return made

    assert value(read(tmp_path, f"{key}: 1")) == 1
    assert value(read(tmp_path, f"{key}: 1", {key: 2})) == 2
    assert value(read(tmp_path, f"{key}: 1", {key: 2}, f"{dotted}=3")) == 3
    assert value(read(tmp_path, f"{key}: 1", {key: 2}, f"{key}=4")) == 4


@pytest.mark.parametrize(
    "file, given, budget, most",
    [
        ("", "100", {"name": "fixed", "tokens": 100}, 100),
        ("", "large", {"name": "fixed", "tokens": "large"}, 421),
        ("", "auto", {"name": "adaptive"}, 456),
        ("tokens: auto", "100", {"name": "fixed", "tokens": 100}, 100),
        ("budget: {name: adaptive, most: 300}", "auto", {"name": "adaptive", "most": 300}, 300),
        ("budget: {name: entropy, most: 600}", "100", {"name": "entropy", "most": 600, "tokens": 100}, 600),
        ("budget: {name: window, max_model_len: 1024}", "tiny", {"name": "fixed", "tokens": "tiny"}, 73),
    ],
)
def test_tokens_by_number_by_mode_and_by_the_picture(
    tmp_path: Path, file: str, given: str, budget: dict[str, Any], most: int
) -> None:
    made = read(tmp_path, file or "fixations: 2", {"tokens": given})
    assert made["budget"] == budget
    assert episode({"budget": budget}).strategies.budget.most_tok == most


def test_the_cap_of_auto_is_set_beside_it(tmp_path: Path) -> None:
    assert read(tmp_path, "tokens: auto", None, "budget.most=365")["budget"] == {"name": "adaptive", "most": 365}


def test_settings_of_a_data_set_stay_until_another_is_named(tmp_path: Path) -> None:
    file = "dataset: {name: synthdoc, num_pages: 3}\n"
    assert read(tmp_path, file, {"dataset": "synthdoc", "page_px": 512})["dataset"] == {
        "name": "synthdoc",
        "num_pages": 3,
        "page_px": 512,
    }
    assert read(tmp_path, file, {"dataset": "docvqa"}, "dataset.split=test")["dataset"] == {
        "name": "docvqa",
        "split": "test",
    }
    made = run_config(read(tmp_path, file, {"dataset": "synthdoc"}, "dataset.seed=4", f"output={tmp_path}"))
    assert made.dataset["num_pages"] == 3 and made.dataset["seed"] == 4


def test_another_budget_has_none_of_the_settings_before_it(tmp_path: Path) -> None:
    made = settings.merged(None, {}, ["budget.name=window", "budget.max_model_len=2048"])
    assert made["budget"] == {"name": "window", "max_model_len": 2048}
    assert settings.merged(None, {}, ["budget.name=fixed"])["budget"] == {"name": "fixed", "tokens": 273}


def test_another_engine_reads_the_same_model(tmp_path: Path) -> None:
    assert read(tmp_path, "engine: {name: vllm, model: there}", {"engine": "hf"})["engine"] == {
        "name": "hf",
        "model": "there",
    }
    assert read(tmp_path, "model: there\nengine: {dtype: float32}")["engine"] == {"dtype": "float32", "model": "there"}


@pytest.mark.parametrize("text", ["engine: hf\ndataset: synthdoc\nsampler: topk", "engine: {name: hf}"])
def test_a_name_alone_is_a_spec(tmp_path: Path, text: str) -> None:
    made = run_config(read(tmp_path, text))
    assert made.engine["name"] == "hf" and made.dataset["name"] == "synthdoc"
    assert made.output == Path("runs/synthdoc").absolute()


@pytest.mark.parametrize(
    "entry, text",
    [
        ("engine=5", r"the engine needs a 'name'.*got 5"),
        ("dataset=5", r"the data set needs a 'name'.*got 5"),
        ("dataset.name=5", "dataset needs the name of a data set, or a path; got 5"),
        ("fixations.most=2", "no setting 'fixations.most': fixations is 3"),
        ("sampler.ratio=[1", r"--set 'sampler.ratio=\[1': the value is read as YAML, and is not YAML: expected"),
        ("scorer=../edges", "no scorer named '../edges'"),
        ("scorer=.edges", "no scorer named '.edges'"),
        ("scorer=edgess", r"no scorer named 'edgess'\. Did you mean 'edges'\? In saccade/importance/: "),
        ("tokens=huge", r"tokens: .*tiny \(73\), small \(111\), base \(273\), large \(421\) \(got 'huge'\)"),
        (
            "sampler={name: hybrid, ratoi: 0.6}",
            r"ratoi: there is no such .*\. Did you mean 'ratio'\? Settings: ratio=0.7",
        ),
        ("limt=5", r"no setting limt: 5\. Did you mean 'limit'\? Settings: effort, "),
        ("tokns=5", r"no setting tokns: 5\. Did you mean 'tokens'\? Settings: effort, "),
        ("engine.bogus=1", "engine 'hf': bogus: there is no such setting.*Settings: model="),
        (
            "token=3",
            r"no setting token: 3\. Did you mean 'tokens'\? Settings: .*model \(engine.model\), .*tokens \(budget",
        ),
        ("dataset.page_pixels=512", "page_pixels: there is no such setting"),
        ("data_path=x", "data set 'synthdoc' takes no --data-path"),
    ],
)
def test_mistakes_are_one_line_that_says_what_is_allowed(entry: str, text: str) -> None:
    made: dict[str, Any] = {"fixations": 3}
    with pytest.raises(ConfigError, match=text):
        for key, value in settings.pairs([entry]):
            settings.put(made, settings.SHORT.get(key, key), value)
        run_config(made)


@pytest.mark.parametrize(
    "text, said",
    [
        ("", "is empty; it must hold `key: value` lines"),
        ("- a", r"must hold `key: value` lines; it holds \['a'\]"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_file_that_holds_no_settings_says_so(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read(tmp_path, text)


def test_ask_takes_no_settings_of_a_run() -> None:
    with pytest.raises(ConfigError, match="no setting limit: 3. Settings: effort"):
        episode_and_engine({"limit": 3})


def test_an_empty_question_says_what_it_is_for() -> None:
    with pytest.raises(ConfigError) as refused:
        run_config(settings.merged(None, {"dataset": "folder", "data_path": "x", "question": ""}, None))
    assert "Undefined" not in str(refused.value) and "(required)" in str(refused.value)


def test_page_px_is_for_pages_that_are_drawn(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").touch()
    made = settings.merged(None, {"dataset": str(tmp_path / "q.jsonl"), "page_px": 512}, None)
    with pytest.raises(ConfigError, match=r"takes no --page-px \(got 512\)"):
        run_config(made)


def test_vllm_is_taken_where_it_and_a_gpu_are_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert choose_engine({"model": "nano"}).name() == "hf"
    there: list[str] = []
    monkeypatch.setattr(engines, "installed", there.__contains__)
    with pytest.raises(ConfigError, match=r"needs vLLM, which is not installed: pip install 'saccade\[vllm\]'"):
        choose_engine("vllm")
    with pytest.raises(UnknownName, match="no engine named 'bogus'"):
        choose_engine("bogus")
    there.append("vllm")
    hf = engines.find("engines", "hf", engines.EngineSpec)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr(engines, "find", lambda *_: hf)  # as if vLLM had the settings of hf
    assert engines.automatic({"model": "nano"}) == "vllm"
    assert engines.automatic({"only_hf_has_this": 1}) == "hf"
    assert engines.automatic({"model": "nano", "device": "cpu"}) == "hf", "vLLM would read on the GPU all the same"
    assert engines.automatic({"model": str(tiny.llava(tmp_path))}) == "hf", "vLLM's plug-in has no class for it"


@pytest.mark.parametrize(
    "device, text", [("bogus", "no device 'bogus'. There are: auto"), ("cuda:7", "torch sees 0|Ray chooses the GPU")]
)
def test_a_device_that_is_not_there_is_refused_before_anything_starts(
    device: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for make in (episode_and_engine, run_config):
        with pytest.raises(ConfigError, match=text):
            make({"engine": {"device": device}})


def test_a_run_says_its_precision_and_a_cluster_may_have_what_the_driver_has_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run_config({}).engine["dtype"] == run_config({"engine": {"device": "cpu"}}).engine["dtype"] == "float32"
    assert run_config({"engine": {"device": "cuda"}, "address": "head:6379"}).engine["dtype"] == "bfloat16"
    assert run_config({"engine": {"dtype": "float16"}}).engine["dtype"] == "float16"


@pytest.mark.parametrize("engine, text", [({"bogus": 1}, "engine 'hf': bogus: there is"), ({"name": "x"}, "no engine")])
def test_an_experiment_says_what_is_wrong_with_its_engine(engine: dict[str, Any], text: str) -> None:
    made = Experiment(title="x", dataset={"name": "synthdoc"}, engine=engine, variants={"full": {"sampler": "full"}})
    with pytest.raises(ConfigError, match=text):
        made.resolved()


def test_the_settings_of_a_run_run_it_again(tmp_path: Path) -> None:
    first = run_config({"dataset": {"name": "synthdoc", "page_px": 512}, "effort": "low", "output": tmp_path / "a"})
    recorded = {**first.dump(), "identity": {"limit": None}, "commit": "abc", "versions": {}, "max_px": 1}
    made = read(tmp_path, yaml.safe_dump(recorded), {"output": tmp_path / "b"}, "dataset.seed=3")
    again = run_config(made)
    assert (again.episode, again.engine) == (first.episode, first.engine)
    assert again.dataset == {**first.dataset, "seed": 3} and again.output == tmp_path / "b"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"sampler": "ink", "tokens": "100"}, "--sampler ink shows the whole page at once, so --tokens would change n"),
        ({"sampler": "full", "fixations": 3, "planner": "query"}, "--fixations and --planner would change nothing"),
        ({"sampler": "full", "fixations": 1}, None),
        ({"sampler": "resize", "tokens": "100", "fixations": 2}, None),
        ({"sampler": "topk", "tokens": "100"}, None),
        ({"tokens": "100"}, None),  # `hybrid` looks
    ],
)
def test_options_that_would_change_nothing(given: dict[str, Any], told: str | None) -> None:
    with nullcontext() if told is None else pytest.raises(ConfigError, match=told):
        refuse_idle(given, Episode(**given))


@pytest.mark.parametrize("command", [["ask", "pyproject.toml", "What?"], ["batch", "--output", "nowhere"]])
def test_the_whole_page_is_not_said_to_be_encoded_where_its_ink_is(command: list[str]) -> None:
    for more in ([], ["--sampler", "ink"]):
        with pytest.raises(ConfigError, match="--encoder full would change nothing: .* Give --sampler full"):
            CliRunner().invoke(app, [*command, "--encoder", "full", *more], catch_exceptions=False)
        with pytest.raises(ConfigError, match="--encoder full would change nothing"):
            CliRunner().invoke(app, [*command, "--set", "encoder=full", *more], catch_exceptions=False)
    with pytest.raises(ConfigError, match="--sampler full .* --fixations would change nothing"):
        sets = ["--set", "sampler.name=full", "--set", "fixations=3"]
        CliRunner().invoke(app, [*command, *sets], catch_exceptions=False)
    with pytest.raises(ConfigError, match="--sampler random .* --planner would change nothing"):
        CliRunner().invoke(app, [*command, "--sampler", "random", "--planner", "saliency"], catch_exceptions=False)
    for settled in ({"sampler": "full"}, {"fixations": 2}, {"sampler": "resize"}):
        refuse_idle({"encoder": "full"}, Episode(**settled))
    refuse_idle({"encoder": "ink"}, Episode())
    refuse_idle({}, Episode(encoder="full"))  # as in a run.yaml


@pytest.mark.parametrize("name", sorted(LOOKING))
def test_every_option_of_looks_is_refused_beside_a_view(name: str) -> None:
    """As `saccade ask` has it: a field that is marked is refused by itself, under the name of its option."""
    field = Episode.model_fields[name]
    (option,) = [flag for flag in flags(Episode) if flag.name == (name if name != "budget" else "tokens")]
    idle = option_of(field.metadata).idle
    with pytest.raises(ConfigError, match=f"--sampler full .* --{option.name} would change nothing"):
        refuse_idle({"sampler": "full", option.name: "another"}, Episode(sampler="full"))
    refuse_idle({"sampler": "topk", option.name: "another"}, Episode(sampler="topk"))
    if idle is not None:
        refuse_idle({"sampler": "full", option.name: idle}, Episode(sampler="full"))
        assert Episode(sampler="full", **{name: idle}).view == "full"


def test_settings_of_looks_change_nothing_of_a_view(qwen2_5_vl: Path) -> None:
    """What is refused beside a view is what it does not read."""
    others = {
        "scorer": "edges", "planner": "saliency", "budget": {"name": "fixed", "tokens": 9}, "fixations": 2,
        "glimpse": 6, "rest": "all", "fovea": 2.0, "levels": 2, "canvas": "shared",
    }  # fmt: skip
    assert others.keys() == LOOKING
    with HF(model=str(qwen2_5_vl), device="cpu", max_new_tok=4).open() as engine:
        for view in ("full", "ink"):
            told = []
            for of_looks in ({}, others):
                trace = Eye(engine, Episode(sampler=view, stop_at=2, **of_looks)).look(tiny.page(140, 196), "What?")
                told.append((trace.answer.text, trace.answer.logprobs, trace.cost.visual_tok, len(trace.steps)))
            assert told[0] == told[1], view


def test_ask_and_others_refuse_what_would_change_nothing(tmp_path: Path) -> None:
    page = tmp_path / "page.png"
    page.touch()
    fields = tmp_path / "fields.yaml"
    fields.write_text("fields:\n- {name: total, question: 'What is the total?', type: money}\n")
    out = ["--output", str(tmp_path / "out")]
    for words in (
        ["ask", str(page), "Total?"],
        ["batch", "--dataset", "synthdoc", *out],
        ["annotate", str(page), "--fields", str(fields), *out],
    ):
        with pytest.raises(ConfigError, match="--tokens would change nothing"):
            CliRunner().invoke(app, [*words, "--sampler", "ink", "--tokens", "9"], catch_exceptions=False)
