"""The planner `query` on pages whose tokens are known."""

from dataclasses import replace

import pytest
import torch

from saccade.importance.query import QueryCosine
from saccade.planners.query import ResidualQuery, best_match
from saccade.types import Query, Scene
from tests.helpers import bare, item, step

# Four words; tokens lie in the space that the words span. 6 x 6 tokens.
TOP_LEFT, BOTTOM_RIGHT = 0, 1
SCORE = QueryCosine()


def page(**cells: tuple[float, ...]) -> Scene:
    """A 6 x 6 page of paper; `r1c2=(0.9, 0)`: how much row 1, column 2 looks like each of the two words."""
    tokens = torch.zeros(36, 6)
    tokens[:, 5] = 1  # paper: like no word
    for name, likeness in cells.items():
        token = torch.zeros(6)
        token[: len(likeness)] = torch.tensor(likeness)
        token[5] = (1 - token.square().sum()).sqrt()
        tokens[int(name[1]) * 6 + int(name[3])] = token
    return Scene.of([item(6, 6, tokens=tokens, words=torch.eye(6)[:2])])


def test_a_two_part_question_fixates_both():
    # The first part has several good matches; without the residual the second gaze would stay with it.
    scene = page(r0c0=(0.95, 0.0), r0c1=(0.9, 0.0), r1c0=(0.9, 0.0), r1c1=(0.9, 0.0), r5c5=(0.0, 0.8))
    assert SCORE(scene)[0, [0, 1, 35]].tolist() == pytest.approx([1, 0.9 / 0.95, 0.8 / 0.95], abs=1e-5)
    flow = ResidualQuery(inhibition_radius=0.0).flow(scene, SCORE)
    first = next(flow)
    assert first.uv == pytest.approx((1 / 12, 1 / 12))
    assert first.reason == "residual query 1.00"
    second = flow.send(step([0], 36, gaze=first))
    assert second.uv == pytest.approx((11 / 12, 11 / 12))
    assert second.reason == "residual query 0.52"  # weights 1 - 0.95 and 1: 0.525
    assert second.importance is not None and second.importance.argmax() == 35  # the sampler follows


def test_weights_fall_by_the_best_match_among_the_tokens_shown():
    scene = page(r0c0=(0.6, 0.0), r0c1=(0.8, 0.3))
    assert best_match(scene, torch.tensor([0])).tolist() == [pytest.approx([0.6, 0.0])]
    assert best_match(scene, torch.tensor([0, 1])).tolist() == [pytest.approx([0.8, 0.3])]
    assert best_match(scene, torch.tensor([], dtype=torch.int64)).tolist() == [[0.0, 0.0]]
    flow = ResidualQuery().flow(scene, SCORE)
    first = next(flow)
    assert flow.send(step([0, 1], 36, gaze=first)).reason == "residual query 0.45"  # (0.2 + 0.7) / 2


def test_words_that_count_less_from_the_start_are_measured_against_that():
    picture, encoding, query = item(2, 2)
    scene = Scene.of([(picture, encoding, Query("?", query.tokens, torch.tensor([0.5, 0.0, 0.25])))])
    assert next(ResidualQuery().flow(scene, SCORE)).reason == "residual query 1.00"


def test_everything_found_still_gives_a_gaze():
    scene = page(r2c2=(1.0, 0.0), r3c3=(0.0, 1.0))
    flow = ResidualQuery().flow(scene, SCORE)
    gaze = flow.send(step([14, 21], 36, gaze=next(flow)))
    assert gaze.reason == "residual query 0.00" and gaze.score == 0


def test_parts_are_looked_for_one_after_the_other():
    # Nothing is like both words together; the first part's best is only half as good as the second's.
    picture, encoding, query = item(6, 6, tokens=page(r0c0=(0.4, 0.0), r0c1=(0.3, 0.0), r5c5=(0.0, 0.8)).tokens[0])
    query = replace(query, tokens=torch.eye(6)[:2], weight=torch.ones(2), parts=((0, 1), (1, 2)))
    flow = ResidualQuery(inhibition_radius=0.0).flow(Scene.of([(picture, encoding, query)]), SCORE)
    first = next(flow)
    assert first.importance is not None and first.importance[[0, 1, 35]].tolist() == pytest.approx([1, 0.75, 1])
    assert first.reason in ("residual query 1.00, part 1 of 2", "residual query 1.00, part 2 of 2")
    shown = int(first.importance.argmax())
    second = flow.send(step([shown], 36, gaze=first))
    assert second.importance is not None and int(second.importance.argmax()) == 35 - shown
    assert second.reason.startswith("residual query 0.5") and second.reason != first.reason
    third = flow.send(step([35 - shown], 36, gaze=second))
    assert third.uv == pytest.approx((3 / 12, 1 / 12)), "both are found: what is next best of either"


def test_a_scorer_that_does_not_read_the_question_knows_no_parts():
    picture, encoding, query = item(6, 6)
    scene = Scene.of([(picture, encoding, replace(query, parts=((0, 1), (1, 2))))])
    assert next(ResidualQuery().flow(scene, lambda s: s.received)).reason == "residual query 1.00"


def test_the_discs_move_scorers_that_ignore_the_question():
    scene = bare(6, 6)
    flow = ResidualQuery(inhibition_radius=0.3).flow(scene, lambda s: s.received)
    first = next(flow)
    second = flow.send(step([], 36, gaze=first))
    assert torch.dist(torch.tensor(first.uv), torch.tensor(second.uv)) >= 0.3
