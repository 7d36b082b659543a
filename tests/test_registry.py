"""The folder is the registry: names, foreign modules, and messages."""

import sys

import pytest

from saccade.config import Episode
from saccade.errors import ConfigError, UnknownName
from saccade.registry import checked, find, load, names, settings_text
from saccade.samplers import Sampler
from saccade.samplers.hybrid import Hybrid
from saccade.samplers.topk import TopK

FOREIGN = """
from saccade.samplers import Sampler
class Mine(Sampler):
    "Keeps the last tokens."
    gap: int = 1
    def priority(self, scene, importance, gaze_uv, keep):
        return scene.row.float()
"""


@pytest.fixture
def foreign(tmp_path, monkeypatch):
    """A package acme with modules mine (good), two (two strategies), needs (a package that is not there)."""
    package = tmp_path / "acme"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.py").write_text(FOREIGN)
    (package / "two.py").write_text(FOREIGN + "class Second(Mine):\n    pass\n")
    (package / "needs.py").write_text("import acmelib_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for module in [name for name in sys.modules if name.partition(".")[0] == "acme"]:
        del sys.modules[module]


def test_names_are_the_files():
    assert names("samplers") == sorted(names("samplers"))
    assert {"topk", "random", "uniform", "logpolar", "hybrid", "cortical"} <= set(names("samplers"))
    assert {"query", "uncertainty", "saliency"} <= set(names("planners"))


def test_load_by_name_by_settings_and_as_is():
    assert load("samplers", "topk", Sampler) == TopK()
    made = load("samplers", {"name": "hybrid", "ratio": 0.6}, Sampler)
    assert made == Hybrid(ratio=0.6)
    assert load("samplers", made, Sampler) is made
    assert made.spec()["name"] == "hybrid" and made.with_settings(ratio=0.8) == Hybrid(ratio=0.8)


def test_unknown_names_list_the_folder():
    said = r"no sampler named 'topkk'. Did you mean 'topk'\? In saccade/samplers/: cortical, .*topk"
    with pytest.raises(UnknownName, match=said):
        load("samplers", "topkk", Sampler)


def test_a_typo_is_told_the_name_that_was_meant():
    with pytest.raises(UnknownName, match=r"Did you mean 'topk'\?"):
        find("samplers", "topkk", Sampler)
    with pytest.raises(UnknownName) as far:
        find("samplers", "nothing_like_it", Sampler)
    assert "Did you mean" not in str(far.value)


@pytest.mark.parametrize("name", ["../topk", ".topk", "acme..mine", "a/b", "top k", ""])
def test_what_cannot_be_a_name_is_unknown(name):
    with pytest.raises(UnknownName, match="no sampler named"):
        find("samplers", name, Sampler)


@pytest.mark.parametrize("spec", [{"ratio": 0.7}, {"name": 3}, 5, None, ["topk"]])
def test_an_entry_needs_a_name(spec):
    with pytest.raises(ConfigError, match="needs a 'name'"):
        load("samplers", spec, Sampler)


def test_settings_are_checked_and_the_message_lists_them():
    with pytest.raises(ConfigError, match=r"'hybrid': ratio: must be at least 0 and at most 1 \(got 1.5\).*ratio=0.7"):
        load("samplers", {"name": "hybrid", "ratio": 1.5}, Sampler)
    with pytest.raises(ConfigError, match=r"ratioo: there is no such setting"):
        load("samplers", {"name": "hybrid", "ratioo": 0.5}, Sampler)
    assert settings_text(TopK) == "none"


def test_a_wrong_value_is_told_its_range_in_plain_words_and_only_a_wrong_name_lists_the_names():
    with pytest.raises(ConfigError) as refused:
        checked(Hybrid, {"ratio": 1.5})
    told = "ratio: must be at least 0 and at most 1 (got 1.5)"
    assert str(refused.value) == told
    with pytest.raises(ConfigError, match=r"ratioo: there is no such .*Did you mean 'ratio'\? Settings: ratio, "):
        checked(Hybrid, {"ratioo": 0.5})
    with pytest.raises(ConfigError, match=r"^fixations: must be at least 0 and at most 64 \(got 99\)$"):
        checked(Episode, {"fixations": 99})
    with pytest.raises(ConfigError, match=r"^fixation: there is no such setting \(got 2\)\. Did .*\? Settings: eff"):
        checked(Episode, {"fixation": 2})
    with pytest.raises(ConfigError, match=r"^budget 'fixed': tokens: a number of tokens, or one of"):
        checked(Episode, {"budget": {"name": "fixed", "tokens": "many"}})


def test_someone_elses_strategy(foreign):
    mine = load("samplers", {"name": "acme.mine", "gap": 2}, Sampler)
    assert mine.spec() == {"name": "acme.mine", "gap": 2}
    assert load("samplers", mine.spec(), Sampler) == mine


def test_someone_elses_mistakes(foreign):
    with pytest.raises(UnknownName, match="no module 'acme.absent'"):
        find("samplers", "acme.absent", Sampler)
    with pytest.raises(UnknownName, match="no module 'nobody.mine'"):
        find("samplers", "nobody.mine", Sampler)
    with pytest.raises(ConfigError, match="exactly one public Sampler; it holds 2"):
        find("samplers", "acme.two", Sampler)
    with pytest.raises(ConfigError, match="needs the package 'acmelib_that_is_not_there': pip install"):
        find("samplers", "acme.needs", Sampler)
