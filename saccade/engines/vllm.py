"""The vLLM engine: continuous batching over many canvases at once, fixations served from the prefix cache.

It runs vLLM's own AsyncLLM with the canvas models of `vllm_plugin`; the engine's core is a process of its own. Pictures
are encoded by transformers (`open_encoder`), in this process or another, so vLLM loads no vision tower. A request holds
the whole canvas, so a restarted engine needs no history.
"""

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, TypeVar

import torch
from pydantic import Field

from saccade.annotation.patterns import plain
from saccade.card import CARD_FILE
from saccade.engines import Encoder, Engine, ForwardingEncoder, Reader, attempt, checkpoint, tuning
from saccade.engines._answers import Embeddings, Speech, end_ids, open_outline
from saccade.engines._checkpoint import Checkpoint
from saccade.engines._configuration import configuration
from saccade.engines.hf import HF
from saccade.engines.vllm_plugin import MODELS, PREFIX, fields, start
from saccade.errors import ConfigError, EngineDead, EngineError, SaccadeError, describe
from saccade.families import checkpoint_file
from saccade.types import Answer, Canvas

T = TypeVar("T")

CPU_KV_GIB = 1.0  # of keys and values on a CPU, where `kv_gib` is not set
MESSAGE_CHARS = 400  # of an error of vLLM's
CLOSE_S = 20.0  # the thread of the event loop has this long to end


class VLLM(Checkpoint):
    """vLLM: reads Qwen2-VL, Qwen2.5-VL and Qwen3-VL checkpoints on GPUs, and on a CPU in float32."""

    windows: ClassVar[bool] = True

    max_prompt_tok: int | None = Field(None, ge=1, description="Tokens of prompt and answer; None: the checkpoint's.")
    max_num_batched_tok: int | None = tuning(None, ge=1, description="Tokens per step of the engine; None: vLLM's.")
    max_num_seqs: int | None = tuning(None, ge=1, description="Requests that run together; None: vLLM's.")
    gpu_memory_utilization: float = tuning(0.9, gt=0, le=1, description="Share of each GPU's memory for the reader.")
    kv_gib: float | None = tuning(None, gt=0, description="GiB of keys and values; None: what is left, 1 on a CPU.")
    num_kv_blocks: int | None = tuning(None, ge=1, description="Blocks of keys and values; None: from kv_gib.")
    block_tok: int | None = tuning(None, ge=1, description="Tokens of one block of the cache; None: vLLM's.")
    tensor_parallel: int = tuning(1, ge=1, description="GPUs that share one reader.")
    prefix_caching: bool = tuning(True, description="Whether tokens read before are served from the cache.")
    eager: bool | None = tuning(None, description="Runs without compiled graphs; None: on a CPU.")
    pixels: bool = tuning(False, description="Loads the vision tower into vLLM too, for requests of pixels.")

    @contextmanager
    def open(self) -> Iterator["VLLMEngine"]:
        """Encoder and reader, for one process that does both. Raises as `open_reader` and `open_encoder`."""
        with self.open_encoder() as encoder, self.open_reader() as reader:
            yield VLLMEngine(encoder, reader)

    @contextmanager
    def open_encoder(self) -> Iterator[Encoder]:
        """The vision tower, by transformers. Raises ConfigError: no such checkpoint, or of an unknown family."""
        with HF(**self.common()).open_encoder() as encoder:
            yield encoder

    @contextmanager
    def open_reader(self) -> Iterator["VLLMReader"]:
        """The language model, by vLLM.

        Raises:
            ConfigError: vLLM is not installed, cannot read this checkpoint, or refuses a setting.
            EngineDead: the engine did not start.
        """
        reader = VLLMReader(self)
        try:
            yield reader
        finally:
            reader.close()


