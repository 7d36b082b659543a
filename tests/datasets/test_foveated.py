"""Foveated pages: sharp at the answer, the same questions, and a rival with as many samples."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from saccade.datasets import Row
from saccade.datasets.foveated import Foveated, _beside
from saccade.datasets.synthdoc import SynthDoc
from saccade.errors import PictureError
from tests import tiny

OF = {"name": "synthdoc", "page_px": 512, "num_pages": 3}


def pages(**settings: object) -> list[tuple[Row, np.ndarray]]:
    dataset = Foveated(of=OF, **settings)
    return [(row, dataset.sample(row).picture.rgb) for row in dataset.rows() if isinstance(row, Row)]


def test_each_page_keeps_its_first_question_and_is_sharp_at_its_answer():
    plain = [row for row in SynthDoc(page_px=512, num_pages=3).rows() if isinstance(row, Row)]
    found = pages(bins=(64, 128))
    assert [row.image_id for row, _ in found] == [row.image_id for row in plain]
    for number, (row, seen) in enumerate(found):
        assert row.questions == plain[number].questions[:1]
        original = SynthDoc(page_px=512, num_pages=3).picture(plain[number].source).rgb
        height, width = original.shape[:2]
        x0, y0, x1, y1 = row.questions[0].answer_boxes_uv[0]
        x, y = round((x0 + x1) / 2 * width), round((y0 + y1) / 2 * height)
        error = np.abs(seen.astype(int) - original).mean(-1)
        ink = original.mean(-1) < 128
        near = np.zeros_like(ink)
        near[max(0, y - 6) : y + 6, max(0, x - 6) : x + 6] = True
        dy, dx = np.mgrid[:height, :width]
        far = np.hypot(dx - x, dy - y) > 150
        assert (ink & near).any() and (ink & far).any()
        assert error[ink & near].mean() < 0.5 * error[ink & far].mean()


def test_a_box_in_pixels_is_looked_at_as_one_in_shares(tmp_path: Path) -> None:
    Image.fromarray(tiny.page(200, 160)).save(tmp_path / "a.png")
    seen = []
    for box in ([20, 120, 40, 140], [0.1, 0.75, 0.2, 0.875]):  # of 200 x 160 px
        line = {"id": "q", "image": "a.png", "question": "What?", "answers": ["x"], "answer_boxes": [box]}
        (tmp_path / "q.jsonl").write_text(json.dumps(line))
        dataset = Foveated(of={"name": "jsonl", "data_path": str(tmp_path / "q.jsonl")}, bins=(32, 64))
        seen.append(dataset.sample(next(iter(dataset.rows()))).picture.rgb)
    assert np.array_equal(*seen)


def test_a_run_begun_before_gazes_had_units_can_still_be_looked_at() -> None:
    data = Foveated(of=OF)
    row = next(row for row in data.rows() if isinstance(row, Row))
    inner, x, y, unit = json.loads(row.source)
    assert unit == "uv" and np.array_equal(data.picture(row.source).rgb, data.picture(json.dumps([inner, x, y])).rgb)


def test_even_pages_have_no_gaze():
    (_, even), (_, foveated) = pages(way="even", bins=(64, 128))[0], pages(bins=(64, 128))[0]
    assert even.shape == foveated.shape and not np.array_equal(even, foveated)
    assert np.abs(np.diff(even.astype(int), axis=1)).max() < np.abs(np.diff(foveated.astype(int), axis=1)).max()


@pytest.mark.parametrize("way", ["acuity", "scene"])
def test_other_maps_are_other_pages_and_a_gaze_beside_the_answer_blurs_it(way: str) -> None:
    row, plain = pages(bins=(96, 192))[0]
    _, seen = pages(way=way, bins=(96, 192))[0]
    _, off = pages(way=way, bins=(96, 192), off_deg=6)[0]
    original = SynthDoc(page_px=512, num_pages=3).picture("0").rgb.astype(int)
    height, width = original.shape[:2]
    x0, y0, x1, y1 = row.questions[0].answer_boxes_uv[0]
    box = np.s_[int(y0 * height) : int(y1 * height) + 1, int(x0 * width) : int(x1 * width) + 1]
    assert seen.shape == plain.shape and not np.array_equal(seen, plain)
    assert np.abs(seen - original)[box].mean() < 0.7 * np.abs(off - original)[box].mean()


def test_the_gaze_beside_the_answer_stays_on_the_page() -> None:
    assert _beside((0.3, 0.25), 200, (400, 500)) == (0.3, 0.65)
    assert _beside((0.3, 0.9), 200, (400, 500)) == (0.3, 0.5)
    assert _beside((0.3, 0.25), 0, (400, 500)) == (0.3, 0.25)


def test_a_picture_is_lazy_pickles_and_has_an_identity_of_its_own():
    dataset = Foveated(of=OF, bins=(64, 128))
    row = next(iter(dataset.rows()))
    picture = dataset.sample(row).picture
    again = pickle.loads(pickle.dumps(picture))
    assert np.array_equal(again.rgb, picture.rgb)
    assert (
        len({dataset.fingerprint(), Foveated(of=OF).fingerprint(), Foveated(of={**OF, "seed": 1}).fingerprint()}) == 3
    )
    hidden = Foveated(of={"name": "folder", "data_path": "nowhere", "question": "What?"})
    with pytest.raises(PictureError):
        _ = hidden.picture('["none.png", 0.5, 0.5, "uv"]').rgb
