"""What engines declare: their identity, what they can do, and that a wrapped encoder is that encoder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import Field

import saccade
from saccade.config import Episode
from saccade.engines import Engine, EngineSpec, ForwardingEncoder, choose_engine, tuning
from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError
from saccade.picture import Picture
from saccade.registry import find, names
from saccade.types import Canvas, Part
from tests import tiny


class Mine(EngineSpec):
    """An engine of someone else's."""

    temperature: float = Field(0.0, description="Changes answers.")
    num_workers: int = tuning(1, description="Changes none.")

    @contextmanager
    def open(self) -> Iterator[Engine]:
        yield from ()

    open_encoder = open_reader = open


def test_a_new_setting_is_part_of_the_identity_unless_it_says_otherwise() -> None:
    assert Mine().identity() != Mine(temperature=0.5).identity()
    assert Mine().identity() == Mine(num_workers=4, device="cuda", model="other").identity()
    assert HF(drop="fastv").identity()["drop"] == {"name": "fastv", "layer": 2, "keep": 0.5}
    for name in names("engines"):
        spec = find("engines", name, EngineSpec)()
        assert {"name", "dtype", "max_px", "max_new_tok", "reduction"} <= spec.identity().keys()
        assert not {"model", "device"} & spec.identity().keys(), "the weights and the machine are told apart from it"


def test_capabilities_are_declared_not_looked_for() -> None:
    listening = Episode(scorer="attention", glimpse=16)
    with pytest.raises(ConfigError, match="needs the language model's attention"):
        listening.check_engine(Mine())
    listening.check_engine(HF())
    with pytest.raises(ConfigError, match="encodes while it looks"):
        Episode(encoder="lazy").check_engine(Mine())
    assert {name: find("engines", name, EngineSpec).windows for name in names("engines")} == {"hf": True, "vllm": True}


def test_a_forwarding_encoder_gives_what_the_other_one_gives(engine: HFEngine) -> None:
    picture, wrapped = Picture.open(tiny.page(150, 100)), ForwardingEncoder(engine)
    assert wrapped.family is engine.family
    (encoding,) = wrapped.encode([wrapped.prepare(picture, 20)])
    assert encoding.tokens.equal(engine.encode([engine.prepare(picture, 20)])[0].tokens)
    assert wrapped.query("total?").tokens.equal(engine.query("total?").tokens)
    assert wrapped.windows(wrapped.prepare(picture)).num_patches == 0
    canvas = Canvas(encoding.grid.rows, encoding.grid.cols, (Part.of(encoding),))
    assert wrapped.attention(canvas, "total?").attention.shape == (len(encoding),)


def test_load_takes_an_engine_as_the_commands_do(qwen2_5_vl: Path) -> None:
    for given in ({"name": "hf", "max_new_tok": 2}, HF(model=str(qwen2_5_vl), max_new_tok=2)):
        with saccade.load(str(qwen2_5_vl), engine=given) as eye:
            assert isinstance(eye.engine, HFEngine) and eye.engine.spec == HF(model=str(qwen2_5_vl), max_new_tok=2)
    with pytest.raises(ConfigError, match="no engine named 'bogus'"), saccade.load(engine="bogus"):
        pass
    assert isinstance(choose_engine("auto"), EngineSpec)
