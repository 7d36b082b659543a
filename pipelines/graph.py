"""The Ray graph: from the manifest of an attempt to files of answers.

    manifest -> Encode actors -> Look actors -> AnswersSink
                                  |  ^
                                Reader actors (one pool, shared by all lookers)

Blocks hold one image each. The tensors of an encoding are columns of its block: Ray owns them, spills them, and makes
them again when they are lost. The loop of fixations is inside Look; the graph itself has none. Encode asks the ledger
for room before each image, so that no more than `in_flight` images are between it and the disk.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext

from pipelines import ailing
from pipelines.files import read_parquet
from pipelines.ledger import Ledger
from pipelines.plan import Plan
from pipelines.progress import Watch
from pipelines.readers import ReaderActor
from pipelines.run_config import RunConfig, gpu_shares, share_of_cpus, thread_share
from pipelines.sink import AnswersSink
from pipelines.stages import Encode, Look
from saccade.errors import ConfigError, EngineDead, SaccadeError, describe
from saccade.machine import num_cpus

TASK_CPUS = 0.1  # logical CPUs of a task that reads the manifest or writes answers
CLOSE_S = 10.0  # readers have this long to close their engines
LOOKER_CPUS = 0.1  # it waits for readers most of the time


@contextmanager
def ray_started(address: str | None, namespace: str) -> Iterator[None]:
    """A Ray session: the one there is, the cluster at `address`, or one on this machine that ends with the block.

    Raises:
        ConfigError: there is no cluster at the address, or this machine has no room for Ray.
        EngineDead: Ray does not start here.
    """
    if ray.is_initialized():
        yield
        return
    if address is None and (why := ailing.before_ray()):
        raise ConfigError(why)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters reaches us as an exception
    local = {"include_dashboard": False, "num_cpus": max(2, num_cpus())} if address is None else {}
    options = {"namespace": namespace, "log_to_driver": False, "logging_level": logging.ERROR, **local}
    try:
        with _quiet():
            ray.init(address=address or "local", **options)
    except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError and bare Exception here
        ray.shutdown()
        if address is not None:
            raise ConfigError(f"no Ray cluster at {address!r}: {error}") from error
        raise EngineDead(f"Ray did not start on this machine, which may be overloaded: {error} Try again") from error
    try:
        yield
    finally:
        with hushed():
            ray.shutdown()


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing is written to the standard error meanwhile, not by C++ either: setting its log level logs a line."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def run(plan: Plan, config: RunConfig, left: Path, watch: Watch) -> float:
    """Runs the graph over the images of `left`; seconds from the first image to the last answers written.

    Raises:
        ConfigError: the model does not open, or the cluster has not what the actors need.
        EngineDead: a worker died more often than `max_restarts`.
    """
    cpus, config = _actor_cpus(config), with_gpus(config)
    ledger = ray.remote(Ledger).options(name=plan.ledger, namespace=plan.namespace, num_cpus=0).remote(config.in_flight)
    readers: list[Any] = []
    try:
        for number in range(config.num_readers):
            options = ray.remote(ReaderActor).options(
                name=plan.reader(number),
                namespace=plan.namespace,
                num_cpus=cpus,
                num_gpus=config.reader_gpus,
                max_restarts=-1,
                max_task_retries=config.max_restarts,
            )
            readers.append(options.remote(plan))
        ray.get([reader.ready.remote() for reader in readers])
        with watch.polling(ledger):
            _graph(plan, config, left, cpus)
        return float(ray.get(ledger.seconds.remote()))
    except ray.exceptions.RayError as error:
        raise _cause(error) from error
    finally:
        with hushed():
            _close(readers)
            ray.kill(ledger)


@contextmanager
def hushed() -> Iterator[None]:
    """Nothing is written meanwhile: for each read of a reader that is ended Ray prints that it failed."""
    with open(os.devnull, "w") as nothing, redirect_stdout(nothing), _quiet():
        yield


def _close(readers: list[Any]) -> None:
    """Lets the readers free what they hold; one that is busy or dead is ended as it is."""
    try:
        ray.get([reader.close.remote() for reader in readers], timeout=CLOSE_S)
    except ray.exceptions.RayError:
        pass
    for reader in readers:
        ray.kill(reader)


def _graph(plan: Plan, config: RunConfig, left: Path, cpus: float) -> None:
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    retries = {"max_restarts": -1, "max_task_retries": config.max_restarts}
    with warnings.catch_warnings():
        # Ray 2.60 takes max_task_retries here in no other way, and the default is to retry for ever.
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        images = ray.data.from_arrow(read_parquet(left)).repartition(target_num_rows_per_block=1)
        encoded = images.map_batches(
            Encode,
            fn_constructor_args=(plan,),
            batch_size=None,
            batch_format="numpy",
            compute=ActorPoolStrategy(size=config.num_encoders),
            num_cpus=cpus,
            num_gpus=config.encoder_gpus,
            **retries,
        )
        looked = encoded.map_batches(
            Look,
            fn_constructor_args=(plan,),
            batch_size=None,
            batch_format="numpy",
            compute=ActorPoolStrategy(
                size=config.num_lookers,
                max_concurrent_calls_per_actor=1 + plan.episodes_per_looker * config.num_readers,
            ),
            num_cpus=LOOKER_CPUS,
            **retries,
        )
    looked.write_datasink(AnswersSink(plan), ray_remote_args={"num_cpus": TASK_CPUS})


def threads(config: RunConfig) -> int:
    """CPU threads of one encoder or reader: the cluster's CPUs, shared, and no more than its smallest node has."""
    nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return thread_share([cpus for cpus in nodes if cpus], config.num_encoders + config.num_readers)


def _actor_cpus(config: RunConfig) -> float:
    """Logical CPUs of one encoder or reader."""
    there = ray.cluster_resources()["CPU"]
    return share_of_cpus(there - config.num_lookers * LOOKER_CPUS, config.num_encoders + config.num_readers)


def with_gpus(config: RunConfig) -> RunConfig:
    """The same run with a share of the GPUs for each actor, where none was given and the device is no CPU.

    Raises:
        ConfigError: the cluster has not so many.
    """
    num_gpus = int(ray.cluster_resources().get("GPU", 0))
    encoder, reader = config.encoder_gpus, config.reader_gpus
    if config.engine.get("device") == "cpu":
        encoder, reader = encoder or 0, reader or 0
    elif reader is None and config.engine.get("tensor_parallel", 1) > 1:
        reader = config.engine["tensor_parallel"]
    encoder, reader = gpu_shares(num_gpus, config.num_encoders, config.num_readers, encoder, reader)
    return config.with_settings(encoder_gpus=encoder, reader_gpus=reader)


def _cause(error: Exception) -> Exception:
    """What a worker raised, out of the wrappings that Ray adds on its way here."""
    seen: BaseException | None = error
    while seen is not None:
        inner = getattr(seen, "cause", None)
        if isinstance(inner, SaccadeError):
            return inner
        if inner is not None and (text := ailing.cause(inner)):
            return EngineDead(text)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__
    return EngineDead(f"a worker ended the run: {describe(error)}")
