"""Allocator and scorer by the reader's loss: the loss is the model's own, its gradient true, and both learn from it."""

import json

import pytest
import torch
from typer.testing import CliRunner

from pipelines.commands import app as cli
from saccade.api import Eye
from saccade.budgets.allocator import Allocator
from saccade.config import Episode
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines._answers import Speech
from saccade.engines.hf import HF
from saccade.geometry.levels import counts, level_masks, soft_selection
from saccade.heads.allocator import LevelNet
from saccade.heads.files import save
from saccade.heads.scoring import MLP
from saccade.training.joint import Chooser, JointSettings, size_of, task
from saccade.training.stored import stored
from saccade.types import Canvas, Part, Scene, Selection
from tests.helpers import importance_of
from tests.levels import pyramid_item

SETTINGS = Episode(sampler="pyramid", fixations=1, levels=2)


@pytest.fixture(scope="module")
def page(engine, tmp_path_factory):
    data = SynthDoc(page_px=256, num_pages=1, seed=3)
    (found,) = stored(tmp_path_factory.mktemp("cache"), SETTINGS, engine, data, list(data.rows()))
    return found


def canvas_of(page, index=None):
    grid = page.encoding.grid
    chosen = None if index is None else Selection.keep(index, len(page.encoding))
    return Canvas(grid.rows, grid.cols, (Part.of(page.encoding, chosen),))


def test_the_loss_is_what_the_reader_says_of_its_own_answer(engine, page, monkeypatch):
    question, some = page.asked[0][0].text, torch.arange(0, len(page.encoding), 3)
    answer = engine.read(canvas_of(page, some), question)
    says = -sum(answer.logprobs[: len(answer.token_ids)]) / len(answer.token_ids)
    weight = torch.zeros(len(page.encoding)).index_fill(0, some, 1.0)
    monkeypatch.setattr(Speech, "closed", lambda self, text: answer.token_ids)
    with torch.no_grad():
        alone = float(engine.answer_loss(canvas_of(page, some), question, answer.text, torch.ones(len(some))))
        hidden = float(engine.answer_loss(canvas_of(page), question, answer.text, weight))
    assert len(answer.token_ids) > 1 and alone == pytest.approx(says, abs=1e-3)
    assert hidden == pytest.approx(alone, abs=2e-3), "a token of weight 0 is as one that is not there"


def test_its_gradient_is_the_true_one(engine, page):
    question, canvas = page.asked[0][0].text, canvas_of(page, torch.arange(12))
    weight = torch.full((12,), 0.6, requires_grad=True)
    engine.answer_loss(canvas, question, "7", weight).backward()
    for token in (0, 5):
        up, down = weight.detach().clone(), weight.detach().clone()
        up[token] += 0.05
        down[token] -= 0.05
        with torch.no_grad():
            change = engine.answer_loss(canvas, question, "7", up) - engine.answer_loss(canvas, question, "7", down)
        assert float(weight.grad[token]) == pytest.approx(float(change) / 0.1, rel=0.05, abs=2e-4)


def test_forward_it_is_the_sampler_s_choice_and_gradients_reach_all_three():
    scene, logits = Scene.of([pyramid_item(8, 8, levels=3)]), (5 * importance_of(84)).requires_grad_()
    raw, tokens = torch.zeros(1, 4, requires_grad=True), torch.tensor([20.0], requires_grad=True)
    shares = raw.softmax(-1)[:, :3]
    kept = soft_selection(logits, scene.level, scene.valid, shares, tokens * shares.sum(-1), 2.0, 1.0)
    assert set(kept[0].tolist()) == {0.0, 1.0} and kept.sum() == 15  # a quarter of 20 is spared
    room = level_masks(scene.level, scene.valid, 3).sum(-1).T
    for level, number in enumerate(counts(shares.detach(), 15, room)[0].tolist()):
        here = (scene.level[0] == level).nonzero().flatten()
        best = here[logits.detach()[0, here].argsort(descending=True)[:number]]
        assert sorted(best.tolist()) == [i for i in here.tolist() if kept[0, i] == 1]
    wanted = torch.zeros(84)
    just_below = int(logits.detach()[0].masked_fill((kept.detach()[0] > 0) | (scene.level[0] > 0), -1).argmax())
    wanted[just_below] = 1
    (kept[0] * wanted).sum().backward()
    assert logits.grad[0, just_below] > 0 and tokens.grad[0] > 0
    assert float(logits.grad[0, scene.level[0] == 0].sum()) == pytest.approx(0, abs=1e-6), "at the others' cost"
    assert raw.grad[0, 0] > 0 > raw.grad[0, 3]  # more for its level, less left unspent


