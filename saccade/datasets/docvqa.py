"""DocVQA (Mathew et al. 2021, https://arxiv.org/abs/2007.00398): questions about scanned letters, forms and reports.

The layout is that of https://huggingface.co/datasets/lmms-lab/DocVQA, where validation has 5,349 questions about 1,286
pages; the answers of the test split are hidden (null). One row:

    questionId: "49153", question: "What is the 'actual' value per 1000, during the year 1975?",
    question_types: ["figure/diagram"], image: {bytes: b"\\x89PNG...", path: null}, docId: 14465,
    ucsf_document_id: "pybv0228", ucsf_document_page_no: "81", answers: ["0.28"], data_split: "val"

The image id is `ucsf_document_id` and the page number, "pybv0228_81"; `docId` where a row lacks them.

    saccade batch --dataset docvqa --output runs/docvqa                       # from the hub (1.5 GB, kept in its cache)
    saccade batch --dataset docvqa --data-path FILE_OR_FOLDER --output runs/docvqa
"""

from typing import ClassVar, Literal

from saccade.datasets._hub import HubQuestions


class DocVqa(HubQuestions):
    """DocVQA from Parquet files or from the hub."""

    repository: ClassVar[str] = "lmms-lab/DocVQA"
    folder: ClassVar[str] = "DocVQA"  # beside InfographicVQA
    image_columns: ClassVar[tuple[tuple[str, ...], ...]] = (("ucsf_document_id", "ucsf_document_page_no"), ("docId",))
    layout: ClassVar[str] = "questionId, image and question (the layout of lmms-lab/DocVQA)"
    id_columns: ClassVar[tuple[str, ...]] = ("questionId",)
    kept_columns: ClassVar[tuple[str, ...]] = ("question_types",)

    split: Literal["validation", "test"] = "validation"
