"""The gaze is taught answers and their labels, and what it learned is found where the scorer looks."""

from pathlib import Path

import numpy as np
import pytest
import torch

import saccade
from saccade.config import Episode
from saccade.datasets.synthdoc import VALIDATION_SEED, render
from saccade.families import fingerprint, own_gaze
from saccade.heads.files import save
from saccade.heads.scoring import Late
from saccade.heads.surroundings import Surroundings, steps
from saccade.training.fit import fit
from saccade.training.gaze import evaluate, losses, pointed
from saccade.training.model import SIZES, build_model, save_model


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return build_model(SIZES["tiny"]).eval().requires_grad_(False)


def test_half_of_the_target_is_the_answer_and_half_its_label(model: torch.nn.Module) -> None:
    example = pointed(model, VALIDATION_SEED, 0, page_px=512)
    page = render(VALIDATION_SEED, 0, 512)
    cols = page.image.shape[1] // 16
    for q, field in enumerate(page.fields):
        assert example.target[q].sum() == pytest.approx(1)
        start, stop = page.chars.answer_span[q]
        x, y = page.chars.centre_px[(start + stop) // 2] // 16
        cell = int(y * cols + x)
        assert example.answer[q, cell] and example.near[q, cell] and example.target[q, cell] > 0, field
        on_answer = float(example.target[q, example.answer[q]].sum())
        assert on_answer == pytest.approx(0.5, abs=0.26) or tuple(page.chars.key_span[q]) == (start, stop)
    assert (example.near.sum(-1) > (example.target > 0).sum(-1)).all(), "grown by one cell"
    seen = "".join(map(chr, example.scene.query_weight[0].bool().nonzero()[:, 0] * 0 + 65))
    assert len(seen) == len(page.fields[0].question)


def test_a_head_learns_to_point(model: torch.nn.Module) -> None:
    """A few pages, again and again: the gaze comes to lie on the answer or its label."""
    torch.manual_seed(0)
    width = model.config.text_config.hidden_size
    head = Late("after", width, width, span=5, channels=2)

    def few() -> object:
        while True:
            for _, loss in zip(range(3), losses(head, model, 3, ""), strict=False):
                yield loss

    curve = fit(head, few(), 60, 1e-2)  # type: ignore[arg-type]
    assert np.mean(curve[-6:]) < np.mean(curve[:6]) - 1
    report = evaluate(head, model, 512, 1)
    assert report["n"] > 0 and all(0 <= value <= 1 for name, value in report.items() if name != "n")


def test_surroundings_see_cells_where_they_are() -> None:
    """Cells in any order, with others absent or as padding, give what the painted page gives."""
    torch.manual_seed(1)
    around = Surroundings(3)
    row, col = torch.tensor([[0, 0, 2, 5, 0]]), torch.tensor([[0, 3, 1, 7, 0]])
    present = torch.tensor([[True, True, True, True, False]])
    evidence = torch.randn(1, 5, 3)
    out = around(evidence, row, col, present)
    order = torch.tensor([2, 0, 3, 1, 4])
    again = around(evidence[:, order], row[:, order], col[:, order], present[:, order])
    torch.testing.assert_close(again[:, :4], out[:, order][:, :4])
    alone = around(evidence[:, :4], row[:, :4], col[:, :4], present[:, :4])
    torch.testing.assert_close(alone, out[:, :4])
    moved = around(evidence, row, (col + 1) * present, present)
    assert not torch.allclose(moved[:, :4], out[:, :4])


def test_a_coarse_view_counts_in_its_own_steps() -> None:
    place = torch.tensor([[0, 4, 8, 12, 0], [0, 1, 3, 4, 6]])
    present = torch.tensor([[True, True, True, True, False], [True] * 5])
    assert steps(place, present).tolist()[0][:4] == [0, 1, 2, 3]
    assert steps(place, present).tolist()[1] == [0, 1, 3, 4, 6]
    assert int(steps(torch.arange(300)[None], torch.ones(1, 300).bool()).max()) < 128, "a larger page is folded"


def test_a_checkpoint_brings_its_gaze(tmp_path: Path) -> None:
    save_model(build_model(SIZES["tiny"]), tmp_path)  # type: ignore[arg-type]
    before = fingerprint(str(tmp_path))
    assert own_gaze(str(tmp_path)) is None
    save(Late("after", 64, 64, span=5, channels=2), tmp_path / "gaze")
    head = own_gaze(str(tmp_path))
    assert head == str(tmp_path / "gaze")
    own = Episode(scorer="late:0.75,edges:0.25").with_gaze(head)
    assert [spec.get("head") for _, spec in own.strategies.score.parts] == [head, None]
    assert [weight for weight, _ in own.strategies.score.parts] == [0.75, 0.25]
    for other in (Episode(scorer=({"name": "late", "head": head},)), Episode(), own):
        assert other.with_gaze(str(tmp_path)) is other, "nothing to fill in"
    assert fingerprint(str(tmp_path)) != before, "another gaze is another run"
    page = np.full((256, 256, 3), 255, np.uint8)
    page[60:70, 40:120:4] = 0
    with saccade.load(str(tmp_path), scorer="late", fixations=1) as eye:
        with_it = eye.look(page, "Total?").steps[0].gaze.importance
        eye.engine.family.gaze = None
        without = eye.look(page, "Total?").steps[0].gaze.importance
        assert with_it is not None and without is not None and not torch.allclose(with_it, without)
