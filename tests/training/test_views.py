"""What the reader is shown, and what it is told to answer."""

import numpy as np
import pytest
import torch

from saccade.datasets.synthdoc import render
from saccade.training.dense import dense_loss, page_labels
from saccade.training.model import CANNOT_READ, END, TURN
from saccade.training.reader import ANSWER_TO_CHAR, ASK_TO_KEY, IGNORE, Batch, _guided, collate, pack
from saccade.training.views import CANVAS_TOK, SHARES, SIZES_PX, UNKNOWN, Asked, View, make_view


@pytest.mark.parametrize("kind", [*SHARES, "asked"])
def test_views_are_deterministic_and_on_their_canvas(kind: str) -> None:
    for index in range(3):
        view, again = make_view(5, index, kind=kind), make_view(5, index, kind=kind)
        assert np.array_equal(view.shown, again.shown) and view.asked[:1] == view.asked[:1]
        assert view.patches.tobytes() == again.patches.tobytes()
        assert (view.cells >= 0).all() and (view.cells < view.side).all() and view.side <= CANVAS_TOK
        assert len(view.patches) == len(view.picture) == len(view.place) == len(view.labels)
        assert len(np.unique(view.shown)) == len(view.shown) == len(view.cells), "no token is shown twice"
        if kind != "all":
            assert len(view.shown) == len(view.patches), "what is not shown is not encoded"


def test_resized_pages_have_the_share_of_looks() -> None:
    assert SHARES["resize"] == SHARES["look"] and sum(SHARES.values()) == pytest.approx(1)
    assert sum(SIZES_PX.values()) == pytest.approx(1)


@pytest.mark.parametrize("kind", ["look", "glimpse"])
def test_answers_out_of_view_cannot_be_read(kind: str) -> None:
    read = unread = 0
    for index in range(16):
        view = make_view(6, index, kind=kind, page_px=512)
        for asked in view.asked:
            if asked.answer is None:
                unread += 1
            else:
                read += 1
                printed = np.frombuffer(asked.answer, np.uint8) != ord(" ")
                assert (asked.char_slots[printed] >= 0).mean() >= 0.9 and asked.char_slots.max() < len(view.shown)
    assert read and unread


def test_a_glimpse_that_can_be_read_answers_where_no_look_went() -> None:
    coarse = 0
    for index in range(30):
        view = make_view(8, index, kind="glimpse", page_px=512)
        glimpse = int((view.picture == 1).sum())
        assert np.array_equal(view.shown[:glimpse], np.arange(glimpse)), "the glimpse opens the canvas"
        coarse += sum(a.answer is not None and 0 <= a.char_slots.max() < glimpse for a in view.asked)
    assert coarse


