"""What a request of pixels may ask of samplers. Needs no vLLM."""

import pytest

from saccade.engines.vllm_plugin.foveation import Foveation
from saccade.registry import find, names
from saccade.samplers import Sampler


@pytest.mark.parametrize("name", names("samplers"))
def test_samplers_that_need_features_or_merge_are_refused(name):
    sampler = find("samplers", name, Sampler)
    if sampler.merges or sampler.encoded:
        with pytest.raises(ValueError, match=f"sampler '{name}' (merges tokens|compares the encoder's features)"):
            Foveation.parse({"tokens": 9, "sampler": name})
    else:
        assert Foveation.parse({"tokens": 9, "sampler": name}).strategy() == sampler()


def test_these_are_the_ones():
    refused = {name for name in names("samplers") if find("samplers", name, Sampler).encoded}
    assert refused >= {"slots", "dominant", "diversity"}
