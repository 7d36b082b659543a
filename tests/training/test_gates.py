"""Gates learned by a command: what leaves the tower is nearer to what it is without fusion, and a look uses them."""

import json

import pytest
import torch
import yaml
from typer.testing import CliRunner

import saccade
from pipelines.commands import app as cli
from pipelines.commands.settings import merged
from saccade.config import Episode
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.episode import see
from saccade.reduction.fusion import Fusion
from saccade.training import gates
from saccade.training.resumable import CURVE
from saccade.training.stored import Page


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gates")
    words = ["train", "gates", "--r", "96", "--steps", "12", "--read", "2", "--cache", str(folder / "cache")]
    words += ["--set", "dataset.num_pages=4", "--page-px", "256", "--output", str(folder / "out")]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    return folder / "out", done.output


def test_gates_that_learned_keep_more_of_held_out_pages(trained):
    folder, said = trained
    lines = [line.split() for line in said.splitlines() if line.strip().startswith(("untrained", "trained"))]
    before, after = (float(line[1]) for line in lines)
    assert after < before, said
    curve = [json.loads(line)["loss"] for line in (folder / CURVE).read_text().splitlines()]
    assert len(curve) == 12 and (folder / "curve.png").exists()
    assert "ANLS" in said and "gates, block by block" in said


def test_the_file_is_a_configuration_that_a_look_takes(trained):
    folder, _ = trained
    settings = yaml.safe_load((folder / gates.FILE).read_text())
    assert merged(folder / gates.FILE, {}, None)["engine"] == settings["engine"]
    learned = settings["engine"]["reduction"]["gates"]
    assert len(learned) == 5 and all(0 < gate < 1 for gate in learned)
    page = SynthDoc(page_px=256, num_pages=1)
    sample = page.sample(next(iter(page.rows())))
    with saccade.load(engine=settings["engine"], sampler="full") as eye:
        shown = eye.look(sample.picture, "What is the total?").cost.visual_tok
    with saccade.load(sampler="full") as eye:
        assert shown < 0.7 * eye.look(sample.picture, "What is the total?").cost.visual_tok


def test_tokens_that_nothing_moves_are_not_away():
    """With nothing left to fuse the tower gives what it gave when the page was stored."""
    data = SynthDoc(page_px=256, num_pages=1)
    sample = data.sample(next(iter(data.rows())))
    with HF(model="nano").open_encoder() as engine, torch.no_grad():
        seen = see(Episode(sampler="topk"), engine, sample.picture, sample.questions)
        page = Page("a", sample.picture, seen.encoding, (), None)
        assert float(gates.away(engine, Fusion(r=0), page)) == pytest.approx(0, abs=1e-5)
        pruned, fused = (float(gates.away(engine, Fusion(r=24, switch=share), page)) for share in (1.0, 0.0))
        assert pruned > fused > 0
