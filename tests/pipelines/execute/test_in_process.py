"""`saccade experiment`: every variant answers every question, an interrupted run goes on, another one is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from rich.console import Console

from pipelines.execute import in_process
from pipelines.execute.experiment import run_experiment
from pipelines.runs import stored
from pipelines.runs.experiment import read_experiment
from saccade.datasets import Row
from saccade.engines.hf import HFEngine
from saccade.errors import ConfigError, EngineDead, ResumeRefused
from tests import tiny

VARIANTS = {
    "full": {"sampler": "full"},
    "resize": {"sampler": "resize", "fixations": 1, "budget": {"name": "fixed", "tokens": 20}},
    "topk": {"sampler": "topk", "fixations": 2, "budget": {"name": "fixed", "tokens": 10}, "stop_at": 2},
}


@pytest.fixture
def file(tmp_path: Path, qwen2_5_vl: Path) -> Path:
    from PIL import Image

    lines = []
    for number in range(3):
        Image.fromarray(tiny.page(200, 160, seed=number)).save(tmp_path / f"{number}.png")
        for question in ("Who?", "When?"):
            line = {"id": f"{number}-{question}", "image": f"{number}.png", "question": question, "answers": ["x"]}
            lines.append({**line, "answer_boxes": [[0, 0, 100, 80]]})
    (tmp_path / "broken.png").write_bytes(b"no image")
    lines.append({"id": "broken", "image": "broken.png", "question": "Who?", "answers": ["x"]})
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    path = tmp_path / "experiment.yaml"
    settings = {
        "title": "tiny",
        "dataset": {"name": "jsonl", "data_path": str(tmp_path / "questions.jsonl")},
        "engine": {"model": str(qwen2_5_vl), "max_new_tok": 4},
        "variants": VARIANTS,
        "against": {"topk": "resize"},
    }
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path


def test_a_timed_experiment_encodes_for_every_variant(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same view twice: shared, the second one pays next to nothing, and its seconds are not its own."""
    passes = []
    encode = HFEngine.encode
    monkeypatch.setattr(HFEngine, "encode", lambda self, batch: passes.append(len(batch)) or encode(self, batch))
    twice = {"one": {"sampler": "full"}, "other": {"sampler": "full"}}
    for timed in (False, True):
        passes.clear()
        chosen = read_experiment(file).with_settings(variants=twice, against={}, timed=timed)
        made = run_experiment(chosen, tmp_path / f"timed {timed}", Console(quiet=True))
        assert len(passes) == (6 if timed else 3), "three pages that can be read"
        head = (tmp_path / f"timed {timed}" / "table.md").read_text().splitlines()[0]
        assert ("right/s" in head) == timed == all("seconds" in entry for entry in made["variants"].values())
    assert all(entry["seconds"] > 0 for entry in made["variants"].values())


def test_every_variant_answers_every_question(file: Path, tmp_path: Path) -> None:
    results = run_experiment(read_experiment(file), tmp_path / "out", Console(quiet=True))
    for name, entry in results["variants"].items():
        assert (entry["n"], entry["errors"]) == (7, 1), name
    made = results["variants"]
    assert made["full"]["coverage"]["mean"] == pytest.approx(1.0)
    assert made["resize"]["coverage"] is None, "a resized page shows nothing at full resolution"
    assert (
        made["resize"]["encoder_passes"] < made["full"]["encoder_passes"] == made["topk"]["encoder_passes"] == 0.75
    ), "three of the four pages, once each"
    assert made["topk"]["visual_tok"] == 20
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == json.loads(json.dumps(results))
    assert "| topk | 20 |" in (tmp_path / "out" / "table.md").read_text()


