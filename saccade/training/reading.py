"""Scores a selection of tokens by the reader's answer from it.

N tokens of a page, K of them shown.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from rich.progress import track
from torch import Tensor

from saccade.engines import Engine
from saccade.errors import EngineDead, SaccadeError
from saccade.metrics.bootstrap import Interval, bootstrap_difference, bootstrap_mean, dumped, interval_text
from saccade.metrics.scoring import score, title
from saccade.samplers.topk import TopK
from saccade.training.stored import Page
from saccade.types import Canvas, Part, Scene, Selection

Score = Callable[[Scene], Tensor]
"""(scene) -> (B, N), higher = more worth looking at."""


def read_answer(engine: Engine, page: Page, number: int, index: Tensor) -> float:
    """The score of the answer to a page's question `number` with the tokens `index` (K,) int64, any order, in view.

    It is scored by the question's own metric; an answer that fails, as for a prompt that is too long, scores 0.
    """
    question, grid = page.asked[number][0], page.encoding.grid
    selection = Selection.keep(index.cpu(), len(page.encoding))
    canvas = Canvas(grid.rows, grid.cols, (Part.of(page.encoding, selection),))
    try:
        answer = engine.read(canvas, question.text)
    except EngineDead:
        raise
    except SaccadeError:
        return 0.0
    finally:
        engine.forget()  # the next selection is another canvas: nothing of this one is read again
    return score(answer.text, question) or 0.0


@torch.no_grad()
def best(score: Score, scene: Scene, keep: int) -> tuple[Tensor, ...]:
    """(K,) int64 per image: the tokens that a look with the sampler `topk` takes by `score`."""
    return taken(score(scene), scene, keep)


def taken(worth: Tensor, scene: Scene, keep: int) -> tuple[Tensor, ...]:
    """(K,) int64 per image: the tokens that the sampler `topk` takes by their worth (B, N)."""
    gaze_uv = worth.new_full((len(scene.grids), 2), 0.5)  # it does not look there
    return tuple(selection.index for selection in TopK()(scene, worth, gaze_uv, keep))


@dataclass(frozen=True, slots=True)
class Reading:
    """Scores of questions in the order of their pages, and the pages' ids."""

    scores: tuple[float, ...]
    pages: tuple[str, ...]
    metric: str  # what the scores are called

    def mean(self) -> Interval | None:
        """The mean score with its interval over pages."""
        return bootstrap_mean(self.scores, self.pages)

    def over(self, other: "Reading") -> Interval | None:
        """The paired difference from another reading of the same questions, with its interval over pages."""
        return bootstrap_difference(self.scores, other.scores, self.pages)


def read_pages(
    engine: Engine, pages: Sequence[Page], chosen: Callable[[Page, int], Tensor], most: int, name: str = "reading"
) -> Reading:
    """Reads the first `most` questions with answers, each from the tokens `chosen(page, number)`, (K,) int64."""
    asked = [(page, number) for page in pages for number, (question, _) in enumerate(page.asked) if question.answers][
        :most
    ]
    shown = track(asked, name, disable=not sys.stderr.isatty())
    scores = [read_answer(engine, page, number, chosen(page, number)) for page, number in shown]
    names = tuple(page.image_id for page, _ in asked)
    return Reading(tuple(scores), names, title(page.asked[number][0].metric for page, number in asked))


def top(score: Score, keep: int) -> Callable[[Page, int], Tensor]:
    """A chooser for `read_pages` that takes the tokens of one look with the sampler `topk`."""
    return lambda page, number: best(score, page.some([number]), keep)[0]


def text_of(interval: Interval | None, sign: bool = False) -> str:
    """A mean with its bounds as text, for reports."""
    return interval_text(dumped(interval), sign)
