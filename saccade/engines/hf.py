"""The transformers engine: one process, no server, every family. Caches the keys and values of canvases it has read.

A canvas only ever grows at its end, so what an earlier fixation computed stays valid: a fixation prefills its new
tokens and the question, nothing else.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field, field_validator
from torch import Tensor

from saccade.engines import Encoder, Engine, Reader, tuning
from saccade.engines._checkpoint import Checkpoint
from saccade.engines._listening import Listening, canvas_keys
from saccade.engines._speech import Speech
from saccade.engines._staged import Staged, joined
from saccade.errors import ConfigError, EngineError, QuestionError
from saccade.families import Family, Prepared, checkpoint_file
from saccade.machine import resolved_device
from saccade.metrics.calibration import CALIBRATION_FILE, Calibration
from saccade.picture import Picture
from saccade.reduction import Reduction
from saccade.reduction._drop import drop_of
from saccade.registry import find, load
from saccade.types import Answer, Canvas, Encoding, Part, Query

StepOn = Callable[[Tensor, Tensor], Tensor]  # runs one more token, (1, 1, D) at (P, 1): its last hidden state (1, D)


class HF(Checkpoint):
    """transformers: reads any supported checkpoint on CPU or GPU."""

    attention: ClassVar[bool] = True
    windows: ClassVar[bool] = True

    drop: str | dict[str, Any] | None = Field(None, description="What drops tokens inside the decoder: fastv, ...")
    num_canvases: int = tuning(8, ge=1, description="Canvases whose keys and values are kept.")

    @field_validator("drop")
    @classmethod
    def _drop(cls, value: Any) -> Any:
        return value and drop_of(value).spec()

    @contextmanager
    def open(self) -> Iterator["HFEngine"]:
        """Loads the checkpoint; frees it at the end.

        Raises:
            ConfigError: no such device or checkpoint, or one of a family that is not supported.
        """
        with self._open(self._device()) as engine:
            yield engine

    @contextmanager
    def open_encoder(self) -> Iterator[Encoder]:
        """Loads what encodes: the vision tower and the embeddings, without the decoder's layers. Raises as `open`."""
        with self._open(torch.device("cpu")) as engine:
            engine.family.language_model.layers = torch.nn.ModuleList()  # never on the device, and gone from here on
            engine.family.model.to(self._device())
            engine.device = self._device()
            yield engine

    @contextmanager
    def open_reader(self) -> Iterator[Reader]:
        """Loads what reads; here that is everything, in this process. Raises as `open`."""
        with self.open() as engine:
            yield engine

    def _device(self) -> torch.device:
        return resolved_device(self.device)

    @contextmanager
    def _open(self, at: torch.device) -> Iterator["HFEngine"]:
        dtype = {"auto": torch.bfloat16 if self._device().type == "cuda" else torch.float32}.get(self.dtype)
        path = checkpoint(self.model)
        family = find("families", model_type(path), Family)
        with quiet() if self.model == "nano" else nullcontext():
            opened = family.open(path, at, dtype or getattr(torch, self.dtype), self.max_px)
        if self.reduction is not None:
            opened.reduce(load("reduction", self.reduction, Reduction))
        engine = HFEngine(opened, self, Calibration.load(checkpoint_file(path, CALIBRATION_FILE)))
        try:
            yield engine
        finally:
            engine.close()


