"""Engines run models. An engine is a resource: `with spec.open() as engine`, never pickled, closed at the end.

An encoder turns pictures into encodings and questions into queries; a reader answers a question about a canvas. What a
reader is given is the whole canvas, every time: caches hold what it has seen before, so asking again after a restart,
or asking another reader, costs time and never changes an answer.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from saccade.families import Prepared
from saccade.picture import Picture
from saccade.types import Answer, Canvas, Encoding, Query


class Encoder(Protocol):
    """Pictures and questions to tensors."""

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        """Decodes and cuts one picture (CPU). Raises PictureError."""
        ...

    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        """One pass of the vision tower."""
        ...

    def query(self, question: str) -> Query:
        """The question's tokens as the language model embeds them. Raises QuestionError."""
        ...


class Reader(Protocol):
    """Canvas and question to answer."""

    def read(self, canvas: Canvas, question: str) -> Answer:
        """Answers greedily from the canvas alone. Raises QuestionError, EngineError."""
        ...

    def forget(self) -> None:
        """Drops what was read before: the next canvas pays for all of itself."""
        ...


class Engine(Encoder, Reader, Protocol):
    """Both in one process."""


class Spec(Protocol):
    """Settings that open an engine, or one half of it. A value: it travels to the worker that opens it."""

    @property
    def model(self) -> str:
        """'nano' (bundled), a checkpoint folder, or a name on the hub."""
        ...

    def open(self) -> AbstractContextManager[Engine]:
        """Both halves. Raises ConfigError, EngineDead."""
        ...

    def open_encoder(self) -> AbstractContextManager[Encoder]:
        """The half that encodes, without the decoder in memory. Raises ConfigError."""
        ...

    def open_reader(self) -> AbstractContextManager[Reader]:
        """The half that reads. Raises ConfigError, EngineDead."""
        ...
