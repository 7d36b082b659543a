"""The reader replica: canvases to answers. An engine with `aread` reads many at a time, another one in turn."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from pipelines.serving.settings import ServeConfig
from pipelines.wire import freeze, thaw
from saccade.engines._speech import CANNOT_READ
from saccade.errors import EngineDead, EngineError, SaccadeError, describe
from saccade.types import Answer, Canvas


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of an answer."""

    text: str
    data: bytes  # what the token stands for, which may be part of a character
    known: bool = True  # False: the text is right, but not in which tokens the model said it


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, with its tokens where they were asked for."""

    answer: Answer
    pieces: tuple[Piece, ...] = ()


class ReaderReplica:
    """Holds the language model."""

    def __init__(self, config: ServeConfig, threads: int) -> None:
        torch.set_num_threads(threads)
        self.stack = ExitStack()
        self.engine: Any = self.stack.enter_context(config.engine_spec.open_reader())
        # One thread: a request that was given up goes on in it to its end, and the next one waits for that.
        self.turns = self.stack.enter_context(ThreadPoolExecutor(1, "read"))
        self.dead = ""

    def __del__(self) -> None:
        self.stack.close()

    def check_health(self) -> None:
        """Raises when the engine is gone: Serve then starts another replica."""
        if self.dead:
            raise EngineDead(self.dead)

    async def read(self, canvas: Canvas, question: str, with_pieces: bool) -> Said | SaccadeError:
        """The answer, or the error that costs this request. Canvas and answer travel packed by `freeze`."""
        try:
            if hasattr(self.engine, "aread"):
                answer = await self.engine.aread(thaw(canvas), question)
                return freeze(Said(answer, pieces_of(self.engine, answer) if with_pieces else ()))
            return await asyncio.get_running_loop().run_in_executor(
                self.turns, self._read, canvas, question, with_pieces
            )
        except EngineDead as error:
            self.dead = describe(error)
            return error
        except SaccadeError as error:
            return error
        except Exception as error:
            if isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError):
                self.dead = describe(error)
                return EngineDead(self.dead)
            return EngineError(describe(error))

    def _read(self, canvas: Canvas, question: str, with_pieces: bool) -> Said:
        answer = self.engine.read(thaw(canvas), question)
        return freeze(Said(answer, pieces_of(self.engine, answer) if with_pieces else ()))


@torch.inference_mode()
def pieces_of(engine: Any, answer: Answer) -> tuple[Piece, ...]:
    """The tokens of an answer, found by their embeddings: as rows of the table, where the engine holds one.

    Where it does not, the tokenizer's own way to say the text is compared with them; when it is another, the pieces are
    the tokenizer's and not `known`.
    """
    if answer.tokens is None or not len(answer.tokens):
        return ()
    family = engine.family
    tokenizer = family.tokenizer
    if hasattr(family.model, "get_input_embeddings"):
        return tuple(_piece(tokenizer, token) for token in _rows(family, answer.tokens))
    for text in (answer.text, f" {answer.text}", CANNOT_READ):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(ids) == len(answer.tokens) and torch.equal(engine.embeddings(ids), answer.tokens):
            return tuple(_piece(tokenizer, token) for token in ids)
    ids = tokenizer(answer.text, add_special_tokens=False)["input_ids"]
    return tuple(replace(_piece(tokenizer, token), known=False) for token in ids)


def _rows(family: Any, embeddings: Tensor) -> Sequence[int]:
    """(T,) ids of (T, D) embeddings, which are rows of the table: first by one column, then by all."""
    table = family.model.get_input_embeddings().weight  # (V, D)
    wanted = embeddings.to(table.device, table.dtype)
    ids = []
    for row in wanted:
        alike = (table[:, 0] == row[0]).nonzero().flatten()
        ids.append(int(alike[(table[alike] == row).all(-1).nonzero()[0]]))
    return ids


def _piece(tokenizer: Any, token: int) -> Piece:
    text = str(tokenizer.decode([token], skip_special_tokens=False))
    return Piece(text, _bytes(tokenizer, token, text))


def _bytes(tokenizer: Any, token: int, text: str) -> bytes:
    """What a token of a byte-level vocabulary stands for; where the vocabulary is another, its text in UTF-8."""
    if "\ufffd" not in text:
        return text.encode("utf-8", "replace")
    known = _byte_of()
    name = str(tokenizer.convert_ids_to_tokens(token))
    return bytes(known[char] for char in name) if all(char in known for char in name) else text.encode()


def _byte_of() -> dict[str, int]:
    """GPT-2's printable stand-ins for bytes (Radford et al. 2019), as byte-level tokenizers write them."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    return {chr(byte): byte for byte in kept} | {chr(256 + place): byte for place, byte in enumerate(others)}
