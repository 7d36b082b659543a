"""The questions of an image as an episode takes them: embedded, and with their attention where a scorer needs it."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from saccade.engines import Encoder
from saccade.errors import DataError, SaccadeError
from saccade.geometry.neighbours import covering
from saccade.importance import Listener
from saccade.types import Canvas, Encoding, Grid, Heard, Part, Query, Question


def embed_questions(
    encoder: Encoder,
    questions: Sequence[Question],
    scorer: Listener | None,
    whole: Grid,
    glimpse: Encoding | None,
    with_boxes: bool = False,
) -> tuple[tuple[Question, Query | SaccadeError], ...]:
    """Each question with its query, or with the error that ends it. `with_boxes`: queries hold their answers' boxes.

    With a scorer that needs attention and a glimpse a query also holds what its question attends to on the glimpse
    relative to the scorer's neutral prompt, given to the tokens of the `whole` that lie under each of the glimpse's.
    The neutral prompt is read once per image, and charged to its first question.

    Raises:
        ConfigError: this engine gives no attention, or has no such layer.
    """
    queries = [(question, _embed(encoder, question, with_boxes)) for question in questions]
    if scorer is None or glimpse is None:
        return tuple(queries)
    layer, under = scorer.layer, covering(glimpse.grid, whole)
    canvas = Canvas(whole.rows, whole.cols, (Part.of(glimpse),))
    neutral = encoder.attention(canvas, scorer.neutral, layer)
    extra = neutral
    for number, (question, query) in enumerate(queries):
        if isinstance(query, SaccadeError):
            continue
        try:
            attended = encoder.attention(canvas, question.text, layer)
        except SaccadeError as error:
            queries[number] = (question, error)
            continue
        ratio = (attended.attention / neutral.attention.clamp(min=torch.finfo(torch.float32).tiny))[under]
        queries[number] = (question, replace(query, heard=replace(attended.plus(extra), attention=ratio)))
        extra = Heard(neutral.attention, 0, 0, 0.0)
    return tuple(queries)


def _embed(encoder: Encoder, question: Question, with_boxes: bool) -> Query | SaccadeError:
    if question.error is not None:  # "Type: message", found when the data set listed it
        return DataError(question.error.partition(": ")[2])
    if with_boxes and not question.answer_boxes_uv:
        return DataError("an oracle looks where the answer stands, and the data set does not say where (answer_boxes)")
    try:
        query = encoder.query(question.text)
    except SaccadeError as error:
        return error
    if not with_boxes:
        return query
    label = question.metadata.get("key_box_uv")
    return replace(query, boxes_uv=question.answer_boxes_uv, labels_uv=(tuple(label),) if label else ())
