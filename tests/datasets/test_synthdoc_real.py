"""Worn pages are a function of their seed too, keep letters where they are said to be, and quote what is printed."""

import re
import shutil
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch

from saccade.datasets import Row, open_dataset
from saccade.datasets._synthdoc_fonts import HELD_OUT, families
from saccade.datasets._synthdoc_wear import WEAR
from saccade.datasets.synthdoc import REAL_KINDS, Page, Real, render
from saccade.errors import ConfigError
from saccade.geometry.ink import ink

QUOTED = re.compile(r"'(.+)'")


@pytest.fixture(scope="module")
def fonts() -> str:
    return str(files("matplotlib").joinpath("mpl-data/fonts/ttf"))


def pages(count: int = 12, page_px: int = 768) -> list[Page]:
    return [render(21, i, page_px, REAL_KINDS[i % len(REAL_KINDS)], real=Real()) for i in range(count)]


def test_a_worn_page_is_a_function_of_its_seed_and_unlike_the_clean_one() -> None:
    first, again, clean = render(4, 1, 512, real=Real()), render(4, 1, 512, real=Real()), render(4, 1, 512)
    assert first.image.tobytes() == again.image.tobytes() and first.fields == again.fields
    assert first.image.tobytes() != clean.image.tobytes()


def test_answers_are_what_is_printed_in_their_span() -> None:
    kinds = set()
    for page in pages(30):
        for field, (start, stop) in zip(page.fields, page.chars.answer_span, strict=True):
            assert page.chars.code[start:stop].tobytes().decode() == field.answer, (page.kind, field)
            kinds.add(field.kind)
    assert {"total", "date", "company", "address", "item price", "after", "below", "follow"} <= kinds


def test_ink_finds_the_letters_of_worn_pages_and_leaves_paper_out() -> None:
    found, share = [], []
    for page in pages(20):
        inked = ink(torch.tensor(page.image)[None], 16)[0].numpy()
        centre = (page.chars.centre_px // 16).astype(int)
        there = (centre >= 0).all(1) & (centre < np.array(inked.shape)[::-1]).all(1)
        letters = b"abdefghkmnopqrstuwxyzABDEFGHKLMNPQRSTUVWXYZ02345689"  # all but the thin ones
        there &= np.isin(page.chars.code, np.frombuffer(letters, np.uint8))
        found.append(inked[centre[there, 1], centre[there, 0]].mean())
        share.append(inked.mean())
    assert np.mean(found) > 0.97 and np.median(found) > 0.99, "wear moves no letter out of the cell it is said to be in"
    assert np.mean(share) < 0.7


def test_lines_are_quoted_once_and_answered_by_their_neighbours() -> None:
    asked = 0
    for page in pages(20):
        texts = [t.tobytes().decode() for t in np.split(page.chars.code, np.unique(page.chars.begin)[1:])]
        boxes = page.chars.box_px
        for field, key, at in zip(page.fields, page.chars.key_span, page.chars.answer_span, strict=True):
            quoted = QUOTED.search(field.question)
            if field.kind not in ("after", "below", "follow") or not quoted:
                continue
            asked += 1
            assert sum(t.strip(" :").lower() == quoted[1].lower() for t in texts) <= 1
            dx, dy = boxes[at[0], :2] - boxes[key[0], :2]
            assert dy > 0 if field.kind == "below" else dx > 0, (field, dx, dy)
    assert asked > 30


def test_every_kind_of_wear_changes_pixels_and_stays_in_range() -> None:
    import random

    clean = np.zeros((96, 128), np.float32)
    clean[20:70:10, 10:110] = 1
    for _, wear in WEAR:
        r, noise = random.Random(5), np.random.default_rng(5)
        worn = np.stack([wear(clean, r, noise) for _ in range(4)])
        assert worn.shape == (4, 96, 128) and np.abs(worn - clean).max() > 0.05, wear.__name__
        assert worn.min() >= 0 and worn.max() <= 1.2, wear.__name__
    assert clean.max() == 1 and clean[0].max() == 0, "what is given stays as it is"


def test_families_held_out_are_never_trained_on(fonts: str, tmp_path: Path) -> None:
    trained, held = families(fonts), families(fonts, held_out=True)
    assert trained and held and not set(trained) & set(held)
    assert len(held) == -(-(len(trained) + len(held)) // HELD_OUT)
    assert all(Path(face).exists() for family in (*trained, *held) for face in family)
    names = {Path(face).name for family in (*trained, *held) for face in family}
    assert "DejaVuSans.ttf" in names and not any("Sym" in name or name.startswith("cmsy") for name in names)
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    with pytest.raises(ConfigError, match="there is no folder '.*absent' of fonts. On Debian: apt install fonts"):
        families(str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="holds 0 type families"):
        families(str(tmp_path))
    shutil.copy(Path(fonts, "DejaVuSans.ttf"), tmp_path)
    with pytest.raises(ConfigError, match="apt install fonts"):
        families(str(tmp_path))


def test_the_data_set(fonts: str) -> None:
    data = open_dataset("synthdoc_real", page_px=512, num_pages=2, fonts=fonts)
    rows = [row for row in data.rows() if isinstance(row, Row)]
    assert [row.image_id for row in rows] == ["synthdocreal-0-0", "synthdocreal-0-1"]
    assert all(row.questions for row in rows)
    assert data.picture(rows[1].source).rgb.shape[2] == 3
    plain = open_dataset("synthdoc_real", page_px=512, num_pages=2)
    clean = open_dataset("synthdoc", page_px=512, num_pages=2)
    assert len({d.picture("1").sha256 for d in (data, plain, clean)}) == 3
