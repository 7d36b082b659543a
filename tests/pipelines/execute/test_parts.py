"""The small parts that the graph is made of; no Ray."""

import asyncio
import os
import pickle
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest
import torch

from pipelines.execute import lookers, resources
from pipelines.execute.encoders import Sight
from pipelines.execute.in_flight import Ledger
from pipelines.execute.resources import gpu_shares, share_of_cpus, thread_share
from pipelines.execute.serialization import freeze, thaw
from pipelines.runs import manifest
from pipelines.runs.config import changes
from saccade.config import Episode
from saccade.datasets import Row, Skip
from saccade.engines.hf import HF, HFEngine
from saccade.episode import see
from saccade.errors import ConfigError, EngineDead
from saccade.files import replaced
from saccade.heads.codec import Codec
from saccade.heads.files import save
from saccade.picture import Picture
from saccade.types import Encoding, Part, Question, Selection
from tests import tiny


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_tensors_come_out_of_the_wire_as_they_went_in(dtype: torch.dtype) -> None:
    levels = torch.arange(12).view(2, 2, 3).to(dtype)
    part = Part(torch.arange(6).view(2, 3).to(dtype), torch.tensor([0, 1]), torch.tensor([1, 1]), "key", levels)
    again = thaw(freeze((part, {"a": [part.row, "text", None]})))
    assert torch.equal(again[0].wide, part.wide) and again[0].wide.dtype == dtype
    assert torch.equal(again[0].tokens, part.tokens) and again[0].tokens.dtype == dtype and again[0].key == "key"
    assert torch.equal(again[1]["a"][0], part.row) and again[1]["a"][1:] == ["text", None]


def with_levels(encoding: Encoding | None, dtype: torch.dtype) -> Encoding | None:
    """An encoding as of a family with two DeepStack levels, in another precision."""
    if encoding is None:
        return None
    levels = torch.stack([encoding.tokens + 1, encoding.tokens - 1], 1).to(dtype)
    tokens, features = encoding.tokens.to(dtype), encoding.features.to(dtype)
    return replace(encoding, tokens=tokens, features=features, deepstack=levels)


