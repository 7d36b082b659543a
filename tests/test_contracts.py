"""The laws of every strategy file. A new file is found here by itself; its own test checks what it computes."""

import inspect
import pickle
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from saccade.budgets import Budget
from saccade.errors import ConfigError
from saccade.heads.budget import BudgetNet
from saccade.heads.files import save
from saccade.importance import Scorer
from saccade.integration import Integrator
from saccade.picture import Picture
from saccade.planners import Planner
from saccade.reduction import Reduction, Stage
from saccade.registry import Strategy, find, load, names
from saccade.samplers import Sampler
from saccade.types import Gaze, Scene, Selection
from tests.helpers import answer, importance_of, item, step
from tests.importance.heads import TRAINED, tiny_head
from tests.reduction.trained import MAKERS, tiny_trained

KINDS: dict[str, type[Strategy]] = {
    "samplers": Sampler,
    "importance": Scorer,
    "planners": Planner,
    "budgets": Budget,
    "integration": Integrator,
    "reduction": Reduction,
}
EVERY = [(kind, name) for kind in KINDS for name in names(kind)]

# Their draw belongs to positions, not to what is there; ptp: a token on the border of two regions is in the right one.
NOT_MIRRORED = {"random", "cortical", "ptp", "slots", "dominant"}
SIZES = [(5, 9), (7, 3), (6, 6)]
NUM_TOK = [rows * cols for rows, cols in SIZES]
GAZES = torch.tensor([[0.31, 0.62], [0.9, 0.1], [0.5, 0.5]])
KEEPS = [1, 2, 10, 20, 40, 45, 100]


HEADS = tempfile.TemporaryDirectory()
REQUIRED = {("importance", name): {"head": tiny_head(Path(HEADS.name) / kind, kind)} for name, kind in TRAINED.items()}
REQUIRED |= {("reduction", name): {"weights": tiny_trained(Path(HEADS.name) / name, name)} for name in MAKERS}
save(BudgetNet(6), Path(HEADS.name) / "budget")
REQUIRED[("budgets", "predicted")] = {"weights": str(Path(HEADS.name) / "budget")}
"""Settings of the strategies that have no meaningful default: those that must be trained."""


def default_strategy(kind: str, name: str) -> Strategy:
    """A strategy with its defaults."""
    return find(kind, name, KINDS[kind])(**REQUIRED.get((kind, name), {}))


def every(kind: str) -> pytest.MarkDecorator:
    """The strategies of one kind, with their defaults."""
    return pytest.mark.parametrize("strategy", [default_strategy(kind, name) for name in names(kind)], ids=names(kind))


def batch() -> Scene:
    scene = Scene.of([item(*size, seed=seed) for seed, size in enumerate(SIZES)])
    attended = [alone(number).attention[0] for number in range(len(SIZES))]
    return replace(scene, attention=pad_sequence(attended, batch_first=True))


def alone(number: int) -> Scene:
    """With some attention of a language model, which no encoding brings."""
    scene = Scene.of([item(*SIZES[number], seed=number)])
    return replace(scene, attention=scene.received.square())


def indices(selections: list[Selection]) -> list[list[int]]:
    return [selection.index.tolist() for selection in selections]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_strategies_are_documented_values(kind, name):
    strategy = default_strategy(kind, name)
    assert inspect.getdoc(type(strategy)) and type(strategy).__doc__, "no docstring"
    assert inspect.getmodule(type(strategy)).__doc__, "no module docstring"
    assert load(kind, strategy.spec(), KINDS[kind]) == strategy
    assert strategy.spec()["name"] == name
    assert pickle.loads(pickle.dumps(strategy)) == strategy
    assert all(field.description for field in type(strategy).model_fields.values()), "a setting without a description"
    with pytest.raises(ConfigError, match="not_a_setting"):
        load(kind, {**strategy.spec(), "not_a_setting": 1}, KINDS[kind])


@every("samplers")
@pytest.mark.parametrize("keep", KEEPS)
def test_samplers_keep_exactly_that_many(strategy, keep):
    importance = importance_of(*NUM_TOK)
    found = strategy(batch(), importance, GAZES, keep)
    for selection, num_tok in zip(found, NUM_TOK, strict=True):
        index = selection.index
        assert index.dtype == torch.int64
        assert len(index) == min(keep, num_tok)
        assert (index.diff() > 0).all()
        assert 0 <= index.min() and index.max() < num_tok  # padding is never chosen
        assert selection.source.shape == (num_tok,)
        if keep >= num_tok:
            assert torch.equal(index, torch.arange(num_tok))
            assert torch.equal(selection.source, index)
    assert indices(strategy(batch(), importance, GAZES, keep)) == indices(found)


