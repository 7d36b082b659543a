"""The heads learn something: where the thing is that the question names, in features that no word resembles."""

import pytest
import torch

from saccade.datasets.synthdoc import SynthDoc
from saccade.heads.files import load_cached, save
from saccade.heads.scoring import KINDS, Head
from saccade.importance.late import LateInteraction
from saccade.tokens.ranking import rank
from saccade.training.importance import Example, answer_share, examples_of, listwise, main, train_head
from saccade.types import Encoding, Query, Scene
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


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_learns_what_the_words_mean(kind, tmp_path):
    torch.manual_seed(0)
    head, held_out = KINDS[kind]("before", FEATURES, WORDS, inner=16), examples(range(100, 110))
    before = precision(head, held_out)
    losses = train_head(head, examples(range(40)), steps=250, rate=1e-2)
    assert before < 0.5 < 0.9 < precision(head, held_out), "chance is a quarter"
    assert sum(losses[-20:]) < 0.8 * sum(losses[:20])
    save(head, tmp_path / kind, steps=250)
    scene = held_out[0][0]
    again = load_cached(KINDS[kind], str(tmp_path / kind))(scene)
    assert torch.equal(again, head(scene))
    if kind == "late":
        assert LateInteraction(head=str(tmp_path / kind)).raw(scene).shape == scene.present.shape


def test_listwise_by_hand():
    logits = torch.tensor([[0.0, 0.0, 99.0], [1.0, 2.0, 3.0]])
    target = torch.tensor([[1.0, 0.0, 5.0], [0.0, 0.0, 0.0]])
    present = torch.tensor([[True, True, False], [True] * 3])
    # Padding does not count, an image without a target neither: -log(1/2) of the first alone.
    assert float(listwise(logits, target, present)) == pytest.approx(0.6931472)


def test_training_twice_gives_the_same_weights():
    heads = []
    for _ in range(2):
        torch.manual_seed(0)
        head = KINDS["mlp"]("before", FEATURES, WORDS, inner=4)
        train_head(head, examples(range(3)), steps=5)
        heads.append(head.question.weight.detach())
    assert torch.equal(*heads)


def test_share_of_the_answer_by_hand():
    scene = Scene.of([item(1, 4), item(1, 3, seed=1)])
    target = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]])
    scores = torch.tensor([[9.0, 1.0, 5.0, 2.0], [1.0, 2.0, 3.0, 99.0]])  # the last of the second image is padding
    assert answer_share(lambda _: scores, [(scene, target)], keep=1) == pytest.approx((0.5 + 1) / 2)
    assert answer_share(lambda _: scores, [(scene, target)], keep=9) == 1


def test_examples_are_the_tokens_under_answer_boxes(engine):
    data = SynthDoc(page_px=256, num_pages=2, seed=3)
    found = examples_of(engine, data)
    assert len(found) == 2
    scene, target = found[0]
    sample = data.sample(next(iter(data.rows())))
    question = [q for q in sample.questions if q.answer_boxes_uv][0]
    x0, y0, x1, y1 = question.answer_boxes_uv[0]
    inside = (scene.centre_uv[0] > torch.tensor([x0, y0])) & (scene.centre_uv[0] < torch.tensor([x1, y1]))
    assert (target[0][inside.all(-1)] == 1).all() and 0 < target[0].sum() < len(scene.grids[0]) / 2
    assert scene.queries[0].text == question.text


@pytest.mark.parametrize("kind", KINDS)
def test_the_command_writes_a_head_that_scores(kind, tmp_path, qwen2_5_vl, capsys):
    chosen = ["--kind", kind, "--model", str(qwen2_5_vl), "--pages", "2", "--page-px", "256", "--steps", "2"]
    report = main([*chosen, "--out", str(tmp_path / "head")])
    assert set(report) == {"query", "untrained", "trained"} and str(tmp_path / "head") in capsys.readouterr().out
    head = load_cached(KINDS[kind], str(tmp_path / "head"))
    assert (head.at, head.token_width, head.word_width) == ("before", 32, 128)
