"""From stored answers to files: nothing lost, everything typed, and each format as its own readers take it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipelines.annotating.corrections import Correction, append_correction, read_corrections
from pipelines.annotating.export import export
from pipelines.annotating.pages import read_pages
from pipelines.annotating.places import Places
from pipelines.annotating.run import dataset_for, list_again
from pipelines.annotating.settings import Annotating, dataset_of
from pipelines.annotating.settings import write_settings as kept
from pipelines.reporting.page import report
from pipelines.runs import manifest
from pipelines.runs import rows as stored_rows
from saccade.datasets import Row, open_dataset, open_images
from saccade.datasets.fields import Fields
from saccade.errors import ConfigError
from tests import tiny
from tests.broken_images import encoded
from tests.pipelines.annotating.conftest import FIELDS, SAID, annotated, stored_row


def table(run: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(run / "annotations" / "00000.parquet").to_pylist())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_per_page_and_typed_columns_per_field(run: Path) -> None:
    made = export(run)
    assert (made.pages, made.values, made.review, made.review_pages) == (3, 9, 5, 2)
    first, second, bad = table(run)
    assert first["image"] == "a.png" and (first["width"], first["height"]) == (120, 160)
    assert (first["company"], first["total"], first["total_currency"], first["paid"]) == ("ACME Ltd", 12.5, "RM", True)
    assert first["company_confidence"] == 0.95 and first["total_box"] == [40, 40, 60, 60]  # cell (2, 2), of 20 px
    assert not first["review"] and first["reviewed"] == []
    assert (second["company"], second["company_flag"]) == ("Blue", "unsure")
    assert (second["total"], second["total_text"], second["total_flag"]) == (None, "twelve", "not_an_amount")
    assert (second["paid"], second["paid_flag"]) == (None, None)  # it need not be there
    assert [bad[f"{field.name}_flag"] for field in FIELDS] == ["error"] * 3 and bad["width"] is None


def test_what_needs_a_person_is_set_apart(run: Path) -> None:
    export(run)
    found = [(line["image"], line["field"], line["flag"]) for line in lines(run / "review.jsonl")]
    assert found == [
        ("b.png", "company", "unsure"),
        ("b.png", "total", "not_an_amount"),
        *(("bad.png", field.name, "error") for field in FIELDS),
    ]
    assert lines(run / "review.jsonl")[2]["error"] == "PictureError: it is no image"
    kept(run, Annotating(review_below=0.3))
    assert export(run).review == 4  # the one at 0.5 is sure enough now


def files(run: Path) -> dict[str, bytes]:
    paths = [path for path in run.rglob("*") if path.is_file() and ".saccade" not in path.parts]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def test_exports_are_the_same_whenever_they_are_made(run: Path) -> None:
    export(run)
    before = files(run)
    export(run)
    assert files(run) == before and len(before) > 9


def test_exports_are_the_same_where_the_images_are_gone(run: Path) -> None:
    export(run)
    before = files(run)
    for scan in (run.parent / "scans").iterdir():
        scan.unlink()
    export(run)
    assert files(run) == before


def test_boxes_of_a_run_that_stored_none_are_made_from_its_looks(run: Path) -> None:
    answers = Places(run).file_of(0)
    pq.write_table(pq.read_table(answers).drop_columns(["width_px", "height_px", "evidence_px"]), answers)
    page = next(iter(read_pages(run)))
    assert (page.width, page.height) == (120, 160) and page.values[1].box_px == (40, 40, 60, 60)


def test_labels_are_a_data_set_again(run: Path) -> None:
    export(run)
    (row,) = (each for each in open_dataset(str(run / "labels.jsonl")).rows() if isinstance(each, Row))
    sample = open_dataset(str(run / "labels.jsonl")).sample(row)
    assert [q.answers for q in sample.questions] == [("ACME Ltd",), ("RM 12.50",), ("yes",)]
    assert sample.questions[0].answer_boxes_uv == ((40 / 120, 20 / 160, 60 / 120, 40 / 160),)
    assert sample.picture.size_px == (120, 160)


def test_corrections_are_taken_and_the_answers_stay(run: Path) -> None:
    answers = {path.name: path.read_bytes() for path in (run / "answers").iterdir()}
    file = Places(run).corrections
    append_correction(file, Correction("b.png", "total", "12", "twelve", "2026-01-01"))
    append_correction(file, Correction("b.png", "total", "$ 12.00", "twelve", "2026-01-02"))
    append_correction(file, Correction("b.png", "company", "Blue", "Blue", "2026-01-02"))  # accepted
    made = export(run)
    assert (made.by_person, made.review) == (2, 3)
    second = table(run)[1]
    assert (second["total"], second["total_currency"], second["total_flag"]) == (12.0, "$", None)
    assert second["total_box"] is None and second["company_box"] == [40, 20, 60, 40]
    assert second["total_confidence"] == 0.99 and second["reviewed"] == ["company", "total"]
    assert {path.name: path.read_bytes() for path in (run / "answers").iterdir()} == answers


@pytest.mark.parametrize("cut", [b'{"image_id": "a", "fie', '{"image_id": "Gr\u00f6'.encode()[:-1], b"\0\0\0\0"])
def test_a_correction_that_a_crash_cut_off_is_none(tmp_path: Path, cut: bytes) -> None:
    """Also where it was cut inside a character."""
    file = tmp_path / "corrections.jsonl"
    append_correction(file, Correction("a", "f", "1", "", ""))
    file.write_bytes(file.read_bytes() + cut)
    append_correction(file, Correction("a", "g", "2", "", ""))
    assert {key: said.text for key, said in read_corrections(file).items()} == {("a", "f"): "1", ("a", "g"): "2"}


def test_images_in_a_folder_whose_name_is_not_unicode(run: Path) -> None:
    """As old archives leave it: what names a file escapes the byte, what must open it has the byte, or the image."""
    places = Places(run)
    latin = Path(os.fsdecode(os.fsencode(run.parent) + b"/Gr\xf6sse"))
    shutil.copytree(run.parent / "scans", latin)
    stored = yaml.safe_load(places.run_yaml.read_text())
    stored["dataset"]["images"]["data_path"] = str(latin)
    places.run_yaml.write_text(yaml.safe_dump(stored))
    export(run)
    assert lines(places.labels_jsonl)[0]["image"].startswith("data:")
    assert json.loads(places.coco_json.read_text())["images"][0]["file_name"].endswith("Gr\\udcf6sse/a.png")
    assert "Gr%F6sse/a.png" in json.loads(places.labelstudio_json.read_text())[0]["data"]["image"]


def of_images(folder: Path, images: str) -> Path:
    """The folder of an annotation of other images, each answered alike."""
    run = annotated(folder / "run", SAID)
    places = Places(run)
    dataset = Fields(images=open_images(images).spec(), fields=FIELDS)
    listed = [row for row in dataset.rows() if isinstance(row, Row)]
    manifest.write(listed, places.manifest, places.skipped)
    for number, row in enumerate(listed):
        made = [stored_row(row.image_id, 0, field.name, ("1", 0.9)) for field in FIELDS]
        pq.write_table(pa.Table.from_pylist(made, stored_rows.SCHEMA), places.file_of(number))
    stored = yaml.safe_load(places.run_yaml.read_text())
    places.run_yaml.write_text(yaml.safe_dump({**stored, "dataset": dataset.spec()}))
    return run


@pytest.mark.parametrize("kind", ["pdf", "tiff", "parquet"])
def test_pages_without_an_image_file_get_one_that_every_program_opens(tmp_path: Path, kind: str) -> None:
    pages = [Image.fromarray(tiny.page(120, 160, seed=seed)) for seed in (1, 2)]
    file = tmp_path / f"scan.{kind}"
    if kind == "parquet":
        cells = [{"id": str(seed), "image": encoded(page, "JPEG"), "question": "?"} for seed, page in enumerate(pages)]
        pq.write_table(pa.Table.from_pylist(cells), file)
    else:
        pages[0].save(file, save_all=True, append_images=pages[1:])
    run = of_images(tmp_path, str(file))
    export(run)
    before, names = files(run), [f"0000{at}.{'jpg' if kind == 'parquet' else 'png'}" for at in range(2)]
    shown = [run / "pages" / name for name in names]
    dataset = dataset_of(run)
    seen = [dataset.picture(row.source).rgb for row in dataset.rows() if isinstance(row, Row)]
    assert [np.array_equal(Image.open(path), rgb) for path, rgb in zip(shown, seen, strict=True)] == [True, True]
    tasks = json.loads((run / "labelstudio.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [f"/data/local-files/?d={str(path)[1:]}" for path in shown]
    assert [each["file_name"] for each in json.loads((run / "coco.json").read_text())["images"]] == list(
        map(str, shown)
    )
    labels = open_dataset(str(run / "labels.jsonl"))
    samples = [labels.sample(row) for row in labels.rows() if isinstance(row, Row)]
    assert len(samples) == 2 and all(sample.picture.rgb.shape[2] == 3 for sample in samples)
    assert "data:" not in (run / "labels.jsonl").read_text()
    file.unlink()
    export(run)
    assert files(run) == before


def test_only_what_failed_is_asked_again_and_the_rest_is_taken_over(run: Path, tmp_path: Path) -> None:
    append_correction(Places(run).corrections, Correction("b.png", "company", "Blue Ltd", "Blue", ""))
    settings, output = Annotating(from_run=run, relabel_failed=True), tmp_path / "again"
    dataset = dataset_for(None, None, None, settings, output)
    assert list_again(settings, output) == 4
    asked = [q.id for row in dataset.rows() if isinstance(row, Row) for q in row.questions]
    assert asked == ["b.png:total", "bad.png:company", "bad.png:total", "bad.png:paid"]
    said = {**SAID, "b.png": {"total": ("13.00", 0.97)}}
    listed = Places(output).relabel.read_text()
    again = annotated(tmp_path / "done", said, from_run=run, relabel_failed=True, only=Places(output).relabel)
    made = export(again)
    assert (made.pages, made.values, made.review) == (3, 9, 3) and Places(output).relabel.read_text() == listed
    first, second, bad = table(again)
    assert first["company"] == "ACME Ltd" and (second["total"], second["total_flag"]) == (13.0, None)
    assert second["company"] == "Blue Ltd" and second["reviewed"] == ["company"] and bad["total_flag"] == "error"


def test_a_new_reading_replaces_neither_what_a_person_said_nor_a_value_by_an_error(run: Path, tmp_path: Path) -> None:
    settings, output = Annotating(from_run=run, relabel_failed=True), tmp_path / "again"
    assert list_again(settings, output) == 5
    append_correction(Places(run).corrections, Correction("b.png", "total", "12.00", "twelve", ""))  # after the list
    said = {
        "a.png": {},
        "b.png": {"company": "EngineError: out of memory", "total": ("13.00", 0.97)},
        "bad.png": dict.fromkeys(("company", "total", "paid"), "PictureError: it is no image still"),
    }
    again = annotated(tmp_path / "done", said, from_run=run, relabel_failed=True, only=Places(output).relabel)
    made = export(again)
    _, second, _ = rows = table(again)
    told = lines(again / "review.jsonl")
    flags = [row[f"{name}_flag"] for row in rows for name in ("company", "total", "paid")]
    assert made.flags["error"] == flags.count("error") == sum(each["error"] is not None for each in told) == 3
    assert made.review == len(told) == sum(flag is not None for flag in flags)  # the summary, the rows and the list
    assert (second["total"], second["reviewed"]) == (12.0, ["total"])
    assert (second["company"], second["company_flag"]) == ("Blue", "unsure")
    assert lines(again / "review.jsonl")[-1]["error"] == "PictureError: it is no image still"


def test_boxes_stay_where_the_images_are_gone_when_they_are_asked_about_again(run: Path, tmp_path: Path) -> None:
    settings, output = Annotating(from_run=run, relabel_failed=True), tmp_path / "again"
    list_again(settings, output)
    gone = dict.fromkeys(("company", "total", "paid"), "PictureError: there is no such file")
    said = {"a.png": {}, "b.png": gone, "bad.png": gone}
    again = annotated(tmp_path / "done", said, from_run=run, relabel_failed=True, only=Places(output).relabel)
    for scan in (run.parent / "scans").iterdir():
        scan.unlink()
    export(again)
    _, second, _ = table(again)
    assert (second["width"], second["height"], second["company_box"]) == (120, 160, [40, 20, 60, 40])


def test_relabelling_asks_for_an_earlier_run(run: Path, tmp_path: Path) -> None:
    for settings, images, message in (
        (Annotating(relabel_failed=True), None, "give --from-run DIR as well"),
        (Annotating(), None, "give IMAGES and --fields"),
        (Annotating(from_run=run), "scans", "leave out IMAGES"),
        (Annotating(from_run=tmp_path), None, "is not the --output of a `saccade annotate`"),
    ):
        with pytest.raises(ConfigError, match=message):
            dataset_for(images, None, None, settings, tmp_path / "out")
    with pytest.raises(ConfigError, match="is --from-run itself"):
        dataset_for(None, None, None, Annotating(from_run=run), run)


def test_a_page_that_was_not_reached_is_there_with_its_flag(run: Path) -> None:
    Places(run).file_of(0).unlink()
    page = next(iter(read_pages(run)))
    assert [(value.flag, value.error) for value in page.values] == [("error", "not answered yet")] * 3


def test_the_run_can_be_reported(run: Path) -> None:
    assert "ACME Ltd" in report(run, None, 2).read_text()


def test_hugging_face_datasets_load_it(run: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="pip install datasets")
    export(run)
    files = str(run / "annotations" / "*.parquet")
    loaded = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 3 and loaded[0]["total"] == 12.5 and loaded[0]["company_box"] == [40, 20, 60, 40]


def test_coco_loads_in_pycocotools(run: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco", reason="pip install pycocotools")
    export(run)
    loaded = coco.COCO(str(run / "coco.json"))
    assert [each["name"] for each in loaded.loadCats(loaded.getCatIds())] == ["company", "total", "paid"]
    (box,) = loaded.loadAnns(loaded.getAnnIds(imgIds=[1], catIds=[2]))
    assert box["bbox"] == [40, 40, 20, 20] and box["attributes"]["text"] == "RM 12.50"
    assert len(loaded.getImgIds()) == 3 and loaded.imgs[1]["width"] == 120


def test_label_studio_takes_the_tasks(run: Path) -> None:
    studio = pytest.importorskip("label_studio_sdk.label_interface", reason="pip install label-studio-sdk")
    export(run)
    interface = studio.LabelInterface((run / "labelstudio.xml").read_text())
    tasks = json.loads((run / "labelstudio.json").read_text())
    for task in tasks:
        assert interface.validate_task({"data": task["data"]})  # the SDK calls its check of predictions without any
        assert [interface.validate_prediction(each, return_errors=True) for each in task["predictions"]] == [[]]
    results = tasks[0]["predictions"][0]["result"]
    box = next(each for each in results if each["type"] == "rectanglelabels")
    assert {key: round(box["value"][key], 3) for key in ("x", "y", "width", "height")} == {
        "x": 33.333,
        "y": 12.5,
        "width": 16.667,
        "height": 12.5,
    }
    assert tasks[0]["predictions"][0]["score"] == 0.85 and len(results) == 6
    assert tasks[2]["predictions"][0]["result"] == []


def test_no_box_of_what_was_not_read(run: Path) -> None:
    export(run)
    coco = json.loads((run / "coco.json").read_text())
    assert [(box["image_id"], box["category_id"]) for box in coco["annotations"]] == [
        (1, 1), (1, 2), (1, 3), (2, 1), (2, 2),
    ]  # fmt: skip
    (told,) = json.loads((run / "labelstudio.json").read_text())[1]["predictions"]
    boxes = [each["id"] for each in told["result"] if each["type"] == "rectanglelabels"]
    assert boxes == ["1-company-box", "1-total-box"]
