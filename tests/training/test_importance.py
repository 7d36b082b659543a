"""The heads learn something: where the thing is that the question names, in features that no word resembles."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from pipelines.commands import app as cli
from saccade.errors import ConfigError, ResumeRefused
from saccade.heads.files import load_cached, save
from saccade.heads.scoring import KINDS, Head
from saccade.importance.late import LateInteraction
from saccade.tokens.ranking import rank
from saccade.training.importance import Example, answer_share, listwise
from saccade.training.resumable import course, picked
from saccade.types import Encoding, Query, Scene
from tests import tiny
from tests.helpers import item

THINGS, FEATURES, WORDS = 4, 10, 8


def examples(seeds: range) -> list[Example]:
    """Batches of 4 images of 5 x 6 tokens. Each token shows one of four things in one of its two patches, with noise;
    the question has a word for one of them and a word that says nothing."""
    fixed = torch.Generator().manual_seed(1)
    looks = torch.randn(THINGS, FEATURES, generator=fixed)  # the same in all images, as a tower's features are
    names = torch.randn(THINGS + 1, WORDS, generator=fixed)
    return [_example(seed, looks, names) for seed in seeds]


def _example(seed: int, looks: torch.Tensor, names: torch.Tensor) -> Example:
    make, items, targets = torch.Generator().manual_seed(seed), [], []
    for number in range(4):
        picture, encoding, _ = item(5, 6, seed=1000 * seed + number)
        thing = torch.randint(THINGS, (30,), generator=make)
        asked = int(torch.randint(THINGS, (1,), generator=make))
        features = torch.randn(30, 2, FEATURES, generator=make) * 0.3
        features[torch.arange(30), torch.randint(2, (30,), generator=make)] += looks[thing]
        shown = {name: getattr(encoding, name) for name in Encoding.__dataclass_fields__} | {"features": features}
        query = Query("?", names[[asked, THINGS]], torch.ones(2))
        items.append((picture, Encoding(**shown), query))
        targets.append((thing == asked).float())
    return Scene.of(items), torch.stack(targets)


def precision(head: Head, held_out: list[Example]) -> float:
    """Of as many best tokens as there are right ones, the share that is right."""
    found = []
    for scene, target in held_out:
        with torch.no_grad():
            best = rank(head(scene), scene.present) < target.sum(-1, keepdim=True)
        found += [float(target[b][best[b]].mean()) for b in range(len(target)) if target[b].any()]
    return sum(found) / len(found)


def taught(head, pages, folder, steps):
    """Fits a head as the command does; the loss of each step."""

    def loss_of(step):
        scene, target = pages[picked(len(pages), step, 0)]
        return listwise(head(scene), target, scene.present), {}

    return [line["loss"] for line in course({"head": head}, loss_of, folder, steps=steps, rate=1e-2)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_learns_what_the_words_mean(kind, tmp_path):
    torch.manual_seed(0)
    head, held_out = KINDS[kind]("before", FEATURES, WORDS, inner=16), examples(range(100, 110))
    before = precision(head, held_out)
    losses = taught(head, examples(range(40)), tmp_path / "course", steps=250)
    assert before < 0.5 < 0.9 < precision(head, held_out), "chance is a quarter"
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    save(head, tmp_path / kind, steps=250)
    scene = held_out[0][0]
    again = load_cached(KINDS[kind], str(tmp_path / kind))(scene)
    assert torch.equal(again, head(scene))
    if kind == "late":
        assert LateInteraction(head=str(tmp_path / kind)).raw(scene).shape == scene.present.shape


def test_training_twice_gives_the_same_weights(tmp_path):
    heads = []
    for number in range(2):
        torch.manual_seed(0)
        head = KINDS["mlp"]("before", FEATURES, WORDS, inner=4)
        taught(head, examples(range(3)), tmp_path / str(number), steps=5)
        heads.append(head.question.weight.detach())
    assert torch.equal(*heads)


def test_share_of_the_answer_by_hand():
    scene = Scene.of([item(1, 4), item(1, 3, seed=1)])
    target = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    scores = torch.tensor([[9.0, 1.0, 5.0, 2.0], [1.0, 2.0, 3.0, 99.0]])  # the last of the second image is padding
    assert answer_share(lambda _: scores, [(scene, target)], keep=1) == pytest.approx((0.5 + 1) / 2)
    assert answer_share(lambda _: scores, [(scene, target)], keep=9) == 1


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("late", []),
        ("mlp", ["--at", "before", "--loss", "bce"]),
        ("cross", ["--teacher", "reading", "--loss", "ranking"]),
    ],
)
def test_the_command_writes_a_head_that_scores(kind, more, tmp_path, qwen2_5_vl):
    words = ["train", "head", "--kind", kind, "--model", str(qwen2_5_vl), "--page-px", "256", "--steps", "3", *more]
    words += ["--set", "dataset.num_pages=3", "--read", "2", "--keep", "20", "--cache", str(tmp_path / "cache")]
    words += ["--set", "engine.max_new_tok=4", "--output", str(tmp_path / "head")]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    assert "held-out pages" in done.output and "by query and edges" in done.output and str(tmp_path) in done.output
    head = load_cached(KINDS[kind], str(tmp_path / "head"))
    assert (head.at, head.token_width) == (("before", 32) if kind == "mlp" else ("after", 128))
    card = json.loads((tmp_path / "head" / "module.json").read_text())["notes"]
    assert card["report"]["trained"] != card["report"]["untrained"] and card["kind"] == kind
    assert (tmp_path / "head" / "curve.png").stat().st_size > 1000
    again = CliRunner().invoke(cli.app, words)  # finished: it says the same again
    assert again.stdout == done.stdout
    other = CliRunner().invoke(cli.app, [*words, "--labels", "0.9"])
    assert isinstance(other.exception, ResumeRefused)


def test_people_s_maps_are_learned(tmp_path, qwen2_5_vl):
    """People look at the bright corner; a head that may learn it is above chance on images that it was not shown."""
    for number in range(10):
        image, looked = tiny.page(128, 128, seed=number) // 3, np.zeros((128, 128), np.uint8)
        x, y = np.random.default_rng(number).integers(0, 2, 2) * 64
        image[y : y + 64, x : x + 64] += 150
        looked[y : y + 64, x : x + 64] = 255
        for folder, pixels in (("images", image), ("maps", looked)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{number}.png")
    words = ["train", "head", "--kind", "mlp", "--teacher", "maps", "--data-path", str(tmp_path), "--loss", "mse"]
    words += ["--model", str(qwen2_5_vl), "--steps", "60", "--rate", "0.01", "--read", "0", "--keep", "8"]
    done = CliRunner().invoke(cli.app, [*words, "--cache", str(tmp_path / "c"), "--output", str(tmp_path / "head")])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "head" / "module.json").read_text())["notes"]["report"]
    assert report["trained"]["auc"] > 0.8 > 0.6 and report["trained"]["nss"] > max(0.5, report["untrained"]["nss"])


def test_data_without_boxes_are_told_what_teaches_without(tmp_path, qwen2_5_vl):
    Image.fromarray(tiny.page(64, 64)).save(tmp_path / "a.png")
    line = {"id": "a", "image": "a.png", "question": "What?", "answers": ["x"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(line) + "\n")
    words = ["train", "head", "--dataset", str(tmp_path / "q.jsonl"), "--model", str(qwen2_5_vl), "--read", "0"]
    done = CliRunner().invoke(cli.app, [*words, "--cache", str(tmp_path / "c"), "--output", str(tmp_path / "head")])
    assert isinstance(done.exception, ConfigError) and "--teacher reading needs no boxes" in str(done.exception)
