"""The transformers engine: one process, no server, every family. Caches the keys and values of canvases it has read.

A canvas only ever grows at its end, so what an earlier fixation computed stays valid: a fixation prefills its new
tokens and the question only.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from saccade.card import CARD_FILE
from saccade.clock import stage
from saccade.engines import Encoder, Engine, Reader, attempt, checkpoint, tuning
from saccade.engines._answers import Speech
from saccade.engines._attention import Listening, canvas_keys, most_attended
from saccade.engines._checkpoint import Checkpoint
from saccade.engines._configuration import model_type
from saccade.engines._constrained import Choices, Guide, Pattern, vocabulary_of
from saccade.engines._decoder import Decoder, Memory, passes, wide
from saccade.engines._dropping import Staged
from saccade.engines._gradient import Differentiable
from saccade.errors import EngineError, QuestionError, SaccadeError
from saccade.families import Family, Prepared, checkpoint_file, own_gaze
from saccade.families._foreign import Foreign
from saccade.heads.files import holds
from saccade.heads.projection import Projection
from saccade.machine import resolved_device
from saccade.metrics.calibration import Calibration
from saccade.picture import Picture
from saccade.reduction import Reduction
from saccade.reduction._drop import Cut, drop_of
from saccade.registry import find, load
from saccade.tokens.clauses import parts_of
from saccade.types import Answer, Canvas, Encoding, Part, Query


class HF(Checkpoint):
    """transformers: reads any supported checkpoint on CPU or GPU."""

    attention: ClassVar[bool] = True
    windows: ClassVar[bool] = True
    copied: ClassVar[bool] = True

    drop: str | dict[str, Any] | None = Field(None, description="What drops tokens inside the decoder: fastv, ...")
    vit: str | None = Field(None, description="A ViT (folder, or a name on the hub) that encodes in the tower's place.")
    projection: Annotated[str | None, holds(Projection)] = Field(None, description="Folder of the ViT's projection.")
    together: int = tuning(16, ge=1, description="Questions about one canvas that are read together.")
    num_canvases: int = tuning(16, ge=1, description="Canvases whose keys and values are kept.")

    @field_validator("drop")
    @classmethod
    def _drop(cls, value: Any) -> Any:
        return value and drop_of(value).spec()

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.vit is None) != (self.projection is None):
            raise ValueError("vit and projection go together: saccade train projection --vit VIT --out PROJECTION")
        return self

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
            engine.family.model.lm_head = torch.nn.Identity()  # so is what only answers need
            engine.family.model.to(self._device())
            engine.device = self._device()
            yield engine

    @contextmanager
    def open_reader(self) -> Iterator[Reader]:
        """Loads the reader, which is the whole model here. Raises as `open`."""
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
            model = family.open(path, at, dtype or getattr(torch, self.dtype), self.max_px)
        card = self.measured(checkpoint_file(path, CARD_FILE))
        model.gaze, model.print_px, model.question_parts = own_gaze(path), card.print_px, card.question_parts
        if self.vit is not None and self.projection is not None:
            model = Foreign.trained(model, self.vit, self.projection, self._device())
        if self.reduction is not None:
            model.reduce(load("reduction", self.reduction, Reduction))
        engine = HFEngine(model, self, card.confidence)
        del model  # the engine alone holds it, so that closing frees it
        try:
            yield engine
        finally:
            engine.close()


@contextmanager
def quiet() -> Iterator[None]:
    """Loads without transformers' progress bar: for a model that loads in no time."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


