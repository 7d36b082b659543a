"""What an answer attended to: the cells it was read from, whoever else is asked at the same time."""

import pytest
import torch

from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines import _decoder
from saccade.engines._attention import MOST_CELLS, most_attended
from saccade.engines._decoder import attend
from saccade.engines.hf import HF
from saccade.episode import episodes, run, see
from saccade.types import Canvas, Part, Trace


def test_right_answers_attend_to_where_they_stand() -> None:
    dataset = SynthDoc(page_px=512, num_pages=3)
    settings, inside = Episode(sampler="full", encoder="ink"), []
    with HF(model="nano").open() as engine:
        for row in (each for each in dataset.rows() if isinstance(each, Row)):
            sample = dataset.sample(row)
            seen = see(settings, engine, sample.picture, sample.questions)
            for question, trace in zip(sample.questions, run(episodes(settings, seen), engine), strict=True):
                assert isinstance(trace, Trace)
                if trace.answer.text not in (question.answers or ()):
                    continue
                shares = [share for _, share in trace.answer.attended]
                assert shares == sorted(shares, reverse=True) and 0 < sum(shares) <= 1.001
                y, x = divmod(trace.answer.attended[0][0], seen.grid.cols)
                u, v, cell = (x + 0.5) / seen.grid.cols, (y + 0.5) / seen.grid.rows, 1 / seen.grid.cols
                boxes = question.answer_boxes_uv
                inside.append(any(a - cell < u < c + cell and b - cell < v < d + cell for a, b, c, d in boxes))
    assert len(inside) >= 8 and sum(inside) >= 0.8 * len(inside)


def test_attention_to_the_canvas_is_that_of_the_newest_token() -> None:
    torch.manual_seed(0)
    batch, heads, groups, asking, width, length = 2, 4, 2, 3, 8, 5
    query, key = torch.randn(batch, heads, asking, width), torch.randn(batch, groups, asking, width)
    canvas_key, canvas_value = torch.randn(2, groups, length, width)
    mask = torch.ones(asking, asking, dtype=torch.bool).tril().expand(batch, -1, -1)
    newest = torch.tensor([2, 1])
    _, paid = attend(query, canvas_key, canvas_value, key, key, mask, 0.5, newest)
    for row, at in enumerate(newest.tolist()):
        expected = torch.zeros(length)
        for head in range(heads):
            group = head // (heads // groups)
            keys = torch.cat([canvas_key[group], key[row, group, : at + 1]])
            expected += (keys @ query[row, head, at] * 0.5).softmax(0)[:length] / heads
        assert torch.allclose(paid[row], expected, atol=1e-6)


def test_attention_in_chunks_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 4, 7, 8), torch.randn(2, 2, 7, 8)
    canvas_key, canvas_value = torch.randn(2, 2, 5, 8)
    mask = torch.ones(7, 7, dtype=torch.bool).tril().expand(2, -1, -1)
    asked = query, canvas_key, canvas_value, key, key, mask, 0.5, torch.tensor([6, 2])
    whole = attend(*asked)
    for rows in (1, 3):
        monkeypatch.setattr(_decoder, "CHUNK_BYTES", rows * 4 * 2 * 4 * (5 + 7))
        for one, other in zip(whole, attend(*asked), strict=True):
            assert one.shape == other.shape and torch.allclose(one, other, atol=1e-6)


def test_tokens_that_share_a_cell_add_up() -> None:
    def part(cols: list[int]) -> Part:
        return Part(torch.zeros(len(cols), 4), torch.zeros(len(cols), dtype=torch.long), torch.tensor(cols), "key")

    canvas = Canvas(1, 100, (part([3]), part([1, 3])))
    assert most_attended(canvas, torch.tensor([0.2, 0.3, 0.3])) == ((3, 0.625), (1, 0.375))
    assert len(most_attended(Canvas(1, 100, (part(list(range(100))),)), torch.ones(100))) == MOST_CELLS
    assert most_attended(canvas, torch.tensor([float("nan"), 0.3, 0.3])) == ()
    assert most_attended(Canvas(1, 100), torch.empty(0)) == ()
