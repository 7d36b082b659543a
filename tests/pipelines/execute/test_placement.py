"""Numbers of actors and their shares: settled from what the Ray session has, and where Ray then puts them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from pipelines.execute import placement
from pipelines.execute.placement import Placement, place
from pipelines.runs.config import RunConfig
from saccade.errors import ConfigError

GIB = 2**30


class Cluster:
    """What Ray says there is."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch

    def has(self, *nodes: dict[str, float]) -> None:
        """Nodes that are alive, each with its resources."""
        total: dict[str, float] = {}
        for node in nodes:
            for name, amount in node.items():
                total[name] = total.get(name, 0) + amount
        self.patch.setattr(ray, "is_initialized", lambda: True)
        self.patch.setattr(ray, "cluster_resources", lambda: total)
        alive = [{"Alive": True, "Resources": node} for node in nodes]
        self.patch.setattr(ray, "nodes", lambda: [*alive, {"Alive": False, "Resources": {"CPU": 99.0, "GPU": 99.0}}])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def settings(tmp_path: Path, engine: dict[str, Any] | None = None, **given: Any) -> RunConfig:
    named = {"name": "hf", "device": "auto", **(engine or {})}
    return RunConfig(dataset={"name": "synthdoc"}, output=tmp_path, engine=named, address="head:6379", **given)


def numbers(placed: Placement) -> tuple[int, int, int, float, float]:
    return placed.num_encoders, placed.num_readers, placed.num_lookers, placed.encoder_gpus, placed.reader_gpus


@pytest.mark.parametrize(
    "num_gpus, expected",
    [(1, (1, 1, 1, 0.5, 0.5)), (2, (2, 2, 1, 0.4, 0.6)), (8, (8, 8, 2, 0.4, 0.6))],
)
def test_every_gpu_has_work(num_gpus: int, expected: Any, cluster: Cluster, tmp_path: Path) -> None:
    cluster.has({"CPU": 32.0, "GPU": float(num_gpus), "memory": 64 * GIB})
    placed = place(settings(tmp_path))
    assert numbers(placed) == expected and placed.in_flight == 32 * num_gpus
    assert placed.shared_gpus == (num_gpus > 1)


def test_readers_of_two_gpus_leave_one_to_the_encoders(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(tmp_path)
    monkeypatch.setitem(config.engine, "tensor_parallel", 2)
    for num_gpus, encoders, readers in [(3, 1, 1), (5, 1, 2), (8, 2, 3)]:
        cluster.has({"CPU": 32.0, "GPU": float(num_gpus)})
        placed = place(config)
        assert (placed.num_encoders, placed.num_readers, placed.reader_gpus) == (encoders, readers, 2)
        assert encoders * placed.encoder_gpus + readers * placed.reader_gpus == num_gpus, "all of them are used"
    cluster.has({"CPU": 32.0, "GPU": 2.0})
    with pytest.raises(ConfigError, match="do not fit 2 GPUs"):
        place(config)


@pytest.mark.parametrize(
    "cpus, memory, pairs, threads",
    [(2.0, 16, 1, 1), (16.0, 64, 8, 1), (16.0, 9, 2, 4), (1.0, 64, 1, 1), (64.0, 0, 1, 32)],
)
def test_a_small_model_is_copied_on_cpus_as_memory_allows(
    cpus: float, memory: float, pairs: int, threads: int, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.has({"CPU": cpus, "memory": memory * GIB})
    placed = place(settings(tmp_path))
    assert numbers(placed)[:2] == (pairs, pairs) and placed.threads == threads


def test_a_large_model_shares_its_threads(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "SMALL_BYTES", 2**20)
    cluster.has({"CPU": 16.0, "memory": 64 * GIB})
    placed = place(settings(tmp_path))
    assert numbers(placed)[:2] == (1, 1) and placed.threads == 8


def test_what_is_set_stays(cluster: Cluster, tmp_path: Path) -> None:
    cluster.has({"CPU": 12.0, "GPU": 4.0})
    assert numbers(place(settings(tmp_path, num_readers=2, num_encoders=2)))[:2] == (2, 2)
    assert numbers(place(settings(tmp_path, reader_gpus=1)))[:2] == (1, 1), "who sets shares sets numbers"
    assert numbers(place(settings(tmp_path, num_lookers=3, in_flight=5)))[2] == 3
    assert numbers(place(settings(tmp_path, {"device": "cpu"})))[3:] == (0, 0)
    with pytest.raises(ConfigError, match="do not fit 4 GPUs"):
        place(settings(tmp_path, reader_gpus=5))


def test_threads_are_of_the_smallest_node(cluster: Cluster, tmp_path: Path) -> None:
    cluster.has({"CPU": 4.0, "GPU": 1.0}, {"CPU": 8.0})
    assert place(settings(tmp_path)).threads == 4


def test_it_says_what_it_placed(cluster: Cluster, tmp_path: Path) -> None:
    cluster.has({"CPU": 8.0, "GPU": 2.0})
    assert str(place(settings(tmp_path))) == "2 encoders on 0.4 GPU each, 2 readers on 0.6 GPU each"
    cluster.has({"CPU": 2.0})
    assert str(place(settings(tmp_path))) == "1 encoder, 1 reader"


def test_the_gpus_of_a_cluster_are_no_business_of_its_driver(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Ray chooses the GPU of each worker"):
        settings(tmp_path, {"device": "cuda:1"})


@pytest.fixture
def four_gpus() -> Iterator[None]:
    """A Ray session with four GPUs by name; nothing computes on them."""
    if ray.is_initialized():
        pytest.skip("another test's Ray session is open")
    ray.init(address="local", num_cpus=2, num_gpus=4, include_dashboard=False, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


class Where:
    """An actor that tells which GPU Ray gave it."""

    def gpus(self) -> list[str]:
        return list(ray.get_runtime_context().get_accelerator_ids()["GPU"])


def test_each_gpu_gets_a_reader_and_an_encoder(four_gpus: None, tmp_path: Path) -> None:
    """The order that `ray_graph.run` keeps: readers, which do not fit one GPU together, then encoders."""
    placed = place(settings(tmp_path))
    assert placed.shared_gpus

    def start(count: int, share: float) -> tuple[list[Any], list[list[str]]]:
        actors = [ray.remote(Where).options(num_cpus=0, num_gpus=share).remote() for _ in range(count)]
        return actors, sorted(ray.get([actor.gpus.remote() for actor in actors]))

    readers, gpus_of_readers = start(placed.num_readers, placed.reader_gpus)
    encoders, gpus_of_encoders = start(placed.num_encoders, placed.encoder_gpus)
    assert gpus_of_readers == gpus_of_encoders == [["0"], ["1"], ["2"], ["3"]]
    assert len({*readers, *encoders}) == 8, "they are held until here"
