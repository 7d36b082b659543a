"""Generated scenes: the document is in them, where its boxes say; simple pictures, as a budget judges them."""

import numpy as np
import pytest
import torch

from saccade.budgets.adaptive import Adaptive
from saccade.datasets import Row, open_dataset
from saccade.datasets.synthdoc import SynthDoc, render
from saccade.datasets.synthscene import SynthScene
from saccade.types import Query, Scene
from tests.helpers import item


def test_the_document_lies_where_its_boxes_say() -> None:
    data = SynthScene(seed=3)
    for index in range(5):
        page, document = data.page(index), render(data.stored_seed, index, 256)
        assert page.image.shape == (512, 512) and len(page.fields) == len(document.fields) >= 2
        for moved, field in zip(page.fields, document.fields, strict=True):
            assert (moved.question, moved.answer) == (field.question, field.answer)
            for name in ("answer_box", "key_box"):
                cut, own = _cut(page.image, getattr(moved, name)), _cut(document.image, getattr(field, name))
                assert np.array_equal(cut, own)
        assert np.array_equal(page.image, data.page(index).image), "drawn again, the same"
        assert page.chars.box_px.max() <= 512


def _cut(image: np.ndarray, box: tuple[float, ...]) -> np.ndarray:
    height, width = image.shape
    x0, y0, x1, y1 = (round(edge * side) for edge, side in zip(box, (width, height) * 2, strict=True))
    return image[y0:y1, x0:x1]


def test_they_are_simpler_than_pages() -> None:
    def tokens(data: SynthDoc) -> list[int]:
        pictures = [data.picture(str(index)) for index in range(8)]
        scenes = [
            Scene.of([(picture, item(4, 4)[1], Query("?", torch.zeros(1, 6), torch.ones(1)))]) for picture in pictures
        ]
        return [Adaptive()(scene)[0] for scene in scenes]

    simple, crowded = tokens(SynthScene()), tokens(SynthDoc(page_px=512))
    assert np.mean(simple) < np.mean(crowded)


def test_rows() -> None:
    rows = [row for row in open_dataset("synthscene").rows() if isinstance(row, Row)]
    assert len(rows) == 64 and all(1 <= len(row.questions) <= 2 for row in rows)
    assert rows[0].image_id == "synthscene-0-0"
    with pytest.raises(Exception, match="greater than or equal to 512"):
        SynthScene(page_px=256)
