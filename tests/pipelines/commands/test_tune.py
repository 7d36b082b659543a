"""`saccade tune`: the best mix on half of the pages, its gain on the other half, a file that --config takes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipelines.commands import app as cli
from pipelines.commands import tune as module
from pipelines.commands.settings import episode_and_engine, merged
from saccade.config import Episode
from saccade.datasets import Row
from saccade.errors import ConfigError, ResumeRefused
from saccade.training.tuning import NOW, TuneSettings, best, gained, halves, summary, trials
from saccade.types import Question

LOOKS = Episode(fixations=1, budget={"name": "fixed", "tokens": 20})


def rows(num: int) -> list[Row]:
    return [Row(f"p{i}", str(i), (Question(f"q{i}", "Total?", ("7",)),)) for i in range(num)]


def test_what_is_tried() -> None:
    found = trials(TuneSettings(scorers="query,edges", trials=9), LOOKS)
    assert len(found) == 9 and found[NOW] == {}
    assert list(found)[1:3] == ["query:1 ratio 1", "edges:1 ratio 1"]
    for made in found.values():
        looks = LOOKS.with_settings(**made)
        assert made == {} or 0.4 <= looks.sampler["ratio"] <= 1
    assert found == trials(TuneSettings(scorers="query,edges", trials=9), LOOKS)
    with pytest.raises(ConfigError, match="no scorer named 'egdes'"):
        TuneSettings(scorers="egdes")


@pytest.mark.parametrize(
    ("settings", "ways"), [({"least_ratio": 1.0}, 2), ({"trials": 70}, 62), ({"least_ratio": 1.0, "trials": 2}, 2)]
)
def test_it_ends_where_there_are_fewer_ways_than_trials(settings: dict[str, Any], ways: int) -> None:
    assert len(trials(TuneSettings(scorers="late", **settings), LOOKS)) == ways


def test_no_page_decides_and_is_reported() -> None:
    deciding, reported = halves([*rows(9), Row("hidden", "h", (Question("h", "?"),))], seed=1)
    names = [row.image_id for row in [*deciding, *reported]]
    assert (len(deciding), len(reported)) == (5, 4) and sorted(names) == [f"p{i}" for i in range(9)]
    with pytest.raises(ConfigError, match="needs at least 2"):
        halves(rows(1), seed=0)


def line(variant: str, number: int, score: float) -> dict[str, Any]:
    return {"variant": variant, "id": f"q{number}", "image_id": f"p{number}", "score": score}


def test_best_and_gain_by_hand() -> None:
    lines = [line(NOW, i, 0.5) for i in range(6)] + [line("a", i, 1.0 if i < 4 else 0.5) for i in range(6)]
    name, means = best(lines, [NOW, "a"])
    assert name == "a" and means == {NOW: 0.5, "a": pytest.approx(5 / 6)}
    report = gained(lines, "a")
    assert report["gain"]["mean"] == pytest.approx(1 / 3) and report["gain"]["num_pages"] == 6
    assert "gain +0.33" in summary({**report, "best": "a"}) and "bears out" not in summary({**report, "best": "a"})
    assert best([line(NOW, 0, 1.0), line("a", 0, 1.0)], [NOW, "a"])[0] == NOW  # equals: nothing is changed
    same = gained([line(NOW, i, 0.5) for i in range(6)], NOW)
    assert "stay with the settings as they are" in summary({**same, "best": NOW})


def test_the_command(tmp_path: Path, qwen2_5_vl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["tune", "synthdoc", "--model", str(qwen2_5_vl), "--page-px", "256", "--limit", "6", "--trials", "4"]
    words += ["--set", "dataset.questions_per_page=1", "--set", "engine.max_new_tok=3", "--tokens", "20"]
    words += ["--scorers", "query,edges", "--output", str(tmp_path / "out")]
    real, done_pages = module.answer, []

    def interrupted(*given: Any) -> Any:
        if len(done_pages) == 2:
            raise KeyboardInterrupt
        done_pages.append(1)
        return real(*given)

    monkeypatch.setattr(module, "answer", interrupted)
    stopped = CliRunner().invoke(cli.app, words)
    assert stopped.exit_code == 130 and not (tmp_path / "out" / "tuned.yaml").exists()
    monkeypatch.setattr(module, "answer", real)
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert len(results["tried"]) == 4 and results["gain"]["num_questions"] == 3
    decided, reported = (
        {json.loads(each)["image_id"] for each in (tmp_path / "out" / name).read_text().splitlines()}
        for name in ("rows.jsonl", "held_out/rows.jsonl")
    )
    assert len(decided) == len(reported) == 3 and not decided & reported
    file = tmp_path / "out" / "tuned.yaml"
    looks, _ = episode_and_engine(merged(file, {}, None))
    assert looks.dump() == LOOKS.with_settings(**trials(
        TuneSettings(scorers="query,edges", trials=4), LOOKS)[results["best"]]).dump()  # fmt: skip
    assert "gain" in file.read_text() and yaml.safe_load(file.read_text())["fixations"] == 1
    other = CliRunner().invoke(cli.app, [*words, "--seed", "5"])
    assert isinstance(other.exception, ResumeRefused)
