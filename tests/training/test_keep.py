"""Keep scores of a tower: what is asked for stays, as many tokens as wanted, and the command says what it gained."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from pipelines.commands import app as cli
from saccade.config import Episode
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.heads.files import load
from saccade.heads.keep import KeepScores
from saccade.training.keep import asked_for, read_whole, run_stages
from saccade.training.stored import stored


@pytest.fixture
def page(engine, tmp_path):
    data = SynthDoc(page_px=256, num_pages=1, seed=3)
    (found,) = stored(tmp_path, Episode(sampler="topk", fixations=1), engine, data, list(data.rows()))
    return found


def test_what_is_asked_for_is_of_all_questions(page):
    worth = asked_for(page, labels=0.5)
    assert float(worth.sum()) == pytest.approx(1) and (worth > 0).sum() > 1
    boxes = [box for question, _ in page.asked for box in (*question.answer_boxes_uv, question.metadata["key_box_uv"])]
    for (x, y), value in zip(page.encoding.grid.centre_uv.tolist(), worth.tolist(), strict=True):
        inside = any(x0 <= x <= x1 and y0 <= y <= y1 for x0, y0, x1, y1 in boxes)
        assert value > 0 or not inside


def test_tokens_are_told_apart_in_the_order_of_the_page(engine, page):
    """Whoever keeps the page's left half, by the order it is given, keeps the left half."""
    scores = KeepScores(page.encoding.features.shape[-1], inner=8, stages=1)
    _, order = run_stages(engine, scores, page)
    assert sorted(order.tolist()) == list(range(len(page.encoding)))
    wanted = torch.zeros(len(page.encoding))
    wanted[page.encoding.grid.centre_uv[:, 0] < 0.5] = 1
    left, _ = run_stages(engine, scores, page, lambda logits, alive: alive * wanted[order])
    assert torch.equal(left[-1][0], wanted[order])


def test_hidden_answers_are_not_asked_and_count_as_nothing(page, qwen2_5_vl):
    hidden = replace(page, image_id="hidden", asked=tuple((replace(q, answers=None), query) for q, query in page.asked))
    half = replace(page, asked=(*page.asked[:1], *hidden.asked[1:]))
    reading = read_whole(HF(model=str(qwen2_5_vl), max_new_tok=3), [hidden, half], 9)
    assert len(reading.scores) == 1 and reading.pages == (page.image_id,)


def test_the_command(tmp_path, qwen2_5_vl):
    words = ["train", "keep", "--model", str(qwen2_5_vl), "--page-px", "256", "--steps", "60", "--stages", "1"]
    words += ["--set", "dataset.num_pages=3", "--set", "engine.max_new_tok=3", "--cache", str(tmp_path / "cache")]
    words += ["--read", "2", "--keep", "0.5", "--rate", "0.02", "--output", str(tmp_path / "out")]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    assert "0.50 of the tokens left" in done.output and "no gain that the interval bears out" in done.output
    curve = [json.loads(line) for line in (tmp_path / "out" / "curve.jsonl").read_text().splitlines()]
    assert sum(line["loss"] for line in curve[-20:]) < sum(line["loss"] for line in curve[:20])
    report = json.loads((tmp_path / "out" / "module.json").read_text())["notes"]["report"]
    assert 0 < report["trained"]["kept"] <= 1 and load(KeepScores, tmp_path / "out").stages == 1