class HFEngine(Listening, Differentiable, Engine):
    """A loaded checkpoint that encodes and reads. Not thread-safe: one request at a time."""

    def __init__(self, family: Family, spec: HF, calibration: Calibration | None = None) -> None:
        self.family, self.spec, self.calibration = family, spec, calibration or Calibration()
        self.device: torch.device = family.model.device
        self.dtype = family.model.dtype
        self.drop = drop_of(spec.drop) if spec.drop else None
        limits = family.language_model.config.max_position_embeddings, spec.max_new_tok
        ends = family.model.generation_config.eos_token_id
        self.speech = Speech.of(family.tokenizer, ends, *limits)
        self.decoder, self.together = Decoder(family.language_model), spec.together
        self._vocabulary: Any = None  # of the tokenizer, for patterns
        # Part keys -> (keys and values of that canvas, number of tokens up to the end of each part).
        self._memories: OrderedDict[tuple[str, ...], tuple[Memory, tuple[int, ...]]] = OrderedDict()

    def close(self) -> None:
        """Frees the caches and the model."""
        self._memories.clear()
        del self.family, self.decoder, self.speech
        if self.device.type == "cuda":
            with suppress(torch.AcceleratorError):  # after an error of the device; what it was is under way already
                torch.cuda.empty_cache()

    def forget(self) -> None:
        """Drops what was read before: the next canvas pays for all of itself."""
        self._memories.clear()

    # Encoder

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        """Decodes and cuts one picture."""
        return self.family.prepare(picture, max_tok)

    @stage("encoder")
    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        """One pass of the vision tower; encodings are on the CPU."""
        reduction = self.family.reduction
        if reduction is not None:
            batch = [replace(item, received=True) for item in batch]  # it may choose by it
        encodings = [encoding.cpu() for encoding in self.family.encode(batch)]
        return encodings if reduction is None else [reduction.after(encoding) for encoding in encodings]

    def windows(self, prepared: Prepared) -> Any:
        """One picture to be encoded window by window. Raises ConfigError: its family's tower has no windows."""
        return self.family.windows(prepared)

    @torch.inference_mode()
    def query(self, question: str) -> Query:
        """The question's own tokens, without the prompt around it. Raises QuestionError: empty, or too long to read."""
        ids, offsets = self.speech.spelled(question)
        tokens = self.family.embed(torch.tensor(ids, device=self.device)).cpu()
        return Query(question, tokens, torch.ones(len(tokens)), parts=parts_of(question, offsets))

    # Reader

    def read(self, canvas: Canvas, question: str) -> Answer:
        """Greedy answer."""
        return self._single(canvas, question, None)

    def read_many(self, asks: Sequence[tuple[Canvas, str]]) -> list[Answer | SaccadeError]:
        """Greedy answers; questions about one canvas are read together."""
        return self._many(asks, [None] * len(asks))

    @torch.inference_mode()
    def _many(self, asks: Sequence[tuple[Canvas, str]], guides: Sequence[Guide | None]) -> list[Answer | SaccadeError]:
        answers: dict[int, Answer | SaccadeError] = {}
        groups: dict[tuple[str, ...], list[int]] = {}
        lengths: dict[int, int] = {}
        for number, (canvas, question) in enumerate(asks):
            try:
                lengths[number] = self.check_length(canvas, question)
            except QuestionError as error:
                answers[number] = error
            else:
                groups.setdefault(canvas_keys(canvas), []).append(number)
        for numbers in groups.values():
            canvas = asks[numbers[0]][0]
            cuts = () if self.drop is None else self.drop.cuts(len(self.family.language_model.layers), len(canvas))
            for run in passes([lengths[number] for number in numbers], len(canvas), self.spec.together):
                some = [asks[number][1] for number in numbers[run]]
                if cuts:
                    read = [attempt(self._staged, canvas, question, cuts) for question in some]
                else:
                    read = self._together(canvas, some, [guides[number] for number in numbers[run]])
                answers.update(zip(numbers[run], read, strict=True))
        return [answers[number] for number in range(len(asks))]

    @torch.inference_mode()
    def choose(self, canvas: Canvas, question: str, choices: Sequence[str]) -> Answer:
        """Greedy among the tokens that spell the choices; a decoder that drops tokens reads freely."""
        return self._single(canvas, question, Choices(self.speech.written(choices)))

    def choose_many(self, asks: Sequence[tuple[Canvas, str, Sequence[str]]]) -> list[Answer | SaccadeError]:
        """As `choose`; questions about one canvas are read together, whatever the choices of each."""
        guides = [Choices(self.speech.written(choices)) for _, _, choices in asks]
        return self._many([(canvas, question) for canvas, question, _ in asks], guides)

    def match(self, canvas: Canvas, question: str, pattern: str) -> Answer:
        """Greedy among the tokens that continue a match; a decoder that drops tokens reads freely."""
        if self._vocabulary is None:
            self._vocabulary = vocabulary_of(self.speech.tokenizer, len(self.family.model.lm_head.weight))
        return self._single(canvas, question, Pattern(self._vocabulary, pattern))

    def _single(self, canvas: Canvas, question: str, guide: Guide | None) -> Answer:
        (answer,) = self._many([(canvas, question)], [guide])
        if isinstance(answer, SaccadeError):
            raise answer
        return answer

    def check_length(self, canvas: Canvas, question: str) -> int:
        """Tokens of the prompt after the canvas. Raises QuestionError: with the answer it is beyond the context."""
        self.speech.check_text(question)
        prefix, suffix = self.family.prompt(question)
        _, _, after = self.family.positions(Canvas(canvas.rows, canvas.cols), len(prefix), len(suffix))
        self.speech.check_length(max(len(prefix) + len(canvas) + len(suffix), int(after[0, -1]) + 1))
        return len(suffix)

    def _together(
        self, canvas: Canvas, questions: Sequence[str], guides: Sequence[Guide | None]
    ) -> list[Answer | SaccadeError]:
        """Answers to questions about one canvas, each held to its guide. The first pays for what is not cached."""
        started = time.perf_counter()
        memory, ends, cached_tok = self.canvas_memory(canvas)
        suffixes = [self.family.prompt(question)[1] for question in questions]
        prefix_tok = ends[0]
        after = [self.family.positions(canvas, prefix_tok, len(suffix))[2].to(self.device) for suffix in suffixes]
        talk, hidden = self.decoder.ask(memory, [self._embed(suffix) for suffix in suffixes], after)
        written = self._write(talk, hidden, torch.stack([place[:, -1] for place in after], 1) + 1, guides)
        self.keep(canvas, memory, ends)
        seconds = (time.perf_counter() - started) / len(questions)
        answers: list[Answer | SaccadeError] = []
        for number, (suffix, ids_logprobs) in enumerate(zip(suffixes, written, strict=True)):
            known = ends[-1] if number else cached_tok
            if isinstance(ids_logprobs, SaccadeError):
                answers.append(ids_logprobs)
                continue
            counts: dict[str, Any] = {
                "cached_tok": known,
                "prefill_tok": ends[-1] - known + len(suffix),
                "seconds": seconds,
            }
            attended = most_attended(canvas, talk.to_canvas[number, prefix_tok : ends[-1]].cpu())
            answers.append(self._answer(canvas, *ids_logprobs, **counts, attended=attended))
        return answers

    def _staged(self, canvas: Canvas, question: str, cuts: Sequence[Cut]) -> Answer:
        """An answer from a decoder that drops tokens between layers; other questions can reuse nothing of it."""
        started = time.perf_counter()
        prefix, suffix = self.family.prompt(question)
        before, parts, after = self.family.positions(canvas, len(prefix), len(suffix))
        staged = Staged(self.family, cuts)
        embeds = wide([self._embed(prefix), *map(self._visual, canvas.parts), self._embed(suffix)])
        positions = torch.cat([before, *parts, after], 1)
        hidden = staged.prefill(embeds[None], positions, len(prefix), len(canvas))[:, -1]
        (written,) = self._write(staged, hidden, after[:, -1:] + 1, [None])
        if isinstance(written, SaccadeError):
            raise written
        seconds = time.perf_counter() - started
        return self._answer(canvas, *written, cached_tok=0, prefill_tok=len(embeds), seconds=seconds)

    def _answer(self, canvas: Canvas, ids: list[int], logprobs: list[float], **counts: Any) -> Answer:
        embedded = self._embed(ids).cpu() if ids else None
        return self.speech.answer(ids, logprobs, embedded, self.calibration, visual_tok=len(canvas), **counts)

    def _embed(self, ids: Sequence[int]) -> Tensor:
        return self.family.embed(torch.tensor(ids, device=self.device))  # (T, D)

    @stage("answer")
    def _write(
        self, talk: Any, hidden: Tensor, position: Tensor, guides: Sequence[Guide | None]
    ) -> list[tuple[list[int], list[float]] | EngineError]:
        """Greedy tokens of B answers from hidden states (B, D) and positions (P, B) on, each until an end token.

        Returns: ids without the end token and log-probabilities with it, or the error. Answers that have ended leave
        the batch. The probabilities of an answer with a guide are those among the tokens that it allows.
        """
        written: list[tuple[list[int], list[float]]] = [([], []) for _ in hidden]
        failed: dict[int, EngineError] = {}
        rows = torch.arange(len(hidden))  # which answers are still being written
        most = max([self.spec.max_new_tok, *(guide.most for guide in guides if guide)])  # a choice is not cut
        for step in range(most):
            logprobs = self.family.logits(hidden).float().log_softmax(-1)  # (B, V)
            for at, row in enumerate(rows.tolist()):
                if (guide := guides[row]) is not None:
                    logprobs[at] = guide.among(logprobs[at], written[row][0])
            best, token = logprobs.max(-1)
            going = []
            for at, (row, logprob, choice) in enumerate(zip(rows.tolist(), best.tolist(), token.tolist(), strict=True)):
                if not math.isfinite(logprob):
                    failed[row] = EngineError(NOT_FINITE.format("logits"))
                    continue
                written[row][1].append(logprob)
                if choice not in self.speech.end_ids:
                    written[row][0].append(choice)
                    going.append(at)
            if not going or step + 1 == most:
                break
            if len(going) < len(rows):
                left = torch.tensor(going, device=self.device)
                talk, rows = talk.some(left), rows[going]
                token, position = token[left], position[:, left]
            hidden = talk.step(self.family.embed(token), position + step)
        return [failed.get(row, answer) for row, answer in enumerate(written)]

    def canvas_memory(self, canvas: Canvas) -> tuple[Memory, tuple[int, ...], int]:
        """Keys and values of prompt and canvas, where each part ends in them, and how many tokens were there before."""
        prefix, _ = self.family.prompt("")
        before, parts, _ = self.family.positions(canvas, len(prefix), 1)
        memory, ends = self._longest(canvas_keys(canvas))
        cached_tok = memory.length
        embeds = [self._embed(prefix), *(self._visual(part) for part in canvas.parts)][len(ends) :]
        positions = [before, *parts][len(ends) :]
        if embeds:
            self.decoder.grow(memory, wide(embeds), torch.cat(positions, 1))
        for embed in embeds:
            ends = (*ends, (ends[-1] if ends else 0) + len(embed))
        return memory, ends, cached_tok

    def keep(self, canvas: Canvas, memory: Memory, ends: tuple[int, ...]) -> None:
        """Remembers a canvas. Only after a whole read: one that failed half-way leaves nothing behind."""
        self._memories[canvas_keys(canvas)] = (memory, ends)
        while len(self._memories) > self.spec.num_canvases:
            self._memories.popitem(last=False)

    def _visual(self, part: Part) -> Tensor:
        return part.wide.to(self.device, self.family.model.dtype)

    def _longest(self, keys: tuple[str, ...]) -> tuple[Memory, tuple[int, ...]]:
        """The kept canvas sharing the longest beginning with `keys`, cut to it, with the end of each shared entry.

        A canvas that is wholly a beginning of this one is grown in place; another one is copied, because it may be
        read again (private canvases of one image share their glimpse).
        """
        shared = {other: _common(keys, other) for other in self._memories}
        best = max(shared, key=lambda other: shared[other], default=())
        known = shared.get(best, 0)
        if known and known == len(best):
            return self._memories.pop(best)
        if not known:
            return self.decoder.memory(), ()
        source, ends = self._memories[best]
        return source.copy(ends[known - 1]), ends[:known]


NOT_FINITE = "the model gave {} that are not finite; try --set engine.dtype=float32"


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    """How many leading entries two tuples share."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
