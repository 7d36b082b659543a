"""Encoded pages come back from Parquet as they were, and are encoded once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from saccade.config import Episode
from saccade.datasets import open_dataset
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.errors import ConfigError, EngineDead
from saccade.heads.codec import Codec
from saccade.heads.files import save
from saccade.training import stored as stored_module
from saccade.training.maps import Maps
from saccade.training.stored import Pages, logger, stored
from saccade.training.targets import label_boxes
from saccade.types import ENCODED, Scene
from tests import tiny

LOOKS = Episode(sampler="topk", fixations=1)
DATA = SynthDoc(page_px=256, num_pages=3, seed=3)


def pages(cache, engine, **more):
    return stored(cache, LOOKS, engine, DATA, list(DATA.rows()), **more)


def test_pages_come_back_as_they_were(tmp_path, engine):
    page, row = pages(tmp_path, engine)[1], list(DATA.rows())[1]
    (fresh,) = engine.encode([engine.prepare(DATA.picture(row.source))])
    for name in set(ENCODED) - {"received", "deepstack"}:
        assert torch.equal(getattr(page.encoding, name), getattr(fresh, name)), name
    for name in ("centre_uv", "extent_uv", "row", "col", "level"):
        assert torch.equal(getattr(page.encoding.grid, name), getattr(fresh.grid, name))
    assert page.encoding.grid.aspect_uv == fresh.grid.aspect_uv and page.image_id == row.image_id
    for (question, _), listed in zip(
        page.asked, row.questions, strict=True
    ):  # JSON knows no tuples in what is free-form
        assert replace(question, metadata={}) == replace(listed, metadata={})
        assert label_boxes(question) == label_boxes(listed) != ()
    assert (page.picture.rgb == DATA.picture(row.source).rgb).all()


def test_the_scene_of_a_page_is_that_of_its_questions(tmp_path, engine):
    page = pages(tmp_path, engine)[0]
    plain = Scene.of([(page.picture, page.encoding, query) for _, query in page.asked])
    for name in ("tokens", "present", "query_tokens", "query_weight", "row", "centre_uv"):
        assert torch.equal(getattr(page.scene, name), getattr(plain, name)), name
    assert page.some([1]).queries == (page.asked[1][1],)


def test_nothing_is_encoded_twice_and_another_model_or_teacher_is_another_folder(tmp_path, engine, monkeypatch):
    first = pages(tmp_path, engine)
    monkeypatch.setattr(engine, "encode", None)
    assert pages(tmp_path, engine).files == first.files
    monkeypatch.undo()

    def teach(source, picture, encoding, asked):
        return torch.full((len(asked), len(encoding)), float(source))

    taught = pages(tmp_path, engine, teach=teach, taught={"teacher": "test"})
    assert not set(taught.files) & set(first.files)
    assert first[2].worth is None and (taught[2].worth == 2).all()
    assert taught[2].worth.shape == (len(taught[2].asked), len(taught[2].encoding))


def named(ids):
    """Pages that are never read."""
    return Pages([Path(image_id) for image_id in ids], ids, None)


def test_a_page_is_held_out_by_its_own_id_whatever_becomes_of_the_others():
    ids = [f"page {number}" for number in range(400)]
    learnt, held_out = named(ids).split(5)
    assert sorted(learnt.image_ids + held_out.image_ids) == sorted(ids) and 50 < len(held_out) < 110
    for some in (ids[:0:-1], ids[::3], [*ids[7:200], "new"]):
        parts = named(some).split(5)
        for part, others in ((parts[0], held_out), (parts[1], learnt)):
            assert not set(part.image_ids) & set(others.image_ids)
            assert [str(file) for file in part.files] == part.image_ids
    twice = named([*ids, *ids]).split(5)  # two rows of one image stay together
    assert not set(twice[0].image_ids) & set(twice[1].image_ids)


def test_of_a_few_pages_one_is_held_out_and_one_is_not():
    for ids in (["a", "b"], ["c", "d"], ["e", "f", "g"], ["h", "i"]):
        for every in (1, 2, 5, 1000):
            learnt, held_out = named(ids).split(every)
            assert len(learnt) and len(held_out) and len(learnt) + len(held_out) == len(ids)
    for ids in (["a"], ["a", "a"]):
        with pytest.raises(ConfigError, match="1 page with usable questions"):
            named(ids).split(5)


def test_attention_is_recorded_for_a_scorer_that_reads_it(tmp_path, engine):
    assert pages(tmp_path, engine)[0].encoding.received.isnan().all()
    looks = LOOKS.with_settings(scorer="received")
    assert not stored(tmp_path, looks, engine, DATA, list(DATA.rows()))[0].encoding.received.isnan().any()


def test_a_picture_with_a_map_that_was_replaced_is_encoded_again(tmp_path, engine):
    for name in ("images", "maps"):
        (tmp_path / name).mkdir()
        Image.fromarray(tiny.page(64, 64)).save(tmp_path / name / "a.png")
    data = Maps(data_path=str(tmp_path))

    def found():
        return stored(tmp_path / "cache", LOOKS, engine, data, list(data.rows()), needs="nothing")[0]

    found()
    Image.fromarray(tiny.page(96, 64, seed=1)).save(tmp_path / "images" / "a.png")
    assert found().encoding.picture_hash == found().picture.sha256


def test_a_codec_s_numbers_are_stored_in_the_place_of_tokens(tmp_path, qwen2_5_vl):
    with HF(model=str(qwen2_5_vl)).open_encoder() as plain:
        whole = pages(tmp_path / "plain", plain)
    codec = Codec(whole[0].encoding.tokens.shape[1], 4)
    codec.start(whole[0].encoding.tokens)
    save(codec, tmp_path / "codec")
    reduction = {"name": "autoencoder", "weights": str(tmp_path / "codec")}
    with HF(model=str(qwen2_5_vl), reduction=reduction).open() as engine:
        coded = pages(tmp_path / "coded", engine)
        (fresh,) = engine.encode([engine.prepare(DATA.picture("0"))])
    assert torch.equal(coded[0].encoding.tokens, fresh.tokens) and coded[0].encoding.coded.codes.shape[1] == 4
    assert coded.files[0].parent.name != whole.files[0].parent.name, "pages of the two are never taken for each other"
    assert coded.files[0].stat().st_size < whole.files[0].stat().st_size


def test_questions_without_what_a_training_needs_are_left_out(tmp_path, engine):
    Image.fromarray(tiny.page(64, 64)).save(tmp_path / "a.png")
    boxed = {"answers": ["x"], "answer_boxes": [[1, 1, 9, 9]]}
    known = {"boxed": boxed, "answered": {"answers": ["x"]}, "bare": {}}
    lines = [{"id": name, "image": "a.png", "question": "What?"} | more for name, more in known.items()]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = open_dataset(str(tmp_path / "q.jsonl"))
    found, files = {}, set()
    for needs in ("boxes", "answers", "nothing"):
        kept = stored(tmp_path / "cache", LOOKS, engine, data, list(data.rows()), needs=needs)
        files |= set(kept.files)
        found[needs] = [question.id for question, _ in kept[0].asked]
    assert len(files) == 1, "encoded once for all that trainings need"
    assert found == {"boxes": ["boxed"], "answers": ["boxed", "answered"], "nothing": ["boxed", "answered", "bare"]}
    (tmp_path / "q.jsonl").write_text(json.dumps(lines[2]) + "\n")
    stored(tmp_path / "cache", LOOKS, engine, data, list(data.rows()), needs="nothing")
    with pytest.raises(ConfigError, match="has no questions with answers$"):
        stored(tmp_path / "cache", LOOKS, engine, data, list(data.rows()), needs="answers")
    (tmp_path / "q.jsonl").write_text(json.dumps(lines[1] | {"image": "absent.png"}) + "\n")
    with pytest.raises(ConfigError, match="no usable page: the page absent.png is left out: PictureError"):
        stored(tmp_path / "cache", LOOKS, engine, data, list(data.rows()), needs="answers")


def test_a_question_that_cannot_be_asked_is_said_where_its_page_is_stored_for_another(tmp_path, engine):
    Image.fromarray(tiny.page(64, 64)).save(tmp_path / "a.png")
    lines = [
        {"id": "fine", "image": "a.png", "question": "What?", "answers": ["x"]},
        {"id": "long", "image": "a.png", "question": "What? " * 20_000, "answer_boxes": [[1, 1, 9, 9]]},
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    data = open_dataset(str(tmp_path / "q.jsonl"))
    assert len(stored(tmp_path / "cache", LOOKS, engine, data, list(data.rows()), needs="answers")) == 1
    with pytest.raises(ConfigError, match="no usable page: the page a.png is left out: QuestionError"):
        stored(tmp_path / "cache", LOOKS, engine, data, list(data.rows()), needs="boxes")


def folder_of_two(folder, second):
    """A data set of two images; `second` are the bytes of the second one."""
    Image.fromarray(tiny.page(64, 64)).save(folder / "a.png")
    (folder / "b.png").write_bytes(second)
    lines = [json.dumps({"id": name, "image": f"{name}.png", "question": "What?"}) for name in "ab"]
    (folder / "q.jsonl").write_text("\n".join(lines) + "\n")
    return open_dataset(str(folder / "q.jsonl"))


def test_a_page_that_failed_is_said_and_tried_again(tmp_path, engine, monkeypatch):
    said = []
    # The logger itself: what other libraries set up for all loggers of a process must not decide this.
    monkeypatch.setattr(logger, "warning", lambda text, *values: said.append(text % values))
    data = folder_of_two(tmp_path, b"no image")

    def found():
        return stored(tmp_path / "cache", LOOKS, engine, data, list(data.rows()), needs="nothing")

    assert len(found()) == 1
    assert said[0].startswith("the page b.png is left out: PictureError: ") and said[1].startswith(
        "1 of 2 pages failed"
    )
    Image.fromarray(tiny.page(64, 64, seed=1)).save(tmp_path / "b.png")
    first = found()
    assert len(first) == 2
    Image.fromarray(tiny.page(96, 64, seed=2)).save(tmp_path / "b.png")
    again = found()
    assert again.files[0] == first.files[0] and again[1].picture.sha256 == again[1].encoding.picture_hash


def test_two_trainings_may_store_one_page_at_once(tmp_path, engine, monkeypatch):
    """The other one finishes the page while this one is about to."""
    real, other = stored_module.pq.write_table, []

    def write_table(table, place, **how):
        real(table, place, **how)
        monkeypatch.setattr(stored_module.pq, "write_table", real)
        other.extend(pages(tmp_path, engine))

    monkeypatch.setattr(stored_module.pq, "write_table", write_table)
    found = pages(tmp_path, engine)
    assert torch.equal(found[0].encoding.tokens, other[0].encoding.tokens)
    assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} == {".json", ".parquet"}


def test_an_engine_that_is_gone_ends_the_encoding(tmp_path, engine, monkeypatch):
    def dead(*_):
        raise EngineDead("gone")

    monkeypatch.setattr(engine, "encode", dead)
    with pytest.raises(EngineDead, match="gone"):
        pages(tmp_path, engine)
    monkeypatch.undo()
    assert len(pages(tmp_path, engine)) == 3
