"""ChartQA (Masry et al. 2022, https://arxiv.org/abs/2203.10244): questions about charts, half of them by people.

The layout is that of https://huggingface.co/datasets/lmms-lab/ChartQA, one split of 2,500 questions. The metric is
relaxed accuracy. One row:

    type: "human_test", question: "How many food item is shown in the bar graph?", answer: "14",
    image: {bytes: b"\\x89PNG...", path: null}

A row names neither its question nor its image: both are called by file and row, and a chart that is asked about twice
counts as two images.

    saccade batch --dataset chartqa --data-path FILE_OR_FOLDER --output runs/chartqa
"""

from typing import ClassVar, Literal

from saccade.datasets._hub import HubQuestions
from saccade.metrics.scoring import MetricName


class ChartQa(HubQuestions):
    """ChartQA from Parquet files or from the hub."""

    repository: ClassVar[str] = "lmms-lab/ChartQA"
    image_columns: ClassVar[tuple[tuple[str, ...], ...]] = ()
    layout: ClassVar[str] = "image and question (the layout of lmms-lab/ChartQA)"
    id_columns: ClassVar[tuple[str, ...]] = ()
    kept_columns: ClassVar[tuple[str, ...]] = ("type",)

    split: Literal["test"] = "test"
    metric: MetricName = "relaxed"
