"""VQAv2 (Goyal et al. 2017, https://arxiv.org/abs/1612.00837): questions about photographs.

The layout is that of https://huggingface.co/datasets/lmms-lab/VQAv2: validation has 214,354 questions; the answers of
testdev and test are hidden. Ten people answered each, and the metric is VQA accuracy. One row:

    question_type: "none of the above", multiple_choice_answer: "down",
    answers: [{answer: "down", answer_confidence: "yes", answer_id: 1}, ...], image_id: 262148, answer_type: "other",
    question_id: 262148000, question: "Where is he looking?", image: {bytes: b"\\xff\\xd8...", path: null}

    saccade batch --dataset vqav2 --data-path FILE_OR_FOLDER --output runs/vqav2        # the hub's files are 45 GB
"""

from typing import ClassVar, Literal

from saccade.datasets._hub import HubQuestions
from saccade.metrics.scoring import MetricName


class VqaV2(HubQuestions):
    """VQAv2 from Parquet files or from the hub."""

    repository: ClassVar[str] = "lmms-lab/VQAv2"
    image_columns: ClassVar[tuple[tuple[str, ...], ...]] = (("image_id",),)
    layout: ClassVar[str] = "question_id, image and question (the layout of lmms-lab/VQAv2)"
    id_columns: ClassVar[tuple[str, ...]] = ("question_id",)
    kept_columns: ClassVar[tuple[str, ...]] = ("question_type", "answer_type")

    split: Literal["validation", "testdev", "test"] = "validation"
    metric: MetricName = "vqa"
