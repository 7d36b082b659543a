"""Shares of CPUs and GPUs: what Ray has, divided among the actors of a run or the replicas of an endpoint."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import ray

from saccade.errors import ConfigError
from saccade.machine import num_cpus
from saccade.wording import counted


def cluster_cpus(otherwise: float) -> float:
    """Logical CPUs of the Ray session, `otherwise` where none has been started."""
    return float(ray.cluster_resources().get("CPU", otherwise)) if ray.is_initialized() else otherwise


def surviving_cpus(otherwise: float) -> float:
    """Logical CPUs that the session still has when its largest node is gone; all of them where there is one node."""
    nodes = cluster_nodes() if ray.is_initialized() else []
    cpus = [node.get("CPU", 0.0) for node in nodes if node.get("CPU")]
    return sum(cpus) - (max(cpus) if len(cpus) > 1 else 0) if cpus else otherwise


def cluster_nodes() -> list[dict[str, float]]:
    """What each node that is alive has in all, used or free."""
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]


def misfit(needs: Sequence[tuple[str, Mapping[str, float]]], nodes: Sequence[Mapping[str, float]]) -> str | None:
    """What does not fit nodes of this size, even if they were empty; None: everything finds a place.

    Needs are (who, {"CPU": 0.5, "GPU": 1}). Those with most GPUs and CPUs are placed first, each where it leaves least.
    """
    free = [dict(node) for node in nodes]

    def size(room: Mapping[str, float]) -> tuple[float, float]:
        return room.get("GPU", 0), room.get("CPU", 0)

    for who, need in sorted(needs, key=lambda each: size(each[1]), reverse=True):
        places = [room for room in free if all(room.get(key, 0) >= value - 1e-6 for key, value in need.items())]
        if not places:
            wanted = " and ".join(f"{value:g} {key}" for key, value in need.items())
            has = "; ".join(", ".join(f"{node.get(key, 0):g} {key}" for key in need) for node in nodes) or "nothing"
            return f"{who} needs {wanted}, which no node of the cluster has free (its nodes: {has})"
        best = min(places, key=size)
        for key, value in need.items():
            best[key] -= value
    return None


def cluster_threads(num_actors: int) -> int:
    """CPU threads of each actor: the cluster's CPUs, shared, and no more than its smallest node has."""
    nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    return thread_share([cpus for cpus in nodes if cpus], num_actors)


def machine_threads(num_actors: int) -> int:
    """CPU threads of each of `num_actors` processes on this machine."""
    return max(1, num_cpus() // num_actors)


def engine_gpus(
    engine: Mapping[str, Any], num_encoders: int, num_readers: int, encoder: float | None, reader: float | None
) -> tuple[float, float]:
    """GPUs of each encoder and reader, where the engine is not on a CPU: what is set, or an equal share of Ray's.

    Raises:
        ConfigError: the cluster has fewer.
    """
    if engine.get("device") == "cpu":
        encoder, reader = encoder or 0, reader or 0
    elif reader is None and engine.get("tensor_parallel", 1) > 1:
        reader = engine["tensor_parallel"]
    num_gpus = int(ray.cluster_resources().get("GPU", 0)) if ray.is_initialized() else 0
    return gpu_shares(num_gpus, num_encoders, num_readers, encoder, reader)


def share_of_cpus(total: float, num_actors: int) -> float:
    """Logical CPUs of each actor, so that 1.5 stay free for tasks: one that splits the manifest takes a whole one."""
    return max(0.01, min(1.0, math.floor((total - 1.5) / num_actors * 100 + 1e-6) / 100))


def thread_share(cpus_of_nodes: Sequence[float], num_actors: int) -> int:
    """CPU threads of each actor: an equal share of all CPUs, if the smallest node has that many."""
    return max(1, int(min(sum(cpus_of_nodes) // num_actors, min(cpus_of_nodes))))


def gpu_shares(
    num_gpus: int, num_encoders: int, num_readers: int, encoder: float | None, reader: float | None
) -> tuple[float, float]:
    """GPUs of each encoder and reader; None: an equal share of the GPUs that the others leave, one GPU at most.

    Ray puts an actor on a part of one GPU or on whole ones, so the shares are such that they fit GPU by GPU.

    Raises:
        ConfigError: there are fewer GPUs.
    """
    given = [encoder] * num_encoders + [reader] * num_readers
    free, sharing = [1.0] * num_gpus, given.count(None)
    fits = all(_take(free, share) for share in sorted((share for share in given if share), reverse=True))
    shares = [math.floor(1e4 / parts) / 1e4 for parts in range(1, 101)]  # Ray counts in steps of 0.0001
    equal = next((share for share in shares if sum(int(room / share + 1e-6) for room in free) >= sharing), 0.0)
    if not fits or (num_gpus and sharing and not equal):
        raise ConfigError(
            f"{counted(num_encoders, 'encoder')} (--encoder-gpus {_shown(encoder)}) and "
            f"{counted(num_readers, 'reader')} (--reader-gpus {_shown(reader)}) do not fit "
            f"{counted(num_gpus, 'GPU')}, which is what Ray has: an actor gets a part of one GPU, or whole ones. "
            "Lower the shares, --num-encoders or --num-readers; or give --device cpu"
        )
    return equal if encoder is None else encoder, equal if reader is None else reader


def _take(free: list[float], share: float) -> bool:
    """Takes a share from the GPUs' free parts, if it fits: a part from the first one, or whole ones."""
    whole = max(1, round(share))
    fitting = [place for place, room in enumerate(free) if room >= min(share, 1) - 1e-6][:whole]
    if len(fitting) < whole or (share > 1 and share != whole):
        return False
    for place in fitting:
        free[place] -= min(share, 1)
    return True


def _shown(share: float | None) -> str:
    return "null" if share is None else str(share)