class VLLMReader(Reader):
    """A running vLLM engine. `read` may be called from any thread, `aread` from any event loop, many at once."""

    concurrent: ClassVar[bool] = True
    together: int = 64

    def __init__(self, spec: VLLM) -> None:
        start.prepare()
        self.spec, path = spec, checkpoint(spec.model)
        config = configuration(path)
        (architecture,) = config.architectures
        if architecture not in MODELS:
            raise ConfigError(f"vLLM reads canvases with {', '.join(MODELS)}, not {architecture}; use engine hf")
        self.family = open_outline(path, config)
        self.merge = int(config.vision_config.spatial_merge_size)
        self.image_token_id = int(config.image_token_id)
        self.embeddings = Embeddings(path)
        self.calibration = spec.measured(checkpoint_file(path, CARD_FILE)).confidence
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="saccade-vllm", daemon=True)
        self._thread.start()
        self._llm: Any = None
        try:
            self._llm = self._run(self._start(path, PREFIX + architecture))
            limits = self._llm.model_config.max_model_len, spec.max_new_tok
            self.speech = Speech.of(self.family.tokenizer, end_ids(path, config), *limits)
        except ValueError as error:  # pydantic's errors are some of these
            self.close()
            raise ConfigError(f"vLLM refuses: {_short(error)}") from error
        except Exception as error:
            self.close()
            raise EngineDead(f"vLLM did not start: {_short(error)}") from error
        self.dtype: torch.dtype = self._llm.model_config.dtype

    def close(self) -> None:
        """Ends the engine's process; requests that still wait are cancelled."""
        if not self._loop.is_running():
            return
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)
        self._loop.close()
        self._llm = None

    def read(self, canvas: Canvas, question: str) -> Answer:
        """Greedy answer. Raises QuestionError, EngineError, EngineDead."""
        return self._run(self._answer(canvas, question))

    def read_many(self, asks: Sequence[tuple[Canvas, str]]) -> list[Answer | SaccadeError]:
        """As `read`; vLLM batches what is asked together."""
        return self._all(self._answer(*ask) for ask in asks)

    async def aread(self, canvas: Canvas, question: str) -> Answer:
        """Like `read`. Requests that wait together are batched; a cancelled one is taken out of the engine."""
        return await asyncio.wrap_future(self._submit(self._answer(canvas, question)))

    def choose(self, canvas: Canvas, question: str, choices: Sequence[str]) -> Answer:
        """Greedy among what the choices are written with, by vLLM's structured output."""
        return self._run(self._answer(canvas, question, choices))

    def choose_many(self, asks: Sequence[tuple[Canvas, str, Sequence[str]]]) -> list[Answer | SaccadeError]:
        """As `choose`, like `read_many`."""
        return self._all(self._answer(*ask) for ask in asks)

    async def achoose(self, canvas: Canvas, question: str, choices: Sequence[str]) -> Answer:
        """Like `choose`, as `aread` is like `read`."""
        return await asyncio.wrap_future(self._submit(self._answer(canvas, question, choices)))

    def match(self, canvas: Canvas, question: str, pattern: str) -> Answer:
        """Greedy among what the pattern allows, by vLLM's structured output."""
        return self._run(self._answer(canvas, question, pattern=pattern))

    async def amatch(self, canvas: Canvas, question: str, pattern: str) -> Answer:
        """Like `match`, as `aread` is like `read`."""
        return await asyncio.wrap_future(self._submit(self._answer(canvas, question, pattern=pattern)))

    def forget(self) -> None:
        """Empties the prefix cache: the next canvas pays for all of itself."""
        self._run(self._llm.reset_prefix_cache())

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._loop.is_closed():
            work.close()
            raise EngineDead("this engine has been closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._submit(work).result()

    def _all(self, work: Iterable[Coroutine[Any, Any, Answer]]) -> list[Answer | SaccadeError]:
        started, waiting = time.perf_counter(), [self._submit(each) for each in work]
        read = [attempt(each.result) for each in waiting]
        took = time.perf_counter() - started  # each has waited for all of them, and is charged its share
        return [replace(each, seconds=took / len(read)) if isinstance(each, Answer) else each for each in read]

    async def _start(self, path: str, architecture: str) -> Any:
        spec, cpu = self.spec, start.on_cpu()
        gib = spec.kv_gib or (CPU_KV_GIB if cpu else None)
        given = {
            "max_model_len": spec.max_prompt_tok,
            "max_num_batched_tokens": spec.max_num_batched_tok,
            "max_num_seqs": spec.max_num_seqs,
            "kv_cache_memory_bytes": int(gib * 2**30) if gib else None,
            "num_gpu_blocks_override": spec.num_kv_blocks,
            "block_size": spec.block_tok,
        }
        options = dict(
            model=path,
            hf_overrides={"architectures": [architecture]},
            dtype=("float32" if cpu else "bfloat16") if spec.dtype == "auto" else spec.dtype,
            enable_mm_embeds=True,
            limit_mm_per_prompt={} if spec.pixels else {"image": 0, "video": 0},
            mm_processor_cache_gb=4 if spec.pixels else 0,  # it holds no embeddings
            generation_config="vllm",
            enable_prefix_caching=spec.prefix_caching,
            enforce_eager=cpu if spec.eager is None else spec.eager,
            gpu_memory_utilization=spec.gpu_memory_utilization,
            tensor_parallel_size=spec.tensor_parallel,
            disable_log_stats=True,
            use_tqdm_on_load=False,
            **{key: value for key, value in given.items() if value is not None},
        )
        return start.engine(**options)

    async def _stop(self) -> None:
        if self._llm is not None:
            self._llm.shutdown()
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    async def _answer(
        self, canvas: Canvas, question: str, choices: Sequence[str] = (), pattern: str | None = None
    ) -> Answer:
        started = time.perf_counter()
        prompt = self._prompt(canvas, question)
        try:
            request = await self._render(prompt)
            output = await self._generate(request, choices, pattern)
        except Exception as error:
            raise _ours(error) from error
        (completion,) = output.outputs
        logprobs = [
            chosen[token].logprob for token, chosen in zip(completion.token_ids, completion.logprobs, strict=True)
        ]
        if completion.finish_reason not in ("stop", "length") or not math.isfinite(sum(logprobs)):
            raise EngineError(
                f"vLLM ended the answer ({completion.finish_reason}) with logits that are not finite, or broken off"
            )
        closed = bool(completion.token_ids) and completion.token_ids[-1] in self.speech.end_ids
        ids = list(completion.token_ids[:-1] if closed else completion.token_ids)
        cached_tok = int(output.num_cached_tokens or 0)
        return self.speech.answer(
            ids,
            logprobs,
            self.embeddings(ids),
            self.calibration,
            visual_tok=len(canvas),
            cached_tok=cached_tok,
            prefill_tok=len(output.prompt_token_ids) - cached_tok,
            seconds=time.perf_counter() - started,
        )

    def _prompt(self, canvas: Canvas, question: str) -> dict[str, Any]:
        """The prompt as vLLM takes it. Raises QuestionError: too long. EngineError: the canvas is malformed."""
        self.speech.check_text(question)
        prefix, suffix = self.family.prompt(question)
        places = [self.image_token_id] * len(canvas.parts)
        _, _, after = self.family.positions(Canvas(canvas.rows, canvas.cols), len(prefix), len(suffix))
        self.speech.check_length(max(len(prefix) + len(canvas) + len(suffix), int(after[0, -1]) + 1))
        prompt: dict[str, Any] = {"prompt_token_ids": prefix + places + suffix}
        if not canvas.parts:
            return prompt
        try:
            data = fields.of(canvas, self.dtype, self.merge)
        except ValueError as error:
            raise EngineError(f"this canvas cannot be read: {error}") from error
        keys = [f"{part.key}-{canvas.rows}x{canvas.cols}" for part in canvas.parts]
        return {**prompt, "multi_modal_data": {"image": data}, "multi_modal_uuids": {"image": keys}}

    async def _render(self, prompt: dict[str, Any]) -> Any:
        """Checks the prompt and puts the placeholders in, here: what is malformed never reaches the engine's core."""
        from vllm.renderers.inputs.preprocess import parse_model_prompt

        (request,) = await self._llm.renderer.render_cmpl_async([parse_model_prompt(self._llm.model_config, prompt)])
        return request

    async def _generate(self, request: Any, choices: Sequence[str] = (), pattern: str | None = None) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        held = None
        if choices:
            held = StructuredOutputsParams(choice=list(choices))
        elif pattern is not None:
            held = StructuredOutputsParams(regex=plain(pattern))
        params = SamplingParams(
            temperature=0.0,
            max_tokens=max([self.spec.max_new_tok, *map(len, self.speech.written(choices))]),  # a choice is not cut
            structured_outputs=held,
            logprobs=0,  # of the chosen token alone
            detokenize=False,
            stop_token_ids=sorted(self.speech.end_ids),
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        outputs = self._llm.generate(request, params, f"saccade-{next(self._numbers)}")
        return [output async for output in outputs][-1]


class VLLMEngine(ForwardingEncoder, Engine):
    """An encoder of transformers and a reader of vLLM in one process."""

    concurrent: ClassVar[bool] = True
    attention = Encoder.attention  # not the encoder's own: no decoder is loaded there

    def __init__(self, encoder: Encoder, reader: VLLMReader) -> None:
        super().__init__(encoder)
        self.reader, self.dtype, self.together = reader, reader.dtype, reader.together

    def read(self, canvas: Canvas, question: str) -> Answer:
        """Greedy answer."""
        return self.reader.read(canvas, question)

    def read_many(self, asks: Sequence[tuple[Canvas, str]]) -> list[Answer | SaccadeError]:
        """Greedy answers, read together."""
        return self.reader.read_many(asks)

    async def aread(self, canvas: Canvas, question: str) -> Answer:
        """Greedy answer; many at once are batched."""
        return await self.reader.aread(canvas, question)

    def choose(self, canvas: Canvas, question: str, choices: Sequence[str]) -> Answer:
        """Greedy among the choices."""
        return self.reader.choose(canvas, question, choices)

    def choose_many(self, asks: Sequence[tuple[Canvas, str, Sequence[str]]]) -> list[Answer | SaccadeError]:
        """Greedy among each ask's choices, read together."""
        return self.reader.choose_many(asks)

    async def achoose(self, canvas: Canvas, question: str, choices: Sequence[str]) -> Answer:
        """Greedy among the choices; many at once are batched."""
        return await self.reader.achoose(canvas, question, choices)

    def match(self, canvas: Canvas, question: str, pattern: str) -> Answer:
        """Greedy among what the pattern allows."""
        return self.reader.match(canvas, question, pattern)

    async def amatch(self, canvas: Canvas, question: str, pattern: str) -> Answer:
        """Greedy among what the pattern allows; many at once are batched."""
        return await self.reader.amatch(canvas, question, pattern)

    def forget(self) -> None:
        """Empties the reader's prefix cache."""
        self.reader.forget()


def _ours(error: Exception) -> EngineError:
    """vLLM's error as ours: dead, or one request lost."""
    from vllm.v1.engine.exceptions import EngineDeadError

    if isinstance(error, EngineDeadError):
        return EngineDead("vLLM's engine died; its own log says why")
    cause = error.__cause__ or error
    return EngineError(f"this canvas cannot be read: {_short(cause)}")


def _short(error: BaseException) -> str:
    """The error on one line; vLLM lists all it knows in some."""
    return describe(error)[:MESSAGE_CHARS]
