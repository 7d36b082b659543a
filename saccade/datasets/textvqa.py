"""TextVQA (Singh et al. 2019, https://arxiv.org/abs/1904.08920): questions about the text in photographs.

The layout is that of https://huggingface.co/datasets/lmms-lab/textvqa: validation has 5,000 questions; the answers of
the test split are hidden. Ten people answered each, and the metric is VQA accuracy. One row:

    image_id: "003a8ae2ef43b901", question_id: 34602, question: "what is the brand of this camera?",
    question_tokens: ["what", "is", ...], image: {bytes: b"\\xff\\xd8...", path: null}, image_width: 1024,
    image_height: 664, flickr_original_url: "https://farm2...", flickr_300k_url: "https://c4...",
    answers: ["nous les gosses", "dakota", ...], image_classes: ["Cassette deck", ...], set_name: "val", ocr_tokens: []

    saccade batch --dataset textvqa --data-path FILE_OR_FOLDER --output runs/textvqa
"""

from typing import ClassVar, Literal

from saccade.datasets._hub import HubQuestions
from saccade.metrics.scoring import MetricName


class TextVqa(HubQuestions):
    """TextVQA from Parquet files or from the hub."""

    repository: ClassVar[str] = "lmms-lab/textvqa"
    image_columns: ClassVar[tuple[tuple[str, ...], ...]] = (("image_id",),)
    layout: ClassVar[str] = "question_id, image and question (the layout of lmms-lab/textvqa)"
    id_columns: ClassVar[tuple[str, ...]] = ("question_id",)
    kept_columns: ClassVar[tuple[str, ...]] = ("image_classes",)

    split: Literal["validation", "test", "train"] = "validation"
    metric: MetricName = "vqa"
