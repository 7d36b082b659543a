"""Everything that looks and reads, and the training of nano, with the model on another device than the pages.

They need no GPU. They find tensors that are left on the wrong device; what CUDA computes they cannot say.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import saccade
from pipelines.execute.serialization import freeze, thaw
from saccade.config import Episode
from saccade.engines.hf import HF, HFEngine
from saccade.episode import episodes, run, see
from saccade.picture import Picture
from saccade.registry import names
from saccade.training import nano
from saccade.training.nano import NanoTraining, train
from saccade.types import Canvas, Part, Question, Selection, Trace
from tests import tiny
from tests.second_device import CUDA, Second, second_device

FAMILIES: dict[str, Callable[[Path], Path]] = {
    "qwen2_vl": tiny.qwen2_vl,
    "qwen2_5_vl": tiny.qwen2_5_vl,
    "qwen3_vl": tiny.qwen3_vl,
    "llava": tiny.llava,
}
PAGE = tiny.page(220, 300)
ASKED = ["What is the total?", "What is the date and what is the name?"]
LOOKS: dict[str, Any] = {"tokens": 12, "fixations": 2, "stop_at": 1.1}
SETTINGS = {"samplers": "sampler", "importance": "scorer", "planners": "planner", "integration": "integrate"}
TRAINED = {"cross", "crosslevel", "learned", "late"}
"""Scorers that read a folder of trained weights."""


@pytest.fixture
def cuda() -> Iterator[torch.device]:
    with second_device() as device:
        yield device


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES[request.param](tmp_path_factory.mktemp(request.param))


def looked(path: Path, engine: dict[str, Any] | None = None, **settings: Any) -> list[Trace]:
    """Two questions about one page, by a model on the second device, in the precision that it has there."""
    spec = {"name": "hf", "device": "cuda", "max_new_tok": 4, **(engine or {})}
    with saccade.load(str(path), engine=spec, **settings) as eye:
        assert isinstance(eye.engine, HFEngine) and eye.engine.device.type == "cuda"
        assert {each.device for each in eye.engine.family.model.parameters()} == {CUDA}
        return eye.look_many(PAGE, ASKED)


def test_tensors_of_two_devices_do_not_mix(cuda: torch.device) -> None:
    here, there = torch.arange(4), torch.arange(4, device=cuda)
    mixtures = (
        lambda: here + there,
        lambda: torch.cat([here, there]),
        lambda: torch.where(there > 1, there, here),
        lambda: here[there],
        lambda: torch.nn.Linear(4, 2).to(cuda)(here.float()),
        lambda: torch.nn.Embedding(4, 2)(there),
    )
    for mix in mixtures:
        with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
            mix()
    with pytest.raises(TypeError, match="Use Tensor.cpu"):
        there.numpy()
    with pytest.raises(TypeError, match="Use Tensor.cpu"):
        np.asarray(there)
    assert (there + 1).device == there[here].device == torch.zeros_like(there).device == here.to(there).device == CUDA
    assert (there + torch.tensor(1)).tolist() == [1, 2, 3, 4], "a number may lie anywhere"
    assert there.cpu().numpy().tolist() == here.tolist()
    moved = torch.nn.Linear(4, 2).to(cuda)
    moved(there.float()).sum().backward()
    assert moved.weight.grad is not None and moved.weight.grad.device == CUDA


def test_it_is_gone_afterwards() -> None:
    before = torch.cuda.is_available(), torch.cuda.device_count()
    with second_device():
        assert type(torch.zeros(1, device="cuda")) is Second and torch.cuda.device_count() == 1
    assert (torch.cuda.is_available(), torch.cuda.device_count()) == before
    assert type(torch.zeros(1)) is torch.Tensor and not torch.__future__.get_swap_module_params_on_conversion()


VIEWS: dict[str, dict[str, Any]] = {
    "ink": {},
    "full": {"sampler": "full"},
    "resize": {"sampler": "resize"},
    "gundam": {"sampler": "gundam"},
    "effort low": {"effort": "low"},
    "effort high": {"effort": "high", "stop_at": 1.1},
    "glimpse": {**LOOKS, "glimpse": 16},
    "all the rest": {**LOOKS, "rest": "all"},
    "lazy": {**LOOKS, "encoder": "lazy"},
    "mixed": {**LOOKS, "encoder": "mixed"},
    "parts": {**LOOKS, "question_parts": "apart"},
    "levels": {**LOOKS, "levels": 3, "sampler": "pyramid"},
    "fovea": {**LOOKS, "fovea": 3},
    "attention": {**LOOKS, "scorer": "attention", "glimpse": 20},
}
REFUSED = {("gundam", "llava"), ("lazy", "llava"), ("mixed", "llava"), ("lazy", "qwen2_vl"), ("lazy", "qwen3_vl")}


@pytest.mark.parametrize("way", VIEWS)
def test_each_view_of_each_family(way: str, checkpoint: Path, cuda: torch.device) -> None:
    if any(way == refused and family in checkpoint.name for refused, family in REFUSED):
        with pytest.raises(saccade.ConfigError):
            looked(checkpoint, **VIEWS[way])
        return
    for trace in looked(checkpoint, **VIEWS[way]):
        assert trace.answer.visual_tok
        assert trace.answer.tokens is None or trace.answer.tokens.device.type == "cpu", "none: an empty answer"


@pytest.mark.parametrize(
    "kind, name",
    [(kind, name) for kind in SETTINGS for name in names(kind) if name not in {*TRAINED, "attention", "oracle"}],
)
def test_each_strategy(kind: str, name: str, qwen2_5_vl: Path, cuda: torch.device) -> None:
    """But those that need trained weights, a glimpse (`attention`, which has a view above) or boxes."""
    assert all(trace.steps for trace in looked(qwen2_5_vl, **{**LOOKS, SETTINGS[kind]: name}))


@pytest.mark.parametrize(
    "engine",
    [
        {"reduction": {"name": "tome", "r": 4}},
        {"reduction": {"name": "fusion"}},
        {"reduction": {"name": "early_exit"}},
        {"reduction": {"name": "pooling"}},
        {"reduction": {"name": "hired"}},
        {"drop": {"name": "fastv", "layer": 1}},
        {"drop": {"name": "pyramiddrop", "stages": 2}},
        {"dtype": "float16"},
    ],
    ids=lambda engine: "-".join(str(value) for value in engine.values()),
)
def test_each_reduction(engine: dict[str, Any], qwen2_5_vl: Path, cuda: torch.device) -> None:
    assert all(trace.answer.visual_tok for trace in looked(qwen2_5_vl, engine, sampler="full"))


def test_the_answers_are_those_of_the_cpu(qwen2_5_vl: Path) -> None:
    """Nothing is computed elsewhere in truth, so the same numbers must come out."""
    with second_device():
        there = looked(qwen2_5_vl, {"dtype": "float32"}, **LOOKS)
    with saccade.load(str(qwen2_5_vl), engine={"name": "hf", "device": "cpu", "max_new_tok": 4}, **LOOKS) as eye:
        here = eye.look_many(PAGE, ASKED)
    for a, b in zip(there, here, strict=True):
        assert a.answer.text == b.answer.text
        assert [step.selection.index.tolist() for step in a.steps] == [
            step.selection.index.tolist() for step in b.steps
        ]


def test_halves_of_an_engine_exchange_what_the_graph_sends(qwen2_5_vl: Path, cuda: torch.device) -> None:
    spec, episode = HF(model=str(qwen2_5_vl), device="cuda", max_new_tok=4), Episode(**LOOKS)
    with spec.open_encoder() as encoder, spec.open_reader() as reader:
        seen = see(episode, encoder, Picture.open(PAGE), [Question(str(n), text) for n, text in enumerate(ASKED)])
        part = Part.of(seen.encoding, Selection.keep(torch.arange(5), len(seen.encoding)))
        canvas = Canvas(seen.encoding.grid.rows, seen.encoding.grid.cols, (thaw(freeze(part)),))
        assert reader.choose(canvas, ASKED[0], ["one", "two"]).text in ("one", "two")
        assert reader.match(canvas, ASKED[0], "[0-9]+").text.isdigit()
        assert all(isinstance(outcome, Trace) for outcome in run(episodes(episode, seen), reader))


def test_nano_trains(cuda: torch.device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nano, "num_cpus", lambda: 1)
    steps = {"dense_steps": 1, "point_steps": 1, "joint_steps": 1}
    config = NanoTraining(size="tiny", crops=4, pages=1, device="cuda", processes=1, **steps)
    assert (train(config, tmp_path) / "model.safetensors").exists()
