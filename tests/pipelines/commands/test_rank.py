"""`saccade rank`: every combination beside the baselines, an interrupted ranking goes on."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from pipelines.commands import app as cli
from pipelines.commands import rank as module
from pipelines.commands.rank import RankConfig, run_ranking
from pipelines.runs.experiment import CONFIGS, find_experiment
from saccade.engines.hf import HF
from saccade.errors import ConfigError, UnknownName
from saccade.heads.crosslevel import CrossLevel
from saccade.heads.files import save
from saccade.heads.scoring import Late
from saccade.studies.ranking import Candidates, Ranking, scorers_by_default
from saccade.studies.ranking import rank as rank_rows
from tests.pipelines.conftest import write_data

QUIET = Console(quiet=True)


@pytest.fixture
def chosen(tmp_path: Path, qwen2_5_vl: Path) -> RankConfig:
    """Three pages, each with one question without boxes and two with; and a picture that is none."""
    data = write_data(tmp_path / "data", num_images=3)
    (tmp_path / "data" / "broken.png").write_bytes(b"no image")
    broken = {"id": "broken", "image": "broken.png", "question": "Who?", "answers": ["x"]}
    with data.open("a") as file:
        file.write(json.dumps(broken) + "\n")
    return RankConfig(
        dataset={"name": "jsonl", "data_path": str(data)},
        engine={"model": str(qwen2_5_vl)},
        scorers=("edges", "query:0.3+edges:0.7"),
        samplers=("topk", "random"),
        planners=("query", "uncertainty"),
        tokens=4,
    )


def test_every_combination_is_ranked_beside_the_baselines(chosen: RankConfig, tmp_path: Path) -> None:
    results = run_ranking(chosen, tmp_path / "out", QUIET)
    full, *blind = results["baselines"]
    assert (full["sampler"], full["all"]["mean"]) == ("full", 1.0)
    assert {one["sampler"] for one in blind} == {"random", "uniform"}
    ways = [(one["scorer"], one["sampler"], one["planner"]) for one in results["combinations"]]
    assert sorted(ways) == sorted((s, "topk", p) for s in chosen.scorers for p in chosen.planners)
    for one in [*blind, *results["combinations"]]:
        assert (one["all"]["num_questions"], one["all"]["num_pages"]) == (6, 3), one
        assert one["first"]["mean"] < one["all"]["mean"] < 1, "12 tokens of a page show more than 4, and not all"
        assert one["until_tok"] <= full["until_tok"]
    assert all(one["hit"] is None for one in blind) and all(0 <= one["hit"] <= 1 for one in results["combinations"])
    assert (results["without_boxes"], results["errors"]) == (3, 1)
    covered = [one["all"]["mean"] for one in results["combinations"]]
    assert covered == sorted(covered, reverse=True)
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == json.loads(json.dumps(results))
    table = (tmp_path / "out" / "table.md").read_text()
    assert "|  | full |  | 1.00 |" in table and "n = 6 questions on 3 pages (3 without" in table


def test_trained_heads_and_the_model_s_own_gaze_are_ranked(chosen: RankConfig, tmp_path: Path) -> None:
    with HF(model=chosen.engine["model"]).open_encoder() as encoder:
        width = encoder.query("Who?").tokens.shape[-1]
    for name, head in (("late", Late("after", width, width)), ("levels", CrossLevel(width, width, levels=2))):
        save(head, tmp_path / "heads" / name)
    late, levels = (str(tmp_path / "heads" / name) for name in ("late", "levels"))
    candidates = Candidates(Ranking(scorers="late,edges", heads=levels), gaze=late)
    assert list(candidates.scorers) == ["late", "edges", "levels"]
    assert candidates.scorers["late"].parts[0][1]["head"] == late
    results = run_ranking(
        chosen.with_settings(scorers=("edges",), heads=(levels,), planners=("query",)), tmp_path / "out", QUIET
    )
    assert {one["scorer"] for one in results["combinations"]} == {"edges", "levels"}
    assert "crosslevel" not in results["left_out"] and "cross" in results["left_out"]


def test_it_goes_on_where_it_was(chosen: RankConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_ranking(chosen, tmp_path / "whole", QUIET)
    looked: list[str] = []
    page = module.looks_of_page

    def until_the_second(row: Any, *rest: Any) -> Any:
        looked.append(row.image_id)
        if len(looked) == 2:
            raise KeyboardInterrupt
        return page(row, *rest)

    monkeypatch.setattr(module, "looks_of_page", until_the_second)
    so_far = run_ranking(chosen, tmp_path / "out", QUIET)
    assert so_far["combinations"][0]["all"]["num_pages"] == 1, "the table of what is done"
    both = run_ranking(chosen, tmp_path / "out", QUIET)
    assert len(looked) == 5 and looked[1] == looked[2], "one page twice: it was cut off"
    for key in ("baselines", "combinations", "errors"):
        assert both[key] == whole[key], key


def row(variant: str, page: str, number: int, shown: float, **more: Any) -> dict[str, Any]:
    scorer, sampler, planner = variant.split(" | ")
    way = {"scorer": scorer, "sampler": sampler, "planner": planner}
    way = way if scorer else {"sampler": sampler}
    seen = {"first": shown / 2, "all": shown, "hit": shown > 0.5, "until_tok": 100 * number, "num_tok": 900}
    return {"variant": variant, "image_id": page, "id": f"{page}{number}", **way, **seen, **more}


def test_the_ranking_by_hand() -> None:
    some = [("p", 1, 1.0), ("p", 2, 0.4), ("q", 6, 0.4)]
    rows = [row("edges | topk | query", *one) for one in some]
    rows += [row("query | topk | query", page, number, 0.9) for page, number, _ in some]
    rows += [row(" | random | ", page, number, 0.2, hit=None) for page, number, _ in some]
    rows += [{"variant": " |  | ", "image_id": "q", "id": "q7", "error": "no answer boxes"}]
    made = rank_rows(rows)
    best, worse = made["combinations"]
    assert (best["scorer"], worse["scorer"]) == ("query", "edges")
    assert worse["all"]["mean"] == pytest.approx(0.6) and worse["first"]["mean"] == pytest.approx(0.3)
    assert worse["hit"] == pytest.approx(1 / 3)
    assert worse["until_tok"] == 200, "a median"
    full, random = made["baselines"]
    assert (full["until_tok"], full["hit"], random["hit"]) == (900, None, None)
    assert (made["without_boxes"], made["errors"]) == (1, 0)


def test_all_that_can_be_ranked_is_ranked_when_nothing_is_named() -> None:
    every = Ranking()
    assert {"edges", "query", "query:0.3+edges:0.7"} <= set(every.scorers)
    assert {"attention", "learned", "cross", "crosslevel"} == set(scorers_by_default()[1])
    assert not {"random", "uniform"} & set(every.samplers)
    Candidates(every)


@pytest.mark.parametrize(
    "change, text",
    [
        ({"scorers": ("attention",)}, "'attention' reads the language model's attention"),
        ({"scorers": ("learned",)}, "scorer 'learned': head"),
        ({"samplers": ("topkk",)}, "no sampler named 'topkk'"),
    ],
)
def test_wrong_settings_say_where(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Candidates(Ranking(**change))


def test_without_boxes_there_is_nothing_to_rank(chosen: RankConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to look for: no answer boxes"):
        run_ranking(chosen.with_settings(limit=1), tmp_path / "out", QUIET)


def test_the_command(chosen: RankConfig, tmp_path: Path) -> None:
    data, model = chosen.dataset["data_path"], chosen.engine["model"]
    arguments = ["rank", "--dataset", data, "--limit", "2", "--tokens", "4", "--model", model]
    arguments += ["--scorers", "edges", "--samplers", "topk", "--planners", "query", "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "| edges | topk | query |" in result.output


def test_experiments_go_by_name(tmp_path: Path) -> None:
    assert find_experiment("samplers") == CONFIGS / "samplers.yaml"
    assert find_experiment(str(CONFIGS / "looks.yaml")) == CONFIGS / "looks.yaml"
    with pytest.raises(UnknownName, match=r"no experiment 'lokks'.*Did you mean 'looks'\? There are: .*looks, "):
        find_experiment("lokks")
    old = CliRunner().invoke(cli.app, ["experiment", "coverage", "--planners", "query", "--output", str(tmp_path)])
    assert old.exit_code == 2 and "it is `saccade rank` now" in old.output
