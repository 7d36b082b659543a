"""A budget learned from what was read: who needs few tokens gets few, and the report is of pages not trained on."""

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pipelines.commands import app as cli
from saccade.config import Episode
from saccade.datasets import open_dataset
from saccade.heads.budget import BudgetNet
from saccade.heads.files import load
from saccade.training import budget_costs
from saccade.training.budget_costs import judged, measured, summary
from saccade.training.stored import stored
from tests import tiny

BUDGETS = (10, 20)


def test_gain_is_over_fixed_budgets_of_as_many_tokens():
    """Three questions of four need 20 tokens, and a net that knows which saves the fourth's."""
    net = BudgetNet(1, BUDGETS, inner=2)
    with torch.no_grad():  # the first feature decides: gelu(x) - gelu(-x) = x, times 9 against -9
        for parameter in net.parameters():
            parameter.zero_()
        net.first.weight[0, 0], net.first.weight[1, 0] = 1.0, -1.0
        net.last.weight[:, 0], net.last.weight[:, 1] = torch.tensor([-9.0, 9.0]), torch.tensor([9.0, -9.0])
    features = torch.zeros(4, 4)
    features[:, 0] = torch.tensor([1.0, 1.0, 1.0, -1.0])
    scores = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    report = judged(net, features, scores, ["a", "b", "c", "d"])
    assert report["tokens"] == 17.5 and report["chosen"]["mean"] == 1 and report["used"] == {"10": 1, "20": 3}
    assert report["10 tokens"]["mean"] == 0.25
    assert report["gain"]["mean"] == pytest.approx(
        1 - (0.75 * 1 + 0.25 * 0.25)
    )  # 17.5 tokens: three quarters of the way
    report["metric"] = "VQA accuracy"
    assert summary(report, "out").startswith("held-out pages (VQA accuracy):")
    assert "17.5 tokens" in summary(report, "out") and "chosen so often: 10 1, 20 3" in summary(report, "out")


def test_the_command(tmp_path, qwen2_5_vl, monkeypatch):
    words = ["train", "budget", "--model", str(qwen2_5_vl), "--page-px", "256", "--steps", "5", "--scorer", "edges"]
    words += ["--budgets", "10,20", "--set", "dataset.num_pages=3", "--set", "dataset.questions_per_page=2"]
    words += ["--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "out"), "--target", "15"]
    real, reads = budget_costs.read_answer, []

    def read(*given):
        if len(reads) == 5:
            raise KeyboardInterrupt
        reads.append(len(given[3]))
        return real(*given)

    monkeypatch.setattr(budget_costs, "read_answer", read)
    assert CliRunner().invoke(cli.app, [*words, "--set", "engine.max_new_tok=3"]).exit_code == 130
    assert reads == [10, 20, 10, 20, 10]
    reads.clear()
    monkeypatch.setattr(budget_costs, "read_answer", lambda *given: reads.append(1) or real(*given))
    done = CliRunner().invoke(cli.app, [*words, "--set", "engine.max_new_tok=3"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "out" / "measured.jsonl").read_text().splitlines()]
    assert len(lines) == 6 and len(reads) == 8, "what was measured before is not measured again"
    assert "a fixed budget is as good" in done.output and load(BudgetNet, tmp_path / "out").levels == BUDGETS


def test_what_was_measured_of_an_image_that_was_replaced_does_not_count(tmp_path, engine, monkeypatch):
    reads = []
    monkeypatch.setattr(budget_costs, "read_answer", lambda engine, page, *given: reads.append(page.image_id) or 0.5)
    for name in "ab":
        Image.fromarray(tiny.page(64, 64)).save(tmp_path / f"{name}.png")
    lines = [{"id": name, "image": f"{name}.png", "question": "What?", "answers": ["x"]} for name in "ab"]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data, looks = open_dataset(str(tmp_path / "q.jsonl")), Episode(sampler="topk", fixations=1)

    def scores():
        pages = stored(tmp_path / "cache", looks, engine, data, list(data.rows()), needs="answers")
        return measured(engine, pages, looks.strategies.score, BUDGETS, tmp_path / "measured.jsonl")

    (tmp_path / "measured.jsonl").write_text(json.dumps({"page": "a.png", "number": 0, "scores": [1, 1]}) + "\n")
    first = scores()
    assert reads == ["a.png", "a.png", "b.png", "b.png"], "a line that does not name its image does not count"
    assert scores() == first and len(reads) == 4
    Image.fromarray(tiny.page(96, 64, seed=2)).save(tmp_path / "b.png")
    again = scores()
    assert reads[4:] == ["b.png", "b.png"] and len(again) == 2 and first.keys() - again.keys()