def test_it_goes_on_where_it_was(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_experiment(read_experiment(file), tmp_path / "whole", Console(quiet=True))
    answered = []
    answer = in_process.answer

    def until_the_second(row: Row, *rest: Any) -> list[dict[str, Any]]:
        answered.append(row.image_id)
        if len(answered) == 2:
            raise KeyboardInterrupt
        return answer(row, *rest)

    monkeypatch.setattr(in_process, "answer", until_the_second)
    so_far = run_experiment(read_experiment(file), tmp_path / "half", Console(quiet=True))
    assert so_far["variants"]["full"]["n"] == 2, "the table of what is done"
    half = run_experiment(read_experiment(file), tmp_path / "half", Console(quiet=True))
    assert len(answered) == 5 and answered[1] == answered[2], "one image twice: it was cut off"
    for name in VARIANTS:
        for key in ("n", "errors", "score", "visual_tok", "coverage"):
            assert half["variants"][name][key] == whole["variants"][name][key], (name, key)


def test_what_a_variant_costs_does_not_depend_on_the_others(file: Path, tmp_path: Path) -> None:
    experiment = read_experiment(file).with_settings(
        variants={"one": {**VARIANTS["topk"], "fixations": 1}, "two": VARIANTS["topk"]}, against={}
    )
    turned = experiment.with_settings(variants=dict(reversed(experiment.variants.items())))
    made = [
        run_experiment(e, tmp_path / str(i), Console(quiet=True))["variants"]
        for i, e in enumerate((experiment, turned))
    ]
    for name in ("one", "two"):
        assert made[0][name]["prefill_tok"] == made[1][name]["prefill_tok"], name
    assert made[0]["two"]["prefill_tok"] > made[0]["one"]["prefill_tok"], "it reads twice"


def test_another_experiment_is_refused(file: Path, tmp_path: Path) -> None:
    run_experiment(read_experiment(file).with_settings(limit=1), tmp_path / "out", Console(quiet=True))
    with pytest.raises(ResumeRefused, match=r"was begun with other settings: experiment.limit: 1 -> null"):
        run_experiment(read_experiment(file), tmp_path / "out", Console(quiet=True))


def test_wrong_settings_say_where(file: Path) -> None:
    made = yaml.safe_load(file.read_text())
    for change, text in (
        ({"variants": {"a": {"sampler": "topkk"}}, "against": {}}, "no sampler named 'topkk'"),
        ({"variants": {"a": {"fixations": -1}}, "against": {}}, "variant 'a': fixations"),
        ({"against": {"topk": "rezise"}}, "against: no variant rezise"),
    ):
        file.write_text(yaml.safe_dump({**made, **change}))
        with pytest.raises(ConfigError, match=text):
            read_experiment(file).resolved()
    file.write_text("titel: x")
    with pytest.raises(ConfigError, match="titel: there is no such setting"):
        read_experiment(file)


@pytest.mark.parametrize(
    "path", sorted(Path(__file__).parents[3].glob("configs/experiments/*.yaml")), ids=lambda p: p.stem
)
def test_the_configurations_in_the_repository_are_valid(path: Path) -> None:
    read_experiment(path).resolved()


def test_rows_are_those_of_a_run(file: Path, tmp_path: Path) -> None:
    run_experiment(read_experiment(file), tmp_path / "out", Console(quiet=True))
    rows = list(stored.rows(tmp_path / "out"))
    assert {row["variant"] for row in rows} == set(VARIANTS) and len(rows) == 7 * len(VARIANTS)
    failed = [row for row in rows if row["error"]]
    assert {row["id"] for row in failed} == {"broken"} and all(row["score"] == 0 for row in failed)
    assert all(row["readable"] is not None and row["fixations"] for row in rows if not row["error"])


def test_hidden_answers_are_not_scored_and_a_failure_costs_its_rows(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    lines[0].pop("answers")
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def broken(*_: Any) -> Any:
        raise RuntimeError("a strategy failed")

    monkeypatch.setattr(in_process, "see", broken)
    results = run_experiment(read_experiment(file), tmp_path / "out", Console(quiet=True))
    assert results["variants"]["full"]["errors"] == 7 and results["variants"]["full"]["score"]["num_questions"] == 6
    hidden = next(row for row in stored.rows(tmp_path / "out") if row["id"] == lines[0]["id"])
    assert hidden["score"] is None and hidden["error"] == "RuntimeError: a strategy failed"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (EngineDead("gone"), "^gone. The same command goes on in .*out$"),
        (torch.AcceleratorError("device-side assert"), "^AcceleratorError: device-side assert. The same command"),
    ],
)
def test_a_dead_engine_ends_it_and_an_old_folder_is_refused(
    error: Exception, said: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dead(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(in_process, "see", dead)
    with pytest.raises(EngineDead, match=said):
        run_experiment(read_experiment(file), tmp_path / "out", Console(quiet=True))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "experiment.json").write_text("{}")
    with pytest.raises(ResumeRefused, match="holds an experiment of an older saccade"):
        run_experiment(read_experiment(file), tmp_path / "old", Console(quiet=True))


@pytest.mark.parametrize(
    ("first_s", "left", "said"),
    [
        (0.5, 100, ""),
        (30.0, 0, ""),
        (0.7, 100, "the first image took 1 s, so the other 100 take about 1 min, or less: it warms up as well"),
        (36.0, 1000, "the first image took 36 s, so the other 1,000 take about 10 h, or less: it warms up as well"),
    ],
)
def test_how_long_it_will_take(first_s: float, left: int, said: str) -> None:
    assert in_process.estimate(first_s, left) == said


def test_the_first_image_that_is_answered_says_how_long_all_take(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 10_000, 40))
    monkeypatch.setattr(in_process, "perf_counter", lambda: next(ticks))
    (tmp_path / "0.png").write_bytes(b"no image")
    console = Console(record=True, width=200)
    run_experiment(read_experiment(file), tmp_path / "out", console)
    said = [line for line in console.export_text().splitlines() if line.startswith("the first image")]
    assert said == ["the first image took 40 s, so the other 2 take about 1 min, or less: it warms up as well"]


def test_what_was_cut_off_is_asked_again_and_what_follows_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, asked = [Row(f"p{number}", str(number), ()) for number in range(3)], list[str]()

    def lines_of(row: Row) -> list[dict[str, Any]]:
        asked.append(row.image_id)
        ways = ("a", "b")
        return [{"variant": way, "id": row.image_id, "image_id": row.image_id, "last": way == "b"} for way in ways]

    def collected() -> list[dict[str, Any]]:
        return in_process.collect(tmp_path, {"of": "a test"}, images, lines_of, Console(quiet=True))

    whole, file = collected(), tmp_path / "rows.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[:3])[:-10])  # in the middle of the second image
    asked.clear()
    assert collected() == whole and asked == ["p1", "p2"]
    monkeypatch.setattr(Path, "write_text", lambda path, text, **_: path.write_bytes(text.encode()[:5]) and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        collected()
    assert json.loads((tmp_path / "experiment.json").read_text()) == {"of": "a test"}
