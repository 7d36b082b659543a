"""The reader replica: canvases to answers, with the answer's tokens if they are requested."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pipelines.execute.async_reader import Turns
from pipelines.execute.serialization import freeze, thaw
from pipelines.serving.replica import Replica
from pipelines.serving.settings import ServeConfig
from saccade.errors import SaccadeError
from saccade.types import Answer, Canvas


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an answer."""

    text: str
    data: bytes  # what the token stands for, which may be part of a character


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, with its tokens if they were requested."""

    answer: Answer
    pieces: tuple[Piece, ...] = ()


class ReaderReplica(Replica):
    """Holds the language model."""

    def __init__(self, config: ServeConfig, threads: int) -> None:
        super().__init__(threads)
        self.engine: Any = self.stack.enter_context(config.engine_spec.open_reader())
        self.turns = Turns(self.engine)
        self.stack.callback(self.turns.close)

    async def read(self, canvas: Canvas, question: str, with_pieces: bool) -> Said | SaccadeError:
        """The answer, or the error that fails this request. Canvas and answer travel packed by `freeze`."""
        try:
            answer = await self.turns.read(thaw(canvas), question)
            pieces = pieces_of(self.engine.speech.tokenizer, answer.token_ids) if with_pieces else ()
        except Exception as error:
            return self.failed(error)
        return freeze(Said(answer, pieces))


def pieces_of(tokenizer: Any, ids: Sequence[int]) -> tuple[Piece, ...]:
    """The tokens of these ids, as text and as bytes."""
    texts = [str(tokenizer.decode([token], skip_special_tokens=False)) for token in ids]
    return tuple(Piece(text, _bytes(tokenizer, token, text)) for token, text in zip(ids, texts, strict=True))


def _bytes(tokenizer: Any, token: int, text: str) -> bytes:
    """What a token of a byte-level vocabulary stands for; where the vocabulary is another, its text in UTF-8."""
    if "\ufffd" not in text:
        return text.encode("utf-8", "replace")
    name, known = str(tokenizer.convert_ids_to_tokens(token)), _byte_of()
    return bytes(known[char] for char in name) if all(char in known for char in name) else text.encode()


@cache
def _byte_of() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes (Radford et al. 2019), as byte-level tokenizers write them."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {char: byte for byte, char in bytes_to_unicode().items()}
