"""InfographicVQA (Mathew et al. 2022, https://arxiv.org/abs/2104.12756): questions about posters of charts and text.

The layout is that of https://huggingface.co/datasets/lmms-lab/DocVQA, folder InfographicVQA, where validation has
2,801 questions; the answers of the test split are hidden (null). One row:

    questionId: "98313", question: "What is the population of ...?", answers: ["24.7 million"],
    answer_type: ["single span"], image: {bytes: b"\\x89PNG...", path: null}, image_url: "https://blogs.constant...",
    operation/reasoning: ["counting"], ocr: "...", data_split: "val"

`image_url` is the image id.

    saccade batch --dataset infographicvqa --data-path FILE_OR_FOLDER --output runs/infographicvqa
"""

from typing import ClassVar, Literal

from saccade.datasets._hub import HubQuestions


class InfographicVqa(HubQuestions):
    """InfographicVQA from Parquet files or from the hub."""

    repository: ClassVar[str] = "lmms-lab/DocVQA"
    folder: ClassVar[str] = "InfographicVQA"  # beside DocVQA
    image_columns: ClassVar[tuple[tuple[str, ...], ...]] = (("image_url",),)
    layout: ClassVar[str] = "questionId, image and question (the layout of InfographicVQA in lmms-lab/DocVQA)"
    id_columns: ClassVar[tuple[str, ...]] = ("questionId",)
    kept_columns: ClassVar[tuple[str, ...]] = ("answer_type", "operation/reasoning")

    split: Literal["validation", "test"] = "validation"
