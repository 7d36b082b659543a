"""Data sets that stand on others: several in turn, and pages as files."""

import io
import pickle

import numpy as np
from PIL import Image

from saccade.datasets import Row, Skip, limit
from saccade.datasets.encoded import Encoded
from saccade.datasets.mixed import Mixed
from saccade.datasets.synthdoc import SynthDoc

SMALL = {"name": "synthdoc", "page_px": 256, "questions_per_page": 1}


def mixed() -> Mixed:
    return Mixed(parts={"few": {**SMALL, "num_pages": 1}, "many": {**SMALL, "num_pages": 3, "seed": 4}})


def test_parts_take_turns_under_ids_of_their_own() -> None:
    data = mixed()
    rows = [row for row in data.rows() if isinstance(row, Row)]
    ids = ["few:synthdoc-0-0", "many:synthdoc-4-0", "many:synthdoc-4-1", "many:synthdoc-4-2"]
    assert [row.image_id for row in rows] == ids
    assert [question.metadata["part"] for row in rows for question in row.questions] == ["few", *["many"] * 3]
    assert len({question.id for row in rows for question in row.questions}) == 4
    own = SynthDoc(page_px=256, seed=4).picture("1")
    assert np.array_equal(data.picture(rows[2].source).rgb, own.rgb)
    assert [row.image_id for row in limit(data.rows(), 2) if isinstance(row, Row)] == ids[:2]


def test_its_fingerprint_is_that_of_its_parts(tmp_path) -> None:
    assert mixed().fingerprint() == pickle.loads(pickle.dumps(mixed())).fingerprint()
    assert Mixed(parts={"few": SMALL}).fingerprint() != Mixed(parts={"other": SMALL}).fingerprint()
    (tmp_path / "q.jsonl").write_text('{"id": "a"}\n{"id": "b", "image": "x.png", "question": "?"}\n')
    skipping = Mixed(parts={"own": {"name": "jsonl", "data_path": str(tmp_path / "q.jsonl")}})
    found = list(skipping.rows())
    assert isinstance(found[0], Skip) and isinstance(found[1], Row) and found[1].image_id == "own:x.png"
    assert skipping.path(found[1].source) == tmp_path / "x.png"


def test_encoded_pages_are_files() -> None:
    of, kinds = SynthDoc(page_px=256), {"JPEG": Encoded(of=SMALL), "PNG": Encoded(of=SMALL, kind="PNG")}
    assert [row for row in kinds["PNG"].rows()][0] == next(iter(SynthDoc(page_px=256, questions_per_page=1).rows()))
    for kind, data in kinds.items():
        picture = data.picture("0")
        assert isinstance(picture.data, bytes) and Image.open(io.BytesIO(picture.data)).format == kind
        apart = np.abs(picture.rgb.astype(int) - of.picture("0").rgb.astype(int))
        assert apart.max() == 0 if kind == "PNG" else 0 < apart.mean() < 4
    assert kinds["JPEG"].fingerprint() != kinds["PNG"].fingerprint()
