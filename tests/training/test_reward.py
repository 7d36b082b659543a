"""Outcomes teach: what is drawn is read, what was read better becomes likelier, and the gain is said."""

import json

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pipelines.commands import app as cli
from saccade.config import Episode
from saccade.datasets.synthdoc import SynthDoc
from saccade.errors import ConfigError, ResumeRefused
from saccade.heads.budget import BudgetNet
from saccade.heads.files import load, save
from saccade.heads.scoring import KINDS, MLP
from saccade.training import reward
from saccade.training.plackett import log_probability
from saccade.training.reward import Policy, RewardSettings, loss, start_of
from saccade.training.stored import stored
from tests import tiny


@pytest.fixture
def page(engine, tmp_path):
    data = SynthDoc(page_px=256, num_pages=1, seed=3)
    (found,) = stored(tmp_path, Episode(sampler="topk", fixations=1), engine, data, list(data.rows()))
    return found


def head():
    torch.manual_seed(0)
    return MLP("after", 128, 128, inner=8)


def test_a_draw_says_how_likely_it_was_and_what_it_was_worth(engine, page, monkeypatch):
    policy, settings = Policy(head(), None, keep=12, temperature=2.0), RewardSettings(reward=True, cost=0.5)
    read = []

    def answer(engine, page, number, index):
        read.append(index)
        return float(len(read))

    monkeypatch.setattr(reward, "read_answer", answer)
    drawn = policy.draw(engine, page, 0, settings, torch.Generator().manual_seed(1))
    tokens = len(page.encoding)
    assert len(read) == 4 and all(len(set(order.tolist())) == 12 for order in read)
    assert drawn.score.tolist() == [1, 2, 3, 4]
    assert drawn.reward.tolist() == pytest.approx([score - 0.5 * 12 / tokens for score in (1, 2, 3, 4)])
    logits = policy.head(drawn.scene)[0] / 2
    wanted = log_probability(logits, drawn.scene.present[0], torch.stack(drawn.orders))
    assert torch.allclose(drawn.before, wanted, atol=1e-4)


def test_budgets_are_drawn_and_learn_what_they_cost(engine, page, monkeypatch):
    """All sets read alike: only what is shown costs, and the smaller budget becomes the likelier one."""
    monkeypatch.setattr(reward, "read_answer", lambda *_: 0.5)
    budget = BudgetNet(128, (4, 40))
    policy = Policy(head(), budget, keep=40, temperature=1.0)
    settings, tokens = RewardSettings(reward=True, cost=5.0, budgets="4,40"), len(page.encoding)
    optimizer = torch.optim.Adam(budget.parameters(), lr=0.02)
    for step in range(30):
        drawn = policy.draw(engine, page, 0, settings, torch.Generator().manual_seed(step))
        assert {len(order) for order in drawn.orders} <= {4, 40}
        assert drawn.reward.tolist() == pytest.approx([0.5 - 5 * len(order) / tokens for order in drawn.orders])
        optimizer.zero_grad()
        loss(policy, drawn, settings).backward()
        optimizer.step()
    assert budget(budget.features(page.some([0])))[0, 0] > 0.9
    assert len(policy.chosen(page, 0)) == 4