@pytest.mark.parametrize("levels", [None, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("glimpse", [0, 4])
def test_a_seen_image_crosses_processes_unchanged(engine: HFEngine, glimpse: int, levels: torch.dtype | None) -> None:
    questions = [Question("a", "What?"), Question("b", " ")]  # the second one cannot be asked
    seen = see(Episode(glimpse=glimpse), engine, Picture.open(tiny.page(140, 196)), questions)
    if levels is not None:
        encoding = with_levels(seen.encoding, levels)
        assert encoding is not None
        seen = replace(seen, whole=encoding, glimpse=with_levels(seen.glimpse, levels))
    assert seen.encoding is seen.whole
    again = thaw(pickle.loads(pickle.dumps(freeze(replace(seen, picture=None)))))  # type: ignore[arg-type]
    for before, after in ((seen.encoding, again.encoding), (seen.glimpse, again.glimpse)):
        if before is not None and after is not None:
            assert (before.deepstack is None) == (after.deepstack is None) == (levels is None)
            for name, tensor in before.tensors.items():
                assert torch.equal(tensor.nan_to_num(7), getattr(after, name).nan_to_num(7)), name
                assert tensor.dtype == getattr(after, name).dtype, name
            assert torch.equal(before.grid.row, after.grid.row) and before.fingerprint == after.fingerprint
    assert (seen.glimpse is None) == (again.glimpse is None)
    assert [type(query) for _, query in again.asked] == [type(query) for _, query in seen.asked]
    assert again.encoder_patches == seen.encoder_patches


def test_the_manifest_keeps_questions_and_lists_what_was_skipped(tmp_path: Path) -> None:
    asked = Question(
        "q", "What?", ("a", "b"), ((0.0, 0.0, 0.5, 0.5),), {"px": 9}, ((1.0, 2.0, 3.0, 4.0),), "DataError: x"
    )
    path, skipped = tmp_path / "m.parquet", tmp_path / "s.jsonl"
    manifest.write([Row("i", "s", (asked,)), Skip("no_id", "f:2"), Row("j", "t", (Question("r", "?"),))], path, skipped)
    table = pq.read_table(path)
    assert table["number"].to_pylist() == [0, 1]
    assert manifest.questions_of(table["questions"][0].as_py()) == (asked,)
    assert manifest.questions_of(table["questions"][1].as_py()) == (Question("r", "?"),)
    assert list(manifest.skips(skipped)) == [Skip("no_id", "f:2")]


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with pytest.raises(ZeroDivisionError), replaced(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with replaced(path) as temporary:
        temporary.write_text("whole")
    assert os.listdir(tmp_path) == ["file"] and path.read_text() == "whole"


@pytest.mark.parametrize("error, costs_the_run", [(ZeroDivisionError("0 / 0"), False), (EngineDead("gone"), True)])
def test_what_fails_where_answers_are_scored_costs_the_rows_of_one_image(
    engine: HFEngine, monkeypatch: pytest.MonkeyPatch, error: Exception, costs_the_run: bool
) -> None:
    """A metric of one's own, say. A dead engine costs the run."""

    def fails(*args: object) -> None:
        raise error

    async def no_outcomes(self: object, asked: object) -> list[object]:
        return []

    monkeypatch.setattr(lookers.rows, "scored_rows", fails)
    monkeypatch.setattr(lookers._Image, "outcomes", no_outcomes)
    asked, bad = Question("a", "What?", ("x",)), Question("b", "What?", error="DataError: no box")
    seen = see(Episode(), engine, Picture.open(tiny.page(140, 196)), [asked])
    look, forgotten = object.__new__(lookers.Look), []
    look.plan = SimpleNamespace(limit_px=None, episode=Episode())  # type: ignore[assignment]
    look.dataset = SimpleNamespace(picture=lambda *_: seen.picture)  # type: ignore[assignment]
    look.encoders = SimpleNamespace(forget=lambda *of: forgotten.append(of))  # type: ignore[assignment]
    work = look._rows(Row("i", "i.png", (asked, bad)), Sight((asked, bad), seen.elsewhere()), 0)
    if costs_the_run:
        with pytest.raises(EngineDead):
            asyncio.run(work)
        return
    by_id = asyncio.run(work)
    assert {key: row["error"] for key, row in by_id.items()} == {
        "a": "ZeroDivisionError: 0 / 0",
        "b": "DataError: no box",
    }
    assert by_id["a"]["score"] == 0.0 and forgotten == [(0, "i")]


def test_no_more_images_than_the_bound_are_between_encoder_and_disk() -> None:
    async def run() -> list[int]:
        ledger = Ledger(2)
        most: list[int] = []

        async def image(name: str) -> None:
            await ledger.begin(name)
            await ledger.begin(name)  # its encoder died: it has its place already
            most.append(len(ledger.open))
            await asyncio.sleep(0)
            await ledger.done(name, 3, 1)
            await ledger.done(name, 3, 1)  # a write that was repeated

        await asyncio.gather(*(image(str(number)) for number in range(9)))
        assert await ledger.counts() == (9, 27, 9)
        return most

    assert max(asyncio.run(run())) == 2


def test_an_image_that_is_written_and_made_again_takes_no_place() -> None:
    async def run() -> None:
        ledger = Ledger(1)
        await ledger.begin("lost")
        await ledger.done("lost", 3, 0)
        await ledger.begin("lost")  # its node was lost with the block
        await asyncio.wait_for(ledger.begin("next"), 1)
        await ledger.done("lost", 3, 0)
        assert await ledger.counts() == (1, 3, 0)

    asyncio.run(run())


def test_a_graph_that_begins_again_finds_its_places_free() -> None:
    async def run() -> None:
        ledger = Ledger(2)
        for name in ("a", "b"):
            await ledger.begin(name)
        waiting = asyncio.ensure_future(ledger.begin("c"))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        await ledger.forget()  # a node was lost with both
        await asyncio.wait_for(waiting, 1)
        for name in ("a", "c", "a"):
            await ledger.done(name, 2, 0)
        assert await ledger.counts() == (2, 4, 0)

    asyncio.run(run())


def test_what_changed_is_named_with_both_values() -> None:
    before = {"episode": {"sampler": "hybrid", "budget": {"tokens": 273}}, "limit": None}
    after = {"episode": {"sampler": "random", "budget": {"tokens": 273}}, "limit": 8}
    assert changes(before, after) == ["episode.sampler: hybrid -> random", "limit: null -> 8"]
    assert changes(before, before) == []


@pytest.mark.parametrize("total, actors, share", [(1.9, 2, 0.2), (1.9, 4, 0.1), (16, 2, 1.0), (1, 2, 0.01)])
def test_actors_leave_room_for_tasks(total: float, actors: int, share: float) -> None:
    assert share_of_cpus(total, actors) == pytest.approx(share)


@pytest.mark.parametrize("cpus, actors, threads", [([2], 2, 1), ([8], 2, 4), ([64, 8], 2, 8), ([4, 4], 16, 1)])
def test_threads_fit_the_smallest_node(cpus: list[float], actors: int, threads: int) -> None:
    assert thread_share(cpus, actors) == threads


@pytest.mark.parametrize(
    "gpus, encoders, readers, given, shares",
    [
        (0, 1, 1, (None, None), (0, 0)),
        (1, 1, 1, (None, None), (0.5, 0.5)),
        (2, 1, 1, (None, None), (1, 1)),
        (8, 1, 1, (None, None), (1, 1)),
        (2, 1, 2, (None, None), (0.5, 0.5)),  # thirds of two would leave one actor without a place
        (1, 1, 2, (None, None), (0.3333, 0.3333)),
        (1, 1, 1, (0.25, None), (0.25, 0.5)),
        (4, 2, 2, (0.5, None), (0.5, 1)),
        (4, 1, 1, (None, 2), (1, 2)),
        (2, 1, 1, (0, None), (0, 1)),
    ],
)
def test_gpus_are_shared_so_that_actors_fit(
    gpus: int, encoders: int, readers: int, given: tuple[float | None, float | None], shares: tuple[float, float]
) -> None:
    assert gpu_shares(gpus, encoders, readers, *given) == pytest.approx(shares)


@pytest.mark.parametrize(
    "gpus, given", [(0, (None, 1)), (1, (1, None)), (1, (0.6, 0.6)), (2, (0, 1.5)), (1, (None, 2))]
)
def test_gpus_that_are_not_there_are_refused(gpus: int, given: tuple[float | None, float | None]) -> None:
    with pytest.raises(ConfigError, match=f"do not fit {gpus} GPU"):
        gpu_shares(gpus, 1, 1, *given)


@pytest.mark.parametrize(
    "nodes, needs, told",
    [
        ([{"CPU": 1}, {"CPU": 1}], [{"CPU": 0.6}, {"CPU": 0.6}, {"CPU": 0.4}], None),
        ([{"CPU": 1}, {"CPU": 1}], [{"CPU": 0.6}, {"CPU": 0.6}, {"CPU": 0.6}], "0.6 CPU, which no node of the cluster"),
        ([{"CPU": 1}, {"CPU": 1}], [{"CPU": 2}], r"free \(its nodes: 1 CPU; 1 CPU\)"),
        ([{"CPU": 4, "GPU": 1}, {"CPU": 4}], [{"CPU": 1, "GPU": 1}, {"CPU": 4}], None),
        ([{"CPU": 4}], [{"CPU": 1, "GPU": 0.5}], r"1 CPU and 0.5 GPU, .* \(its nodes: 4 CPU, 0 GPU\)"),
        ([], [{"CPU": 0.1}], "its nodes: nothing"),
    ],
)
def test_what_no_node_has_room_for_is_told(
    nodes: list[dict[str, float]], needs: list[dict[str, float]], told: str | None
) -> None:
    text = resources.misfit([(f"actor {number}", need) for number, need in enumerate(needs)], nodes)
    assert text is None if told is None else re.search(told, text or ""), text


@pytest.mark.parametrize("cpus, left", [([2], 2), ([2, 2], 2), ([64, 8, 8], 16), ([0, 4], 4), ([], 7)])
def test_shares_are_of_what_is_left_without_the_largest_node(
    cpus: list[float], left: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources.ray, "is_initialized", lambda: True)
    monkeypatch.setattr(resources.ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": n}} for n in cpus])
    assert resources.surviving_cpus(7) == left


def test_codes_travel_in_the_place_of_tokens(qwen2_5_vl: Path, tmp_path: Path) -> None:
    """What an encoder sends and what a reader gets, with a codec of 4 numbers a token: the same tokens, fewer bytes."""
    with HF(model=str(qwen2_5_vl)).open() as plain:
        tokens = plain.encode([plain.prepare(Picture.open(tiny.page(440, 400)))])[0].tokens
    codec = Codec(tokens.shape[1], 4)
    codec.start(tokens)
    save(codec, tmp_path)
    reduction = {"name": "autoencoder", "weights": str(tmp_path)}
    with HF(model=str(qwen2_5_vl), reduction=reduction).open_encoder() as encoder:
        seen = see(Episode(sampler="full"), encoder, Picture.open(tiny.page(440, 400)), [Question("a", "Total?")])
    encoding = seen.encoding
    torch.testing.assert_close(encoding.tokens, codec(tokens), rtol=1e-2, atol=1e-2)
    sent = freeze(replace(seen, picture=None))
    assert sent.whole.tokens is None and torch.equal(thaw(sent).encoding.tokens, encoding.tokens)
    part = Part.of(encoding, Selection.keep(torch.tensor([3, 5, 90]), len(encoding)))
    packed = freeze(part)
    torch.testing.assert_close(thaw(packed).tokens, encoding.tokens[[3, 5, 90]])
    assert packed.tokens is None and packed.coded.codes.array.nbytes == 3 * 4 * 2
    assert thaw(packed).key == part.key
    source = torch.full((len(encoding),), -1)
    source[3:5], source[90] = 0, 1
    merged = Part.of(encoding, Selection(torch.tensor([3, 90]), source))
    assert merged.coded is None and torch.equal(thaw(freeze(merged)).tokens, merged.tokens), "a mean has no code"