@every("samplers")
@pytest.mark.parametrize("keep", KEEPS)
def test_samplers_do_not_see_the_batch(strategy, keep):
    importance = importance_of(*NUM_TOK)
    together = indices(strategy(batch(), importance, GAZES, keep))
    for b, num_tok in enumerate(NUM_TOK):
        single = strategy(alone(b), importance[b : b + 1, :num_tok], GAZES[b : b + 1], keep)
        assert indices(single) == together[b : b + 1]


@every("samplers")
@pytest.mark.parametrize("keep", KEEPS)
def test_samplers_never_show_a_token_twice(strategy, keep):
    importance, scene = importance_of(*NUM_TOK), batch()
    shown = torch.rand(scene.valid.shape, generator=torch.Generator().manual_seed(0)) < 0.4
    for b, selection in enumerate(strategy(scene.without(shown), importance, GAZES, keep)):
        assert not shown[b, selection.index].any()
        assert len(selection) == min(keep, int((scene.valid & ~shown)[b].sum()))
    everything = torch.ones_like(shown)
    assert indices(strategy(scene.without(everything), importance, GAZES, keep)) == [[], [], []]


def is_mirrored(sampler: Sampler, keep: int) -> bool:
    """Whether the mirror image of a 5 x 9 scene gives the mirror image of the kept tokens."""
    flip = torch.arange(45).view(5, 9).flip(1).flatten()  # where each token comes from
    importance, gaze, mirrored = importance_of(45), GAZES[:1], GAZES[:1] * torch.tensor([-1, 1]) + torch.tensor([1, 0])
    picture, encoding, query = item(*SIZES[0], seed=0)
    moved = {name: getattr(encoding, name)[flip] for name in ("tokens", "features", "received")}
    here = sampler(alone(0), importance, gaze, keep)[0].index
    other = Scene.of([(picture, replace(encoding, **moved), query)])
    there = sampler(other, importance[:, flip], mirrored, keep)[0].index
    return sorted(flip[there].tolist()) == here.tolist()


@every("samplers")
def test_mirrored_input_gives_the_mirrored_set(strategy):
    kept = [is_mirrored(strategy, keep) for keep in KEEPS]
    assert not all(kept) if strategy.name() in NOT_MIRRORED else all(kept)  # the exceptions are exceptions


@every("samplers")
def test_samplers_live_with_extreme_gazes_and_flat_importance(strategy):
    for gaze in ((0.0, 0.0), (1.0, 1.0), (0.5, 0.5)):
        for scene in (alone(2), Scene.of([item(1, 1)]), Scene.of([item(1, 7)])):
            num_tok = scene.valid.shape[1]
            found = strategy(scene, torch.zeros(1, num_tok), torch.tensor([gaze]), 5)
            assert len(found[0]) == min(5, num_tok)


@every("importance")
def test_scorers_are_between_zero_and_one(strategy):
    scene = batch()
    scores = strategy(scene)
    assert scores.shape == scene.valid.shape and scores.dtype == torch.float32
    assert (scores[~scene.present] == 0).all()
    assert scores.amin() == 0 and torch.equal(scores.amax(-1), torch.ones(3))
    shown = torch.zeros_like(scene.valid)
    shown[:, :4] = True
    assert torch.equal(strategy(scene.without(shown)), scores)  # what was shown does not move the scale


def without(needs: frozenset[str]) -> Scene:
    """A scene in which everything that is not needed is not a number, or raises."""
    scene, gone = alone(0), {}
    if "tower" not in needs:
        gone |= {"tokens": scene.tokens * float("nan"), "features": scene.features * float("nan")}
    if "received" not in needs:
        gone |= {"received": scene.received * float("nan")}
    if "question" not in needs:
        gone |= {"query_tokens": scene.query_tokens * float("nan"), "query_weight": scene.query_weight * float("nan")}
    if "attention" not in needs:
        gone |= {"attention": None}
    if "pixels" not in needs:
        unread = Picture(lambda: pytest.fail("pixels were read"))
        unread.__dict__["sha256"] = scene.pictures[0].sha256
        gone |= {"pictures": (unread,)}
    return replace(scene, **gone)


@every("importance")
def test_scorers_read_what_they_declare(strategy):
    assert strategy.needs <= set(strategy.reads)
    assert torch.equal(strategy(without(strategy.needs)), strategy(alone(0)))


@every("samplers")
def test_samplers_read_what_they_declare(strategy):
    assert strategy.needs <= set(strategy.reads)
    chosen = strategy(without(strategy.needs), importance_of(45), GAZES[:1], 10)
    assert indices(chosen) == indices(strategy(alone(0), importance_of(45), GAZES[:1], 10))


@every("importance")
def test_scorers_do_not_see_the_batch(strategy):
    together = strategy(batch())
    for b, num_tok in enumerate(NUM_TOK):
        assert torch.allclose(strategy(alone(b))[0], together[b, :num_tok], atol=1e-5)


