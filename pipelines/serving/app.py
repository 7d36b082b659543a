"""`saccade serve`, and the same endpoint for Ray Serve's own tools: `serve run pipelines.serve:app`.

    client --HTTP--> proxy --> Ingress (one process: routes, queue, episodes, counters)
                                 |--> Encoder replicas (batched passes, encodings kept by content)
                                 |--> Reader replicas (autoscaled)

A picture's requests go to the same encoder and the same reader, whose caches know it (consistent hashing). There is one
ingress on purpose: its counters are what /metrics reports, its queue is the endpoint's queue.
"""

import logging
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import ray
from fastapi import FastAPI
from ray import serve
from ray.serve import Application
from ray.serve.config import AutoscalingConfig, RequestRouterConfig
from rich.console import Console

from pipelines.execute.resources import cluster_cpus, engine_gpus, machine_threads
from pipelines.execute.say import say
from pipelines.execute.session import hushed, ray_started
from pipelines.pages.listening import check_free
from pipelines.runs.config import checkpoint_max_px
from pipelines.serving.backends import Remote
from pipelines.serving.encoder import EncoderReplica
from pipelines.serving.looker import Looker
from pipelines.serving.reader import ReaderReplica
from pipelines.serving.routes import Front
from pipelines.serving.settings import ServeConfig
from saccade.engines import checkpoint
from saccade.engines._configuration import model_type
from saccade.errors import EngineDead
from saccade.families import Family
from saccade.registry import find
from saccade.wording import counted

NAME = "saccade"
MOST_ONGOING = 10_000
"""Requests that reach the ingress together: its own queue decides which of them are answered."""

STICKY = RequestRouterConfig(
    request_router_class="ray.serve.experimental.consistent_hash_router:ConsistentHashRouter",
    request_router_kwargs={"num_fallback_replicas": 1},
)
LOGGING = {"log_level": "WARNING", "enable_access_log": False}
CLOSE_S = 15.0  # what Serve and Ray may take to end, once nothing is being answered


class Encoder(EncoderReplica):
    """An encoder in whose passes several requests share."""

    def __init__(self, config: ServeConfig) -> None:
        super().__init__(config, threads(config))


class Reader(ReaderReplica):
    """A reader."""

    def __init__(self, config: ServeConfig) -> None:
        super().__init__(config, threads(config))


class Ingress:
    """Routes, the queue, and every episode."""

    def __init__(self, config: ServeConfig, encoder: Any, reader: Any) -> None:
        import torch

        torch.set_num_threads(1)
        self.config = config
        self.looker = Looker(config, Remote(encoder, reader), limit_px(config))

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Ray Serve asks for the routes once the replica is made."""
        return Front(self.config, self.looker, self.config.engine_spec.max_new_tok).app()

    async def drain(self) -> int:
        """Refuses new requests and waits up to `drain_s` for running ones; returns how many had not finished."""
        return await self.looker.drain()


def app(config: ServeConfig) -> Application:
    """The endpoint for Ray Serve: `serve run pipelines.serve:app max_queue=8`, or `args:` in a Serve configuration."""
    cpus = share(config)
    replicas = (config.num_encoders, config.max_readers, config.encoder_gpus, config.reader_gpus)
    encoder_gpus, reader_gpus = engine_gpus(config.engine, *replicas)
    common = {
        "graceful_shutdown_timeout_s": config.drain_s,
        "max_constructor_retry_count": 2,
        "logging_config": LOGGING,
    }
    encoder = serve.deployment(Encoder).options(
        num_replicas=config.num_encoders,
        max_ongoing_requests=max(2 * config.encode_batch, config.max_episodes),
        ray_actor_options={"num_cpus": cpus, "num_gpus": encoder_gpus},
        request_router_config=STICKY,
        **common,
    )
    reader = serve.deployment(Reader).options(
        max_ongoing_requests=config.reads_per_reader,
        autoscaling_config=AutoscalingConfig(
            min_replicas=config.min_readers,
            max_replicas=config.max_readers,
            target_ongoing_requests=max(1.0, config.reads_per_reader / 2),
        ),
        ray_actor_options={"num_cpus": cpus, "num_gpus": reader_gpus},
        request_router_config=STICKY,
        **common,
    )
    ingress = serve.deployment(serve.ingress()(Ingress)).options(
        num_replicas=1, max_ongoing_requests=MOST_ONGOING, ray_actor_options={"num_cpus": cpus}, **common
    )
    return ingress.bind(config, encoder.bind(config), reader.bind(config))


def share(config: ServeConfig) -> float:
    """Logical CPUs per replica: the configured number, or fewer so that all replicas fit."""
    equal = math.floor(100 * cluster_cpus(2.0) / (1 + config.num_encoders + config.max_readers)) / 100
    return max(0.01, min(config.cpus, equal))


def threads(config: ServeConfig) -> int:
    """CPU threads per encoder or reader: the configured number, or an equal share of the machine's CPUs."""
    return config.threads or machine_threads(config.num_encoders + config.max_readers)


