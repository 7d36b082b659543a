"""Training targets: the worth of each token of a page to a question, from boxes of answers and labels or from teachers.

A reader needs the label as well as the answer ("Total" and "12.50"): a head that was taught answers alone covered more
of them, but far fewer were read. N tokens, Q questions.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from saccade.engines import Engine
from saccade.errors import SaccadeError
from saccade.geometry.grid import coarse_on, in_boxes
from saccade.importance.attention import Attention
from saccade.picture import Picture
from saccade.queries import embed_questions
from saccade.training.stored import Page
from saccade.types import Canvas, Encoding, Grid, Part, Query, Question, Selection

Box = tuple[float, float, float, float]
LABELS = ("label_boxes_uv", "key_box_uv")
"""Where a question's metadata may hold the boxes of its answer's label: several, or one."""


def label_boxes(question: Question) -> tuple[Box, ...]:
    """The boxes (x0, y0, x1, y1) in uv of the answer's label on the page; () if the data set has none."""
    for name in LABELS:
        boxes: Any = question.metadata.get(name)
        if boxes:
            several = boxes if isinstance(boxes[0], Sequence) else [boxes]
            return tuple((float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in several)
    return ()


def by_boxes(grid: Grid, question: Question, labels: float) -> Tensor:
    """(N,) shares of 1: `labels` of it on the tokens under the label's boxes, the rest on those under the answer's.

    Where the data set has no label boxes, all of it is on the answer; 0 everywhere where it has no answer boxes.
    """
    answer, label = (_even(grid, boxes) for boxes in (question.answer_boxes_uv, label_boxes(question)))
    share = labels if float(label.sum()) and float(answer.sum()) else 0.0
    return (1 - share) * answer + share * label


def _even(grid: Grid, boxes: Sequence[Box]) -> Tensor:
    """(N,) that sums to 1, spread evenly over the tokens that the boxes overlap; all 0 if there are none."""
    under = in_boxes(grid, boxes).float()
    return under / under.sum().clamp(min=1)


def target_of(page: Page, labels: float) -> Tensor:
    """(Q, N) >= 0: the worth of a page's tokens to its questions, by its teacher or else by boxes."""
    if page.worth is not None:
        return page.worth
    return torch.stack([by_boxes(page.encoding.grid, question, labels) for question, _ in page.asked])


class Listened:
    """Teaches what the language model's question attends to on a glimpse (the scorer `attention`), above what any
    prompt attends to."""

    def __init__(self, engine: Engine, glimpse_tok: int, layer: int | None = None) -> None:
        self.engine, self.glimpse_tok, self.scorer = engine, glimpse_tok, Attention(layer=layer)

    def __call__(
        self, source: str, picture: Picture, encoding: Encoding, asked: Sequence[tuple[Question, Query]]
    ) -> Tensor:
        """(Q, N): the ratio to the neutral prompt's attention, less 1, where it is above."""
        (small,) = self.engine.encode([self.engine.prepare(picture, self.glimpse_tok)])
        glimpse = replace(small, grid=coarse_on(small.grid, encoding.grid))
        heard = embed_questions(self.engine, [question for question, _ in asked], self.scorer, encoding.grid, glimpse)
        self.engine.forget()
        attention = [query.heard.attention if isinstance(query, Query) and query.heard else None for _, query in heard]
        return torch.stack([torch.zeros(len(encoding)) if a is None else (a - 1).clamp(min=0) for a in attention])


class WatchedReading:
    """Teaches which tokens the language model attends to while it writes its answer with the whole page before it.

    Only answers that could be read teach, each as much as the reader is sure of it.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __call__(
        self, source: str, picture: Picture, encoding: Encoding, asked: Sequence[tuple[Question, Query]]
    ) -> Tensor:
        """(Q, N): shares of the attention of the late layers, the most that any token of the answer paid."""
        grid = encoding.grid
        everything = Selection.keep(torch.arange(len(encoding)), len(encoding))
        canvas = Canvas(grid.rows, grid.cols, (Part.of(encoding, everything),))
        answers = self.engine.read_many([(canvas, question.text) for question, _ in asked])
        self.engine.forget()
        place = dict[int, int]()  # of each cell, the first token that stands there: that of the finest level
        for number, cell in enumerate((grid.row * grid.cols + grid.col).tolist()):
            place.setdefault(cell, number)
        worth = torch.zeros(len(asked), len(encoding))
        for number, answer in enumerate(answers):
            if isinstance(answer, SaccadeError) or not answer.readable:
                continue
            for cell, share in answer.attended:
                worth[number, place[cell]] += share * answer.confidence
        return worth