def test_the_curriculum_goes_from_most_to_least():
    settings = JointSettings(most=800, least=73, steps=100)
    sizes = [size_of(settings, step) for step in range(100)]
    assert sizes[0] == 800 and sizes[80:] == [73] * 20 and sizes == sorted(sizes, reverse=True)
    assert sizes[40] == pytest.approx((800 * 73) ** 0.5, abs=2)


def test_what_costs_and_buys_nothing_is_left_unspent(engine, page):
    """The reader is told to be indifferent: only the tokens cost, and the allocator leaves them unspent."""
    torch.manual_seed(0)
    chooser = Chooser(MLP("after", 128, 128, inner=8), LevelNet(128, 2, start=(0.5, 0.5), spare=0.1))
    before = len(chooser.chosen(page, 0, 40))
    optimizer = torch.optim.Adam(chooser.net.parameters(), lr=0.05)
    for _ in range(20):
        loss, facts = task(engine, chooser, page, 0, 40, weight=1000.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert before == 36 and len(chooser.chosen(page, 0, 40)) < 12


def test_a_trained_allocator_spends_less_in_a_look(tmp_path):
    net = LevelNet(6, 3, start=(0.2, 0.3, 0.5), spare=0.25)
    save(net, tmp_path / "allocator")
    scene = Scene.of([pyramid_item(8, 8, levels=3)])
    budget = Allocator(weights=str(tmp_path / "allocator"), tokens=40)
    assert budget(scene) == [30] and budget.shares(scene)[0].tolist() == pytest.approx([0.2, 0.3, 0.5])
    assert Allocator(tokens=40)(scene) == [40]


def test_the_command(tmp_path, qwen2_5_vl):
    words = [
        "train",
        "head",
        "--kind",
        "late",
        "--model",
        str(qwen2_5_vl),
        "--page-px",
        "256",
        "--steps",
        "1",
        "--read",
        "0",
    ]
    words += ["--set", "dataset.num_pages=3", "--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "late")]
    assert CliRunner().invoke(cli.app, words).exit_code == 0
    words = ["train", "joint", "--model", str(qwen2_5_vl), "--page-px", "256", "--steps", "3", "--levels", "2"]
    words += ["--set", "dataset.num_pages=3", "--cache", str(tmp_path / "cache"), "--output", str(tmp_path / "joint")]
    words += ["--init", str(tmp_path / "late"), "--most", "30", "--least", "10", "--weights", "0.01,0.1", "--read", "2"]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    results = json.loads((tmp_path / "joint" / "results.json").read_text())
    assert {"untrained", "weight 0.01", "weight 0.1"} < set(results) and "keep the scorer" in done.output
    folder = tmp_path / "joint" / "weight-0.1"
    sizes = [json.loads(line)["size"] for line in (folder / "curve.jsonl").read_text().splitlines()]
    assert sizes[0] == 30 and sizes[-1] < 30 and (folder / "curve.png").exists()
    looks = Episode(
        levels=2, sampler="pyramid", scorer=({"name": "late", "head": str(folder / "scorer")},), fixations=1,
        budget={"name": "allocator", "weights": str(folder / "allocator"), "tokens": 20},
    )  # fmt: skip
    with HF(model=str(qwen2_5_vl), max_new_tok=4).open() as engine:
        page = SynthDoc(page_px=256, num_pages=1, seed=3)
        trace = Eye(engine, looks).look(page.picture("0"), "What is the total?")
    assert trace.cost.visual_tok == 19  # a twentieth is left unspent to begin with