def limit_px(config: ServeConfig) -> int | None:
    """Pixels above which the encoder would scale an image down: planners need not decode more."""
    spec = config.engine_spec
    return spec.max_px or checkpoint_max_px(checkpoint(spec.model))


@contextmanager
def serving(config: ServeConfig, host: str, port: int) -> Iterator[Any]:
    """Runs the endpoint in this machine's Ray session; yields Serve's handle of the ingress.

    Raises:
        ConfigError: the model cannot be found, or the port is taken.
        EngineDead: Ray or a replica did not start.
    """
    find("families", model_type(checkpoint(config.engine_spec.model)), Family)
    check_free(host, port)
    with ExitStack() as ended, ray_started(None, "saccade"):
        logging.getLogger("ray.serve").setLevel(logging.ERROR)  # what matters reaches us as an exception
        try:
            serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port}, logging_config=LOGGING)
            handle = _started(config)
        except (RuntimeError, TimeoutError, ray.exceptions.RayError) as error:
            serve.shutdown()
            raise EngineDead(f"the endpoint did not start: {error}") from error
        try:
            yield handle
        finally:
            # Ray reports every actor that Serve ends as if it had failed.
            ended.enter_context(hushed())
            serve.shutdown()


def _started(config: ServeConfig) -> Any:
    """Serve's handle of the ingress once every replica is up; if interrupted, once requests are accepted."""
    try:
        return serve.run(app(config), name=NAME, route_prefix="/")
    except KeyboardInterrupt:
        if not _takes_requests():
            raise
        return serve.get_app_handle(NAME)


def _takes_requests() -> bool:
    """Whether the ingress accepts requests; it may do so seconds before `serve.run` returns."""
    application = serve.status().applications.get(NAME)
    ingress = application and application.deployments.get(Ingress.__name__)
    return bool(ingress) and ingress.replica_states.get("RUNNING", 0) > 0


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def run(config: ServeConfig, host: str, port: int, console: Console) -> None:
    """Serves until Ctrl-C or SIGTERM, then finishes the running requests; a second Ctrl-C does not wait for them.

    Raises:
        ConfigError: as `serving`.
    """
    stopped, answering = threading.Event(), threading.Event()

    def stop(number: int, frame: Any) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt("stopped without waiting")
        stopped.set()
        if not answering.is_set():  # ends the start, unless requests are taken already
            raise KeyboardInterrupt("stopped before it answered")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    if not is_loopback(host) and not config.key_hashes:
        console.print(f"[yellow]anyone who reaches {host} can ask: give --api-key-file[/yellow]", highlight=False)
    say(console, f"starting {config.model_name} on Ray Serve")
    with serving(config, host, port) as handle:
        answering.set()
        shown = f"[{host}]" if ":" in host else host
        where = f"http://{shown}:{port}/ (a page), /v1/chat/completions, /metrics; Ctrl-C ends it"
        say(console, where)
        while not stopped.wait(1.0):
            pass
        say(console, "closing: what is being answered is answered first")
        left = handle.drain.remote().result(timeout_s=config.drain_s + CLOSE_S)
        say(console, f"closed, {counted(left, 'request')} cut off" if left else "closed")