def test_dense_labels_spell_the_page() -> None:
    page = render(2, 0, 512, "sheet", 9.0)
    labels = page_labels(page)
    assert labels.shape == (32, 32, 5)
    centre, code = page.chars.centre_px, page.chars.code
    for row, col in ((0, 4), (3, 7), (9, 20)):
        here = [i for i, (x, y) in enumerate(centre) if int(y // 16) == row and int(x // 16) == col]
        here.sort(key=lambda i: centre[i, 0])
        assert [k + 31 for k in labels[row, col, :3] if k] == [code[i] for i in here][:3]
        inside = here[0] - page.chars.begin[here[0]] if here else 0
        before = [int(code[here[0] - back]) - 31 if back <= inside else 0 for back in (1, 2)]
        assert labels[row, col, 3:].tolist() == before


def test_labels_of_a_view_are_those_of_its_page() -> None:
    for index in range(40):
        view = make_view(9, index, kind="ink", page_px=512)
        page = render(9, index, 512)
        if (view.labels == UNKNOWN).all() or page.image.size // 256 <= int(view.place.max()):
            continue
        rows, cols = (s // 16 for s in page.image.shape)
        patches = page.image.reshape(rows, 16, cols, 16).swapaxes(1, 2).reshape(rows, cols, 256)
        row, col = view.place.T
        if row.max() >= rows or col.max() >= cols or not np.array_equal(patches[row, col], view.patches):
            continue  # printed as in the world
        assert np.array_equal(page_labels(page)[row, col], view.labels)
        return
    pytest.fail("no view of a clean page")


def test_pages_of_ink_are_mostly_as_small_as_their_print_allows() -> None:
    """Their labels lie where their characters do all the same."""
    for index in range(40):
        view = make_view(9, index, kind="ink", page_px=1024)
        asked = [a for a in view.asked if a.answer and (a.char_slots >= 0).all()]
        if view.side >= 60 or not asked or (view.labels == UNKNOWN).all():
            continue
        for each in asked:
            for slot in set(each.char_slots.tolist()):
                read = {chr(c + 31) for c in view.labels[view.shown[slot], :3] if c}
                assert read & set(each.answer.decode()), "the characters of an answer are where it is shown"
        return
    pytest.fail("no page of 64 cells was shrunk")


def test_dense_loss_by_hand() -> None:
    logits = torch.zeros(1, 1, 480)
    logits[0, 0, 5] = 2.0  # slot 0 says class 5, the others are undecided
    loss, hit = dense_loss(logits, torch.tensor([[[5, 0, 7, 9, 0]]]))
    first = -2.0 + np.log(np.exp(2.0) + 95)
    assert loss.item() == pytest.approx((first + 4 * np.log(96)) / 5, rel=1e-5)
    assert hit.tolist() == pytest.approx([0.5, 0.0])


def _toy() -> View:
    asked = (
        Asked(b"Q?", b"42", np.array([0]), np.array([2, 2])),
        Asked(b"R?", None, np.zeros(0, np.int64), np.zeros(0, np.int64)),
    )
    cells, patches, labels = (
        np.array([[0, 0], [0, 1], [0, 2]]),
        np.zeros((3, 256), np.uint8),
        np.zeros((3, 5), np.uint8),
    )
    return View("all", patches, np.zeros(3, np.int64), cells, labels, np.arange(3), cells, 3, asked, ())


def test_a_packed_sequence_by_hand() -> None:
    packed = pack(_toy())
    assert packed.ids[5:].tolist() == [
        ord("Q"),
        ord("?"),
        TURN,
        ord("4"),
        ord("2"),
        ord("R"),
        ord("?"),
        TURN,
        CANNOT_READ,
    ]
    assert packed.segment.tolist() == [0] * 5 + [1] * 5 + [2] * 4
    assert packed.target.tolist() == [IGNORE] * 7 + [ord("4"), ord("2"), END] + [IGNORE] * 2 + [CANNOT_READ, END]
    assert packed.position[:, 1:4].tolist() == [[1, 1, 1], [1, 1, 1], [1, 2, 3]]
    assert packed.position[0, 4:].tolist() == [4, 5, 6, 7, 8, 9, 5, 6, 7, 8]  # the canvas is 3 wide and starts at 1
    chars = [(where, keys.tolist()) for kind, where, keys in packed.guide if kind == ANSWER_TO_CHAR]
    assert chars == [(7, [3]), (8, [3])]
    assert {where for kind, where, _ in packed.guide if kind == ASK_TO_KEY} == {5, 6, 7, 8}


def test_attention_supervision_by_hand() -> None:
    batch = collate([_toy()])
    length = batch.ids.shape[1]
    mask = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
    query, key = torch.zeros(1, length, 4), torch.zeros(1, length, 4)
    query[0, :, 0] = 2.0
    key[0, 3, 0] = 1.0  # score 2 * 1 / sqrt(4) = 1 on the token of the next character, 0 elsewhere
    loss = _guided(query, key, mask, batch, ANSWER_TO_CHAR)
    wanted = [-1 + np.log(np.e + 7), -1 + np.log(np.e + 8)]  # 8 and 9 keys are visible
    assert loss.tolist() == pytest.approx(wanted, rel=1e-5)
    both = Batch(**{n: getattr(batch, n) for n in Batch.__slots__} | {"allowed": torch.ones_like(batch.allowed)})
    assert _guided(query, key, mask, both, ANSWER_TO_CHAR).tolist() == pytest.approx([0, 0], abs=1e-6)
