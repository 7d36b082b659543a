"""OCRBench (Liu et al. 2024, https://arxiv.org/abs/2305.07895): 1,000 questions of ten kinds about printed and
handwritten text.

The layout is that of https://huggingface.co/datasets/echo840/OCRBench, which lmms-eval reads. An answer is right if it
holds an accepted one; of formulas (HME100k) case counts and blanks do not. One row:

    dataset: "IIIT5K", question: "what is written in the image?", question_type: "Regular Text Recognition",
    answer: ["CENTRE"], image: {bytes: b"\\x89PNG...", path: null}

A row names neither its question nor its image: both are called by file and row.

    saccade batch --dataset ocrbench --data-path FILE_OR_FOLDER --output runs/ocrbench
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from saccade.datasets._hub import HubQuestions
from saccade.metrics.scoring import MetricName


class OcrBench(HubQuestions):
    """OCRBench from Parquet files or from the hub."""

    repository: ClassVar[str] = "echo840/OCRBench"
    image_columns: ClassVar[tuple[tuple[str, ...], ...]] = ()
    layout: ClassVar[str] = "image and question (the layout of echo840/OCRBench)"
    id_columns: ClassVar[tuple[str, ...]] = ()
    kept_columns: ClassVar[tuple[str, ...]] = ("dataset", "question_type")

    split: Literal["test"] = "test"
    metric: MetricName = "contains"

    def metric_of(self, record: Mapping[str, Any]) -> str:
        formulas = record.get("dataset") == "HME100k" and self.metric == "contains"
        return "formula" if formulas else self.metric
