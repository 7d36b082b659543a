"""The Ray graph: from the manifest of an attempt to files of answers.

    manifest -> Look actors -> AnswersSink
                 |  ^   |  ^
    Encoder actors      Reader actors (pools, shared by all lookers)

Each block holds one image. The loop over fixations is inside Look, not in the graph; Look asks the encoders for what an
image needs when it needs it. Before each image it asks the ledger for room, so that at most `in_flight` images are
between it and the disk.
"""

import logging
import time
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.execute import diagnosis
from pipelines.execute.encoders import EncoderActor
from pipelines.execute.in_flight import Ledger
from pipelines.execute.lookers import Look
from pipelines.execute.placement import LOOKER_CPUS, TASK_CPUS, Placement
from pipelines.execute.plan import Plan
from pipelines.execute.progress import Watch
from pipelines.execute.readers import ReaderActor
from pipelines.execute.session import hushed
from pipelines.execute.sink import AnswersSink
from pipelines.execute.source import Listed
from pipelines.runs.config import RunConfig
from pipelines.runs.folder import RunFolder
from pipelines.runs.resume import select_left
from saccade.errors import EngineDead, SaccadeError, describe

PATIENCE_S = 60.0  # between two lines that say how many encoders and readers are not ready yet
LOST_S = 20.0  # until Ray knows that a node whose workers it could not reach is gone
LOST = (
    ray.exceptions.ActorUnavailableError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.WorkerCrashedError,
)
CLOSE_S = 10.0  # encoders and readers have this long to close their engines


def run(plan: Plan, placement: Placement, config: RunConfig, left: Path, watch: Watch) -> float:
    """Runs the graph over the images of `left`; seconds from the first image to the last answers written.

    Raises:
        ConfigError: the model does not open.
        EngineDead: a worker died more often than `max_restarts`.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": plan.ledger, "namespace": plan.namespace, "num_cpus": 0, "scheduling_strategy": here}
    ledger = ray.remote(Ledger).options(**options).remote(placement.in_flight)  # lost with the driver's node only
    actors: list[Any] = []
    try:
        for number in range(plan.num_readers):
            actors.append(_named(ReaderActor, plan.reader(number), plan, placement.cpus, placement.reader_gpus))
        if placement.shared_gpus:
            _wait_until_ready(actors, watch)  # each has a GPU of its own before encoders fill what is left
        for number in range(plan.num_encoders):
            actors.append(_named(EncoderActor, plan.encoder(number), plan, placement.cpus, placement.encoder_gpus))
        _wait_until_ready(actors, watch)
        with watch.polling(ledger):
            _run_graph(plan, placement, config, left, watch)
        return float(ray.get(ledger.seconds.remote()))
    except ray.exceptions.RayError as error:
        raise _cause(error) from error
    finally:
        with hushed():
            _close(actors)
            ray.kill(ledger)


def _named(kind: type, name: str, plan: Plan, cpus: float, gpus: float) -> Any:
    """An encoder or a reader, which lookers find by its name. It is restarted, and its requests are repeated."""
    options = ray.remote(kind).options(
        name=name,
        namespace=plan.namespace,
        num_cpus=cpus,
        num_gpus=gpus,
        scheduling_strategy="SPREAD",
        max_restarts=-1,
        max_task_retries=plan.max_restarts,
    )
    return options.remote(plan)


def _wait_until_ready(actors: list[Any], watch: Watch) -> None:
    """Waits until every encoder and reader has opened its engine, and says so while they wait for other runs.

    Raises:
        RayError: one of them ended.
        SaccadeError: the model does not open.
    """
    left = [actor.ready.remote() for actor in actors]
    while left:
        ready, left = ray.wait(left, timeout=PATIENCE_S)
        ray.get(ready)
        if not ready:
            free = ray.available_resources()
            has = ", ".join(f"{free.get(key, 0):g} {key}" for key in ("CPU", "GPU"))
            watch.say(f"loading models: {len(left)} of {len(actors)} are not there yet (Ray has {has} free)")


def _close(actors: list[Any]) -> None:
    """Lets encoders and readers free what they hold; one that is busy or dead is ended as it is."""
    with suppress(ray.exceptions.RayError):
        ray.get([actor.close.remote() for actor in actors], timeout=CLOSE_S)
    for actor in actors:
        ray.kill(actor)


def _run_graph(plan: Plan, placement: Placement, config: RunConfig, left: Path, watch: Watch) -> None:
    """Runs the graph; when a node is lost with what it held, runs it again over the images that are left.

    Ray repeats a task at once on an actor that it cannot reach, and so uses up all repetitions before it knows that the
    actor's node is gone.
    """
    for restarts_left in reversed(range(config.max_restarts + 1)):
        try:
            return _graph(plan, placement, config, left)
        except LOST as error:
            if not restarts_left:
                raise
            watch.say(f"a node was lost, or cannot be reached: {describe(error)[:200]}. Going on without it")
            time.sleep(LOST_S)
            ray.get(ray.get_actor(plan.ledger, plan.namespace).forget.remote())
            if not select_left(RunFolder(plan.layout.path), config.retry_errors):
                return None


def _graph(plan: Plan, placement: Placement, config: RunConfig, left: Path) -> None:
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what matters reaches us as an exception
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    at_once = placement.num_lookers  # each task that runs beside others has a process of its own, seconds to start
    retries = {"max_restarts": -1, "max_task_retries": config.max_restarts}
    with warnings.catch_warnings():
        # Ray 2.60 takes max_task_retries here in no other way, and the default is to retry for ever.
        warnings.simplefilter("ignore", ray.util.annotations.RayDeprecationWarning)
        listed = Listed(left)
        images = ray.data.read_datasource(
            listed, override_num_blocks=listed.table.num_rows, num_cpus=TASK_CPUS, concurrency=at_once
        )
        looked = images.map_batches(
            Look,
            fn_constructor_args=(plan,),
            batch_size=None,
            batch_format="numpy",
            compute=ActorPoolStrategy(
                size=placement.num_lookers,
                max_concurrent_calls_per_actor=1 + plan.episodes_per_looker * plan.num_readers,
            ),
            num_cpus=LOOKER_CPUS,
            **retries,
        )
    looked.write_datasink(AnswersSink(plan), ray_remote_args={"num_cpus": TASK_CPUS}, concurrency=at_once)


def _cause(error: Exception) -> Exception:
    """What a worker raised, without the exceptions that Ray wraps around it."""
    seen: BaseException | None = error
    while seen is not None:
        inner = getattr(seen, "cause", None)
        if isinstance(inner, SaccadeError):
            return inner
        if inner is not None and (text := diagnosis.cause(inner)):
            return EngineDead(text)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__
    return EngineDead(f"a worker ended the run: {describe(error)}")