@contextmanager
def quiet() -> Iterator[None]:
    """Loads without transformers' progress bar: for a model that is there in a blink."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def checkpoint(model: str) -> str:
    """Folder or hub name that `model` stands for."""
    return str(Path(__file__).parents[1] / "nano") if model == "nano" else model


def model_type(path: str) -> str:
    """`model_type` of a checkpoint's configuration.

    Raises:
        ConfigError: there is no such checkpoint, here or on the hub.
    """
    from transformers import AutoConfig

    try:
        return str(AutoConfig.from_pretrained(path).model_type)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no model {path!r}: {str(error).splitlines()[0]} Give 'nano', a checkpoint folder, or a name on the hub"
        ) from error


class HFEngine(Listening, Engine):
    """A loaded checkpoint that encodes and reads. Not thread-safe: one request at a time."""

    def __init__(self, family: Family, spec: HF, calibration: Calibration | None = None) -> None:
        self.family, self.spec, self.calibration = family, spec, calibration or Calibration()
        self.device: torch.device = family.model.device
        self.dtype = family.model.dtype
        self.drop = drop_of(spec.drop) if spec.drop else None
        limits = family.language_model.config.max_position_embeddings, spec.max_new_tok
        ends = family.model.generation_config.eos_token_id
        self.speech = Speech.of(family.tokenizer, ends, *limits)
        # Part keys -> (keys and values of that canvas, number of tokens up to the end of each part).
        self._caches: OrderedDict[tuple[str, ...], tuple[Any, tuple[int, ...]]] = OrderedDict()

    def close(self) -> None:
        """Frees the caches and the model."""
        self._caches.clear()
        del self.family
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def forget(self) -> None:
        """Drops what was read before: the next canvas pays for all of itself."""
        self._caches.clear()

    # Encoder

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        """Decodes and cuts one picture."""
        return self.family.prepare(picture, max_tok)

    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        """One pass of the vision tower; encodings are on the CPU."""
        encodings = [_to_cpu(encoding) for encoding in self.family.encode(batch)]
        behind = self.family.reduction
        return encodings if behind is None else [behind.after(encoding) for encoding in encodings]

    def windows(self, prepared: Prepared) -> Any:
        """One picture to be encoded window by window. Raises ConfigError: its family's tower has no windows."""
        return self.family.windows(prepared)

    @torch.inference_mode()
    def query(self, question: str) -> Query:
        """The question's own tokens, without the prompt around it."""
        if not question.strip():
            raise QuestionError("the question is empty")
        ids = self.family.tokenizer(question, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        tokens = self.family.embed(torch.tensor(ids, device=self.device)).cpu()
        return Query(question, tokens, torch.ones(len(ids)))

    # Reader

    @torch.inference_mode()
    def read(self, canvas: Canvas, question: str) -> Answer:
        """Greedy answer."""
        started = time.perf_counter()
        prefix, suffix = self.family.prompt(question)
        before, parts, after = self.family.positions(canvas, len(prefix), len(suffix))
        self.speech.check_length(max(len(prefix) + len(canvas) + len(suffix), int(after[0, -1]) + 1))
        cuts = () if self.drop is None else self.drop.cuts(len(self.family.language_model.layers), len(canvas))
        if cuts:
            staged, cached_tok, canvas_tok = Staged(self.family, cuts), 0, len(prefix) + len(canvas)
            visual = [self._visual(part) for part in canvas.parts]
            embeds = joined([self._embed(prefix), *visual, self._embed(suffix)])
            hidden = staged.prefill(embeds, torch.cat([before, *parts, after], 1), len(prefix), len(canvas))[:, -1]
            ids, logprobs = self._decode(staged.step, hidden, after[:, -1:] + 1)
        else:
            cache, ends, cached_tok = self._canvas_cache(canvas, prefix, before, parts)
            hidden, canvas_tok = self._prefill(cache, self._embed(suffix), after), ends[-1]
            ids, logprobs = self._decode(lambda *at: self._prefill(cache, *at), hidden, after[:, -1:] + 1)
            cache.crop(ends[-1] - cache.get_seq_length())  # negative: takes question and answer off again
            self._keep(canvas_keys(canvas), cache, ends)
        return self.speech.answer(
            ids,
            logprobs,
            self._embed(ids)[0].cpu() if ids else None,
            self.calibration,
            visual_tok=len(canvas),
            cached_tok=cached_tok,
            prefill_tok=canvas_tok - cached_tok + len(suffix),
            seconds=time.perf_counter() - started,
        )

    def _embed(self, ids: Sequence[int]) -> Tensor:
        return self.family.embed(torch.tensor(ids, device=self.device)).unsqueeze(0)  # (1, T, D)

    def _prefill(self, cache: Any, embeds: Tensor, positions: Tensor) -> Tensor:
        """Runs (1, T, D) embeddings at positions (P, T) behind the cache; returns the last hidden state (1, D)."""
        return self.family.forward(embeds, positions.to(self.device), cache)[:, -1]

    def _decode(self, step_on: StepOn, hidden: Tensor, position: Tensor) -> tuple[list[int], list[float]]:
        """Greedy tokens from `position` (P, 1) until an end token; their log-probabilities, the end's included."""
        ids: list[int] = []
        logprobs: list[float] = []
        for step in range(self.spec.max_new_tok):
            logprob, token = self.family.logits(hidden).float().log_softmax(-1).max(-1)
            if not math.isfinite(float(logprob)):
                raise EngineError("the model gave logits that are not finite; try --set engine.dtype=float32")
            logprobs.append(float(logprob))
            if int(token) in self.speech.end_ids:
                break
            ids.append(int(token))
            if step + 1 < self.spec.max_new_tok:
                hidden = step_on(self._embed([ids[-1]]), position + step)
        return ids, logprobs

    def _canvas_cache(
        self, canvas: Canvas, prefix: list[int], before: Tensor, parts: list[Tensor]
    ) -> tuple[Any, tuple[int, ...], int]:
        """Keys and values of prefix and canvas, where each part ends in them, and how many tokens were there before."""
        keys = canvas_keys(canvas)
        cache, ends = self._longest(keys)
        cached_tok = cache.get_seq_length()
        embeds = [self._embed(prefix), *(self._visual(part) for part in canvas.parts)][len(ends) :]
        positions = [before, *parts][len(ends) :]
        if embeds:
            self._prefill(cache, joined(embeds), torch.cat(positions, 1))
        for embed in embeds:
            ends = (*ends, (ends[-1] if ends else 0) + embed.shape[1])
        return cache, ends, cached_tok

    def _keep(self, keys: tuple[str, ...], cache: Any, ends: tuple[int, ...]) -> None:
        """Remembers a canvas. Only after a whole read: one that failed half-way leaves nothing behind."""
        self._caches[keys] = (cache, ends)
        while len(self._caches) > self.spec.num_canvases:
            self._caches.popitem(last=False)

    def _visual(self, part: Part) -> Tensor:
        return part.wide.to(self.device, self.family.model.dtype).unsqueeze(0)

    def _new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self.family.language_model.config)

    def _longest(self, keys: tuple[str, ...]) -> tuple[Any, tuple[int, ...]]:
        """The cached canvas sharing the longest beginning with `keys`, cut to it, with the end of each shared entry.

        A canvas that is wholly a beginning of this one is grown in place; another one is copied, because it may be
        read again (private canvases of one image share their glimpse).
        """
        shared = {other: _common(keys, other) for other in self._caches}
        best = max(shared, key=lambda other: shared[other], default=())
        known = shared.get(best, 0)
        if known and known == len(best):
            return self._caches.pop(best)
        copy = self._new_cache()
        if not known:
            return copy, ()
        source, ends = self._caches[best]
        for number, layer in enumerate(source.layers):
            length = ends[known - 1]
            copy.update(layer.keys[:, :, :length], layer.values[:, :, :length], number)
        return copy, ends[:known]


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many leading entries two tuples share."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _to_cpu(encoding: Encoding) -> Encoding:
    return replace(
        encoding,
        tokens=encoding.tokens.cpu(),
        features=encoding.features.cpu(),
        received=encoding.received.cpu(),
        deepstack=None if encoding.deepstack is None else encoding.deepstack.cpu(),
    )