def test_what_was_read_better_becomes_likelier(engine, page, monkeypatch):
    """Sets are worth the share of them on the left half of the page."""
    left = page.encoding.grid.centre_uv[:, 0] < 0.5
    monkeypatch.setattr(reward, "read_answer", lambda e, p, n, index: float(left[index].float().mean()))
    policy, settings = Policy(head(), None, keep=10, temperature=1.0), RewardSettings(reward=True, draws=8)
    optimizer = torch.optim.Adam(policy.head.parameters(), lr=0.02)
    for step in range(60):
        drawn = policy.draw(engine, page, 0, settings, torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss(policy, drawn, settings).backward()
        optimizer.step()
    assert left[policy.chosen(page, 0)].float().mean() > 0.8


@pytest.mark.parametrize("more", [[], ["--clip", "0.2", "--epochs", "2", "--budgets", "10,20", "--sharpen", "0.01"]])
def test_the_command(more, tmp_path, qwen2_5_vl):
    words = ["train", "head", "--model", str(qwen2_5_vl), "--page-px", "256", "--set", "dataset.num_pages=3"]
    words += ["--read", "2", "--keep", "20", "--cache", str(tmp_path / "cache"), "--set", "engine.max_new_tok=4"]
    first = CliRunner().invoke(cli.app, [*words, "--steps", "2", "--output", str(tmp_path / "taught")])
    assert first.exit_code == 0, first.output
    words += ["--reward", "--init", str(tmp_path / "taught"), "--steps", "2", "--draws", "2", *more]
    done = CliRunner().invoke(cli.app, [*words, "--output", str(tmp_path / "rewarded")])
    assert done.exit_code == 0, done.output
    assert "no gain that the interval bears out" in done.output
    lines = [json.loads(line) for line in (tmp_path / "rewarded" / "curve.jsonl").read_text().splitlines()]
    assert len(lines) == (4 if more else 2) and all(0 <= line["score"] <= 1 for line in lines)
    if more:
        assert load(BudgetNet, tmp_path / "rewarded" / "budget").levels == (10, 20)
        return
    save(KINDS["late"]("after", 128, 128), tmp_path / "taught")  # another head at the same place
    other = CliRunner().invoke(cli.app, [*words, "--output", str(tmp_path / "rewarded")])
    assert isinstance(other.exception, ResumeRefused) and "init: " in str(other.exception)


def boxless(folder):
    """A file of answered questions about two pages, without a box."""
    for number in range(2):
        Image.fromarray(tiny.page(96, 96, seed=number)).save(folder / f"{number}.png")
    line = {"question": "What?", "answers": ["x"]}
    lines = [json.dumps({"id": str(number), "image": f"{number}.png"} | line) for number in range(2)]
    (folder / "q.jsonl").write_text("\n".join(lines) + "\n")
    return folder / "q.jsonl"


@pytest.mark.parametrize(
    ("training", "more"),
    [
        ("head", ["--reward", "--keep", "4", "--draws", "2"]),
        ("joint", ["--levels", "2", "--most", "8", "--least", "4", "--weights", "0.1", "--batch", "1"]),
        ("budget", ["--budgets", "4,8", "--scorer", "edges", "--target", "6"]),
        ("gates", ["--r", "2"]),
    ],
)
def test_trainings_by_answers_or_by_nothing_need_no_boxes(training, more, tmp_path, qwen2_5_vl):
    words = ["train", training, "--model", str(qwen2_5_vl), "--dataset", str(boxless(tmp_path)), "--steps", "1", *more]
    words += ["--set", "engine.max_new_tok=3", "--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "out")]
    if training in ("head", "joint"):
        save(KINDS["late"]("after", 128, 128), tmp_path / "late")
        words += ["--init", str(tmp_path / "late"), "--read", "2"]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out").is_dir() and len(list((tmp_path / "cache").glob("*/*.parquet"))) == 2


def test_without_a_head_to_start_from_it_says_how_to_get_one(tmp_path):
    with pytest.raises(ConfigError, match="train one with `saccade train head"):
        start_of(None, None)
    with pytest.raises(ConfigError, match="holds no head"):
        start_of(tmp_path, None)


def test_one_budget_is_no_choice():
    with pytest.raises(ValueError, match="two numbers of tokens or more"):
        RewardSettings(budgets="73")


def test_several_steps_on_the_same_draws_need_clip():
    assert RewardSettings(epochs=2, clip=0.2).epochs == 2
    with pytest.raises(ValueError, match="epochs = 2: several steps on the same draws need clip"):
        RewardSettings(epochs=2)


def test_the_seed_decides_the_budget_s_first_weights(tmp_path, qwen2_5_vl):
    save(KINDS["late"]("after", 128, 128), tmp_path / "late")
    words = ["train", "head", "--reward", "--model", str(qwen2_5_vl), "--dataset", str(boxless(tmp_path))]
    words += ["--steps", "0", "--read", "0", "--budgets", "2,4", "--init", str(tmp_path / "late")]
    nets = []
    for number in range(2):
        torch.manual_seed(number)  # what was drawn before does not count
        output = ["--cache", str(tmp_path / "cache"), "--output", str(tmp_path / str(number))]
        assert CliRunner().invoke(cli.app, [*words, *output]).exit_code == 0
        nets.append(load(BudgetNet, tmp_path / str(number) / "budget"))
    assert all(torch.equal(*pair) for pair in zip(*(net.state_dict().values() for net in nets), strict=True))
