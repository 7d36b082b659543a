"""What a request of pixels may ask of samplers. Needs no vLLM."""

import pytest
import torch

from saccade.engines.vllm_plugin.foveation import TOWER, Foveation, choose, scene_of
from saccade.registry import find, names
from saccade.samplers import Sampler
from saccade.samplers.diversity import Diversity
from saccade.tokens.ranking import normalise
from tests.helpers import item


@pytest.mark.parametrize("name", names("samplers"))
def test_samplers_that_merge_or_read_the_question_are_refused(name):
    sampler = find("samplers", name, Sampler)
    if sampler.merges or "question" in sampler().needs:
        with pytest.raises(ValueError, match=f"sampler '{name}' (merges tokens|reads the question)"):
            Foveation.parse({"tokens": 9, "sampler": name})
    else:
        made = Foveation.parse({"tokens": 9, "sampler": name})
        assert made.strategy() == sampler() and made.in_worker == bool(sampler().needs)


def test_these_are_the_ones():
    encoded = {name for name in names("samplers") if TOWER.intersection(find("samplers", name, Sampler).reads)}
    assert encoded == {"slots", "dominant", "diversity", "ptp"}
    assert Foveation.parse({"tokens": 9, "scorer": "contrast"}).in_worker


@pytest.mark.parametrize("kind", ["maxmin", "dpp"])
def test_diversity_compares_what_the_tower_made(kind):
    """The choice of the library's own sampler on the same encoding; without features it would be another."""
    picture, encoding, _ = item(5, 8, seed=3)
    wanted = Foveation.parse({"tokens": 12, "sampler": {"name": "diversity", "kind": kind}})
    importance = torch.rand(1, 40, generator=torch.Generator().manual_seed(1))
    found = choose(wanted, picture, encoding.grid, importance, encoding)
    scene = scene_of(picture, encoding.grid, encoding)
    scored = normalise(importance, scene.present)
    assert torch.equal(found, Diversity(kind=kind)(scene, scored, torch.zeros(1, 2), 12)[0].index)
    _, other, _ = item(5, 8, seed=4)
    assert not torch.equal(found, choose(wanted, picture, encoding.grid, importance, other))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "say how many 'tokens' of each image are kept, or 'ink': true"),
        ({"ink": True, "tokens": 9}, "'ink' keeps all cells with ink: leave out tokens"),
        ({"ink": True, "sampler": "topk", "scorer": "edges"}, "leave out sampler, scorer"),
        ({"tokens": 9, "before": "tower", "scorer": "contrast"}, "only what reads pixels"),
        ({"tokens": 9, "before": "tower", "sampler": "diversity"}, "only what reads pixels"),
        ({"tokens": 9, "before": "reader"}, "before"),
        ({"ink": 1}, "ink"),
        ({"print_px": 8, "before": "tower"}, "'print_px' alone"),
        ({"print_px": 0, "ink": True}, "print_px"),
        ({"print_px": True, "ink": True}, "print_px"),
    ],
)
def test_what_goes_together(given, told):
    with pytest.raises(ValueError, match=told):
        Foveation.parse(given)


def test_before_the_tower():
    assert not Foveation.parse({"print_px": 8}).sparse and not Foveation.parse({"print_px": 8.5}).in_worker
    assert Foveation.parse({"ink": True}).sparse and not Foveation.parse({"ink": True}).in_worker
    assert Foveation.parse({"tokens": 9, "before": "tower"}).sparse and not Foveation.parse({"tokens": 9}).sparse
