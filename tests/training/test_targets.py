"""What tokens are worth: boxes of answers and labels, what the reader attends to, and where people looked."""

import numpy as np
import pytest
import torch
from PIL import Image

from saccade.config import Episode
from saccade.datasets.synthdoc import SynthDoc
from saccade.errors import ConfigError
from saccade.geometry.grid import plain_grid
from saccade.training.maps import Maps
from saccade.training.stored import stored
from saccade.training.targets import Listened, WatchedReading, by_boxes, label_boxes
from saccade.types import Answer, Question

GRID = plain_grid(2, 4, 64, 32)
ANSWER, LABEL = ((0.5, 0.0, 1.0, 0.5),), (0.0, 0.0, 0.25, 0.5)


def test_boxes_of_answer_and_label_by_hand():
    question = Question("a", "?", answer_boxes_uv=ANSWER, metadata={"key_box_uv": LABEL})
    assert by_boxes(GRID, question, 0.5).tolist() == [0.5, 0, 0.25, 0.25, 0, 0, 0, 0]
    assert by_boxes(GRID, question, 0.0).tolist() == [0, 0, 0.5, 0.5, 0, 0, 0, 0]
    plain = Question("a", "?", answer_boxes_uv=ANSWER)  # no label: all of it is on the answer
    assert by_boxes(GRID, plain, 0.5).tolist() == [0, 0, 0.5, 0.5, 0, 0, 0, 0]
    assert by_boxes(GRID, Question("a", "?", metadata={"key_box_uv": LABEL}), 0.5).sum() == 0


def test_labels_of_any_data_set():
    assert label_boxes(Question("a", "?", metadata={"label_boxes_uv": [[0, 0, 1, 1], [0, 0, 0.5, 0.5]]})) == (
        (0, 0, 1, 1), (0, 0, 0.5, 0.5),
    )  # fmt: skip
    assert label_boxes(Question("a", "?", metadata={"key_box_uv": LABEL})) == (LABEL,)
    assert label_boxes(Question("a", "?")) == ()


def test_the_reader_teaches_what_it_attended_to(engine, tmp_path):
    data, looks = SynthDoc(page_px=256, num_pages=1, seed=3), Episode(sampler="topk", fixations=1)
    teacher = WatchedReading(engine)
    (page,) = stored(tmp_path, looks, engine, data, list(data.rows()), teach=teacher, taught={"a": 1})
    outcome = engine.read_many([(_canvas(page), page.asked[0][0].text)])[0]
    most, share = outcome.attended[0]
    at = int((page.encoding.grid.row * page.encoding.grid.cols + page.encoding.grid.col == most).nonzero())
    assert float(page.worth[0, at]) == pytest.approx(share * outcome.confidence, rel=1e-3)
    assert (page.worth >= 0).all() and page.worth.sum(-1).max() <= 1.001


def test_of_several_levels_the_finest_token_at_a_cell_is_taught(engine, tmp_path, monkeypatch):
    data = SynthDoc(page_px=256, num_pages=1, questions_per_page=1, seed=3)
    looks = Episode(sampler="topk", fixations=1, levels=2)
    (plain,) = stored(tmp_path, looks, engine, data, list(data.rows()))
    grid = plain.encoding.grid
    cell = int((grid.row * grid.cols + grid.col)[grid.level == 1][0])  # a fine token stands there as well
    answer = Answer("x", (0.0,), 0.5, 1, 0, 0, 0.0, attended=((cell, 0.8),))
    monkeypatch.setattr(engine, "read_many", lambda asked: [answer for _ in asked])
    worth = WatchedReading(engine)("", plain.picture, plain.encoding, plain.asked)[0]
    (taught,) = worth.nonzero().flatten().tolist()
    assert float(worth[taught]) == pytest.approx(0.4) and int(grid.level[taught]) == 0
    assert int(grid.row[taught] * grid.cols + grid.col[taught]) == cell


def test_attention_teaches_above_the_neutral_prompt(engine, tmp_path):
    data, looks = SynthDoc(page_px=256, num_pages=1, seed=3), Episode(sampler="topk", fixations=1)
    (page,) = stored(tmp_path, looks, engine, data, list(data.rows()), teach=Listened(engine, 16), taught={"a": 2})
    listening = Episode(sampler="topk", scorer="attention", glimpse=16, fixations=1)
    from saccade.episode import see

    seen = see(listening, engine, page.picture, [question for question, _ in page.asked])
    for number, (_, query) in enumerate(seen.asked):
        assert torch.allclose(page.worth[number], (query.heard.attention - 1).clamp(min=0), atol=1e-5)


def _canvas(page):
    from saccade.types import Canvas, Part, Selection

    everything = Selection.keep(torch.arange(len(page.encoding)), len(page.encoding))
    grid = page.encoding.grid
    return Canvas(grid.rows, grid.cols, (Part.of(page.encoding, everything),))


@pytest.mark.parametrize(
    ("image", "map_"),
    [("images/a.jpg", "maps/a.png"), ("images/train/a.jpg", "maps/train/a.png"),
     ("ALLSTIMULI/a.jpeg", "ALLFIXATIONMAPS/a_fixMap.jpg")],
)  # fmt: skip
def test_layouts_of_maps(image, map_, tmp_path):
    looked = np.zeros((32, 64), np.uint8)
    looked[:16, 48:] = 255
    for name, pixels in ((image, np.full((32, 64, 3), 200, np.uint8)), (map_, looked)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name, quality=100)
    (tmp_path / image).with_name("without.jpg").write_bytes((tmp_path / image).read_bytes())
    data = Maps(data_path=str(tmp_path))
    (row,) = data.rows()
    assert row.source == image and data.picture(row.source).rgb.shape == (32, 64, 3)
    assert data.worth(row.source, GRID).tolist() == pytest.approx([0, 0, 0, 1, 0, 0, 0, 0], abs=0.02)


def test_a_folder_of_other_things_is_told_what_it_needs(tmp_path):
    with pytest.raises(ConfigError, match="images/ and maps/"):
        list(Maps(data_path=str(tmp_path)).rows())
    for name in ("images", "maps"):
        (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match="no image in"):
        list(Maps(data_path=str(tmp_path)).rows())
