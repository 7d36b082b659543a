"""How many actors a run has, and their shares of the CPUs and GPUs of the Ray session."""

from dataclasses import dataclass

import ray

from pipelines.execute.resources import (
    cluster_nodes,
    cluster_threads,
    engine_gpus,
    misfit,
    share_of_cpus,
    surviving_cpus,
)
from pipelines.runs.config import RunConfig
from saccade.engines import checkpoint
from saccade.errors import ConfigError
from saccade.families import weight_files
from saccade.wording import counted

TASK_CPUS = 0.1  # logical CPUs of a task that reads the manifest or writes answers
LOOKER_CPUS = 0.1  # it waits for encoders and readers most of the time
READERS_PER_LOOKER = 4
IN_FLIGHT_PER_READER = 32

SMALL_BYTES = 256 * 2**20
"""Weights of a model whose layers are too small to gain from threads: the bundled one answers 1.26 times as fast on two
threads as on one. On CPUs it is copied instead."""

PAIR_BYTES = 4 * 2**30
"""Memory of an encoder and a reader of such a model: twice Python, torch and the pages at work."""

ENCODER_SHARE, READER_SHARE = 0.4, 0.6
"""Of each GPU where there are several: two readers do not fit one GPU, so each GPU gets one of both."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Actors of one attempt, and what each gets."""

    num_encoders: int
    num_readers: int
    num_lookers: int
    in_flight: int  # images encoded but not yet written, at most
    encoder_gpus: float
    reader_gpus: float
    cpus: float  # logical CPUs per encoder and reader
    threads: int  # per encoder and reader

    @property
    def shared_gpus(self) -> bool:
        """Whether each GPU holds a reader and room for encoders."""
        return self.num_readers > 1 and 0.5 < self.reader_gpus < 1

    def __str__(self) -> str:
        pools = (
            (self.num_encoders, "encoder", self.encoder_gpus),
            (self.num_readers, "reader", self.reader_gpus),
        )
        return ", ".join(counted(count, who) + (f" on {gpus:g} GPU each" if gpus else "") for count, who, gpus in pools)


def place(config: RunConfig) -> Placement:
    """The actors of a run, as set or as the Ray session there is can feed.

    Raises:
        ConfigError: the cluster has no room for them. Ray would wait for a larger one for ever.
    """
    encoders, readers = num_actors(config)
    shares = (config.encoder_gpus, config.reader_gpus)
    if shares == (None, None) and encoders == readers == _num_gpus(config) > 1:
        shares = (ENCODER_SHARE, READER_SHARE)
    encoder_gpus, reader_gpus = engine_gpus(config.engine, encoders, readers, *shares)
    lookers = config.num_lookers or -(-readers // READERS_PER_LOOKER)
    placement = Placement(
        num_encoders=encoders,
        num_readers=readers,
        num_lookers=lookers,
        in_flight=config.in_flight or IN_FLIGHT_PER_READER * readers,
        encoder_gpus=encoder_gpus or 0.0,
        reader_gpus=reader_gpus or 0.0,
        cpus=share_of_cpus(surviving_cpus(2.0) - lookers * LOOKER_CPUS, encoders + readers),
        threads=config.threads or cluster_threads(encoders + readers),
    )
    _check(placement)
    return placement


def num_actors(config: RunConfig) -> tuple[int, int]:
    """Encoders and readers: what is set; one of both per GPU; on CPUs one of both, of a small model per two CPUs.

    Where each reader takes several GPUs (`tensor_parallel`), as many readers as leave a GPU to the encoders.
    """
    num_gpus, per_reader = _num_gpus(config), config.engine.get("tensor_parallel", 1)
    encoders = readers = 1
    if num_gpus and (config.encoder_gpus, config.reader_gpus) != (None, None):
        pass  # who sets shares sets numbers
    elif num_gpus and per_reader > 1:
        readers = max(1, (num_gpus - 1) // per_reader)
        encoders = max(1, min(readers, num_gpus - readers * per_reader))
    elif num_gpus:
        encoders = readers = num_gpus
    elif config.engine_spec().copied and _weight_bytes(config) <= SMALL_BYTES:
        has = ray.cluster_resources()
        encoders = readers = max(1, int(min(has.get("CPU", 0) // 2, has.get("memory", 0) // PAIR_BYTES)))
    return config.num_encoders or encoders, config.num_readers or readers


def _check(placement: Placement) -> None:
    """Raises ConfigError where the actors do not fit the cluster."""
    shares = {
        "an encoder": (placement.num_encoders, placement.cpus, placement.encoder_gpus),
        "a reader": (placement.num_readers, placement.cpus, placement.reader_gpus),
        "a looker": (placement.num_lookers, LOOKER_CPUS, 0),
        "a task": (1, TASK_CPUS, 0),
    }
    needs: list[tuple[str, dict[str, float]]] = []
    for who, (count, cpu, gpu) in shares.items():
        needs += [(who, {"CPU": cpu, **({"GPU": gpu} if gpu else {})})] * count
    if why := misfit(needs, cluster_nodes()):
        raise ConfigError(
            f"the run does not fit its Ray cluster: {why}. Lower --num-encoders, --num-readers or their GPUs, or add "
            "a node"
        )


def _num_gpus(config: RunConfig) -> int:
    """GPUs that the run's engine may use."""
    return 0 if config.engine.get("device") == "cpu" else int(ray.cluster_resources().get("GPU", 0))


def _weight_bytes(config: RunConfig) -> int:
    return sum(file.stat().st_size for file in weight_files(checkpoint(config.engine_spec().model)))
