"""Generated documents, each asked for several things at once that stand in as many regions of the page.

    "What is the due date, balance, what is the country and start date?"    14/06/2021, 6.50, Colmaltus, 12 Apr 2007

A question is that of several fields of `synthdoc`, joined, and its answer is theirs in the same order; its boxes are
theirs. Any two of its answers stand at least a tenth of the page's longer side apart, so that one look at one place
does not show both. The bundled model has learned to answer for one thing only: what looks show of all of them (the
column `coverage`) is what such pages tell of it.

    saccade batch --dataset synthdoc_several --limit 32
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field as Setting

from saccade.datasets import Row, Skip
from saccade.datasets.synthdoc import Box, Field, SynthDoc
from saccade.types import Question

APART = 0.1  # of the longer side, between centres of answers; the radius that looks inhibit (planner `saliency`)


class SynthDocSeveral(SynthDoc):
    """Generated documents, asked for several things at once; validation and training never meet."""

    questions_per_page: int = Setting(1, ge=1, description="At most; a page that holds too few things is skipped.")
    parts: int = Setting(4, ge=2, le=8, description="Things that one question asks for.")

    def rows(self) -> Iterator[Row | Skip]:
        for index in range(self.num_pages):
            page = self.page(index)
            left = list(np.random.default_rng([self.stored_seed, index, 3]).permutation(len(page.fields)))
            image_id = f"{type(self).__name__.lower()}-{self.seed}-{index}"
            height, width = page.image.shape
            sides, questions = (width / max(width, height), height / max(width, height)), list[Question]()
            while len(questions) < self.questions_per_page:
                chosen = _scattered([(int(i), page.fields[i]) for i in left], self.parts, sides)
                if len(chosen) < self.parts:
                    break
                left = [i for i in left if i not in chosen]
                fields = [page.fields[i] for i in sorted(chosen)]  # as they come on the page
                questions.append(_joined(f"{image_id}-{'-'.join(map(str, sorted(chosen)))}", fields))
            if questions:
                yield Row(image_id, str(index), tuple(questions))
            else:
                yield Skip("too_few_regions", image_id)


def _scattered(fields: Sequence[tuple[int, Field]], most: int, sides: tuple[float, float]) -> list[int]:
    """The first fields whose answers are far enough from each other, `most` of them; their numbers."""
    chosen: dict[int, tuple[float, float]] = {}
    for number, field in fields:
        at = _centre(field.answer_box, sides)
        if len(chosen) < most and all(math.dist(at, other) >= APART for other in chosen.values()):
            chosen[number] = at
    return list(chosen)


def _centre(box: Box, sides: tuple[float, float]) -> tuple[float, float]:
    return (box[0] + box[2]) / 2 * sides[0], (box[1] + box[3]) / 2 * sides[1]


def _joined(question_id: str, fields: Sequence[Field]) -> Question:
    questions = [field.question.rstrip("?") for field in fields]
    questions = [questions[0], *(text[0].lower() + text[1:] for text in questions[1:])]
    about = {
        "kind": "several",
        "x_height_px": min(field.x_height_px for field in fields),
        "label_boxes_uv": [field.key_box for field in fields],
    }
    return Question(
        question_id,
        f"{', '.join(questions[:-1])} and {questions[-1]}?",
        (", ".join(field.answer for field in fields),),
        tuple(field.answer_box for field in fields),
        about,
    )