@every("importance")
def test_scorers_give_zeros_for_constant_input(strategy):
    for fill in (0.0, 0.1):
        _, encoding, query = item(4, 5)
        same = replace(
            encoding,
            tokens=torch.full_like(encoding.tokens, fill),
            features=torch.full_like(encoding.features, fill),
            received=torch.full_like(encoding.received, fill),
        )
        blank = Picture.open(np.full((64, 80, 3), 200, np.uint8))
        scene = Scene.of([(blank, same, query), item(6, 6)])
        scores = strategy(replace(scene, attention=scene.received))
        assert not scores.isnan().any()
        assert scores[0].sum() == 0


def score(scene: Scene) -> torch.Tensor:
    """Some importance that the query's weights move."""
    words = scene.tokens @ scene.query_tokens.transpose(1, 2)  # (B, N, T)
    return (words * scene.query_weight.unsqueeze(1)).amax(-1).sigmoid()


def fixate(planner: Planner, scene: Scene, num: int, per_look: int = 3) -> list[Gaze]:
    """Drives a planner as an episode does, showing the tokens after the gazed one."""
    flow, gazes, num_tok = planner.flow(scene, score), [], scene.valid.shape[1]
    gaze = next(flow)
    for look in range(num):
        gazes.append(gaze)
        at = int((scene.centre_uv[0] - torch.tensor(gaze.uv)).norm(dim=-1).argmin())
        given = answer(str(look), look / num, tokens=scene.tokens[0, :2])
        gaze = flow.send(step({(at + k) % num_tok for k in range(per_look)}, num_tok, given, gaze))
    return gazes


@every("planners")
def test_planners_gaze_at_the_page_for_ever_and_say_why(strategy):
    for gaze in fixate(strategy, alone(2), 30):  # 36 tokens, 3 a look: all are seen long before
        assert 0 <= gaze.uv[0] <= 1 and 0 <= gaze.uv[1] <= 1
        assert gaze.reason and len(gaze.reason) < 80
        assert np.isfinite(gaze.score) and gaze.score >= 0
        assert gaze.importance is None or (gaze.importance.shape == (36,) and not gaze.importance.isnan().any())
    assert "released" in gaze.reason or "seen" in gaze.reason  # said openly


@every("planners")
def test_planners_do_not_return_too_soon(strategy):
    gazes = torch.tensor([gaze.uv for gaze in fixate(strategy, alone(2), 5)])
    apart = torch.cdist(gazes, gazes) + torch.eye(5)
    assert apart.min() >= strategy.inhibition_radius


@every("planners")
def test_replaying_the_steps_gives_the_same_gazes(strategy):
    first, again = (fixate(strategy, alone(0), 6) for _ in range(2))
    assert [(g.uv, g.reason, g.score) for g in first] == [(g.uv, g.reason, g.score) for g in again]


@every("budgets")
def test_budgets_give_every_image_a_whole_number(strategy):
    found = strategy(batch())
    assert len(found) == 3 and all(isinstance(tokens, int) and 1 <= tokens <= strategy.most_tok for tokens in found)
    assert strategy(batch()) == found


@every("integration")
def test_integrators_choose_one_of_the_answers(strategy):
    texts = [("a", 0.3, True), ("b", 0.8, True), ("", 0.99, False), ("c", 0.3, True)]
    steps = [step([i], 9, answer(*given)) for i, given in enumerate(texts)]
    for count in range(1, 5):
        chosen = strategy(steps[:count])
        assert chosen in [one.answer for one in steps[:count]]
        assert chosen.readable  # "cannot read" loses
    assert strategy(steps[2:3]) is steps[2].answer  # unless there is nothing else


@every("reduction")
def test_reductions_decide_for_every_token_and_the_same_again(strategy):
    make = torch.Generator().manual_seed(0)
    valid = torch.arange(12)[None] < torch.tensor([12, 7, 12, 1])[:, None]
    fixed = torch.zeros_like(valid)
    fixed[:, 0] = True
    stage = Stage(
        layer=1,
        num_layers=4,
        states=torch.randn(4, 12, 4, 8, generator=make),
        keys=torch.randn(4, 12, 4, 6, generator=make),
        size=valid.float(),
        valid=valid,
        fixed=fixed,
        image=torch.tensor([0, 0, 1, 1]),
    )
    decided = strategy.inside(stage) if strategy.active(4) else None
    if decided is None:
        return
    source, weight = decided
    assert source.shape == valid.shape and source.dtype == torch.int64
    assert (source[~valid] == -1).all() and (weight[valid] > 0).all()
    for slot, here in zip(source, valid, strict=True):
        used = slot[here & (slot >= 0)]
        assert used.unique().tolist() == list(range(len(used.unique()))), "slots have gaps"
        assert (slot == slot[0]).sum() == 1 and slot[0] >= 0, "a fixed token was merged or dropped"
    assert torch.equal(strategy.inside(stage)[0], source)
