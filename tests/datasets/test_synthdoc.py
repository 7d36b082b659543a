"""Pages are a pure function of their seed, their boxes hold the ink of the answer, and questions have one answer."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.datasets import Row, open_dataset
from saccade.datasets._synthdoc_print import FACES, _font, _x_height_ratio, bundled
from saccade.datasets.synthdoc import KINDS, VALIDATION_SEED, Page, SynthDoc, render
from saccade.errors import ConfigError, DataError

ROOT = Path(__file__).parents[2]


def pages(num_pages: int = 10, page_px: int = 512) -> list[Page]:
    return [render(3, i, page_px, KINDS[i % len(KINDS)]) for i in range(num_pages)]


def test_a_page_is_a_function_of_seed_and_index_in_every_process() -> None:
    code = (
        "import hashlib; from saccade.datasets.synthdoc import render; p = [render(7, i, 512) for i in range(6)];"
        "print(hashlib.sha256(b''.join(x.image.tobytes() + repr(x.fields).encode() for x in p)).hexdigest())"
    )
    digests = set()
    for hash_seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        digests.add(done.stdout)
    assert len(digests) == 1


def test_another_seed_index_or_size_is_another_page() -> None:
    images = [render(*key).image for key in ((1, 0, 512), (2, 0, 512), (1, 1, 512), (1, 0, 528))]
    assert len({image.tobytes() for image in images}) == 4


@pytest.mark.parametrize("page_px", [256, 512, 1024])
def test_size_letters_and_number_of_questions(page_px: int) -> None:
    for i in range(12):
        page = render(11, i, page_px)
        assert max(page.image.shape) == page_px
        assert min(page.image.shape) % 16 == 0
        assert len(page.fields) >= min(8, page_px // 128)
        assert all(6 <= f.x_height_px <= 1.5 * max(8, min(20, page_px / 50)) + 0.01 for f in page.fields)


def test_x_height_is_what_the_font_draws() -> None:
    for name in FACES:
        for face in bundled(name):
            font, _ = _font(face, round(4 * 12 / _x_height_ratio(face)))
            box = font.getbbox("x", anchor="ls")
            assert abs(-box[1] - 12) <= 1


def test_answer_boxes_hold_the_ink_of_the_answer_and_nothing_sticks_out() -> None:
    for page in pages():
        height, width = page.image.shape
        for field in page.fields:
            x0, y0, x1, y1 = field.answer_box
            left, top, right, bottom = int(x0 * width), int(y0 * height), int(x1 * width) + 1, int(y1 * height) + 1
            inside = page.image[max(top, 0) : bottom, max(left, 0) : right].astype(float)
            paper = np.median(page.image)
            assert inside.min() < paper - 60, (page.kind, field)
            if page.kind != "table":
                strip = page.image[max(top, 0) : bottom, right + 2 : right + 4].astype(float)
                assert strip.size == 0 or strip.mean() > inside.mean(), (page.kind, field)


def test_characters_are_where_the_pixels_are() -> None:
    """Printing one letter alone, without wear, leaves ink only inside the box that is reported for it."""
    for page in pages(5):
        spans = page.chars.answer_span
        for field, (start, stop) in zip(page.fields, spans, strict=True):
            assert page.chars.code[start:stop].tobytes().decode() == field.answer
            boxes = page.chars.box_px[start:stop]
            assert (np.diff(boxes[:, 0]) > 0).all()
            scale = np.array([page.image.shape[1], page.image.shape[0]] * 2)
            hull = np.array([*boxes[:, :2].min(0), *boxes[:, 2:].max(0)]) / scale
            np.testing.assert_allclose(hull, field.answer_box, atol=1e-5)


def test_questions_have_one_answer() -> None:
    for page in [*pages(20), *pages(10, 1024)]:
        questions = [f.question.lower() for f in page.fields]
        assert len(set(questions)) == len(questions), page.kind
        assert all(f.answer and f.answer == f.answer.strip() for f in page.fields)


def test_validation_and_training_never_meet() -> None:
    validation, training = SynthDoc(seed=5), SynthDoc(seed=5, split="train")
    assert validation.stored_seed >= VALIDATION_SEED > training.stored_seed
    with pytest.raises(ConfigError, match="seed"):
        open_dataset("synthdoc", seed=VALIDATION_SEED)


def test_rows_and_pictures() -> None:
    data = open_dataset("synthdoc", page_px=512, num_pages=3)
    rows = [r for r in data.rows() if isinstance(r, Row)]
    assert [r.image_id for r in rows] == ["synthdoc-0-0", "synthdoc-0-1", "synthdoc-0-2"]
    assert all(1 <= len(r.questions) <= 8 for r in rows)
    assert len({q.id for r in rows for q in r.questions}) == sum(len(r.questions) for r in rows)
    picture = pickle.loads(pickle.dumps(data)).picture(rows[1].source)
    assert picture.rgb.shape[2] == 3 and max(picture.rgb.shape) == 512
    assert picture.sha256 == data.picture(rows[1].source).sha256
    for question in rows[1].questions:
        x0, y0, x1, y1 = question.answer_boxes_uv[0]
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
        assert question.metadata["x_height_px"] >= 6
    with pytest.raises(DataError, match="by its number"):
        data.picture("../etc")


def test_sheets_are_full_of_text() -> None:
    page = render(1, 0, 512, "sheet")
    assert page.image.shape == (512, 512) and len(page.chars.code) > 300
    assert Image.fromarray(page.image).entropy() > 1


def test_foreign_questions_ask_for_no_field_and_quote_nothing_that_is_printed() -> None:
    for page in pages():
        printed = page.chars.code.tobytes().decode().lower()
        asked = page.foreign(40, seed=1)
        assert asked == page.foreign(40, seed=1) and len(set(asked)) > 20
        assert not {question.lower() for question in asked} & {field.question.lower() for field in page.fields}
        quoted = [question.split("'")[1] for question in asked if question.count("'") == 2]
        assert quoted and not any(text.lower() in printed for text in quoted)
