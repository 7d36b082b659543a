"""Writes Parquet in the exact layouts of the field's data sets on the hub. Helper of several tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
TEXTS = pa.list_(pa.string())
PERSON = pa.struct({"answer": pa.string(), "answer_confidence": pa.string(), "answer_id": pa.int64()})

TEXTVQA = pa.schema(
    {
        "image_id": pa.string(),
        "question_id": pa.int32(),
        "question": pa.string(),
        "question_tokens": TEXTS,
        "image": IMAGE,
        "image_width": pa.int32(),
        "image_height": pa.int32(),
        "flickr_original_url": pa.string(),
        "flickr_300k_url": pa.string(),
        "answers": TEXTS,
        "image_classes": TEXTS,
        "set_name": pa.string(),
        "ocr_tokens": TEXTS,
    }
)
CHARTQA = pa.schema({"type": pa.string(), "question": pa.string(), "answer": pa.string(), "image": IMAGE})
INFOGRAPHICVQA = pa.schema(
    {
        "questionId": pa.string(),
        "question": pa.string(),
        "answers": TEXTS,
        "answer_type": TEXTS,
        "image": IMAGE,
        "image_url": pa.string(),
        "operation/reasoning": TEXTS,
        "ocr": pa.string(),
        "data_split": pa.string(),
    }
)
VQAV2 = pa.schema(
    {
        "question_type": pa.string(),
        "multiple_choice_answer": pa.string(),
        "answers": pa.list_(PERSON),
        "image_id": pa.int64(),
        "answer_type": pa.string(),
        "question_id": pa.int64(),
        "question": pa.string(),
        "image": IMAGE,
    }
)
OCRBENCH = pa.schema(
    {
        "dataset": pa.string(),
        "question": pa.string(),
        "question_type": pa.string(),
        "answer": TEXTS,
        "image": IMAGE,
    }
)
GQA_QUESTIONS = pa.schema(
    {
        "id": pa.string(),
        "imageId": pa.string(),
        "question": pa.string(),
        "answer": pa.string(),
        "fullAnswer": pa.string(),
        "isBalanced": pa.bool_(),
        "groups": pa.struct({"global": pa.string(), "local": pa.string()}),
        "entailed": pa.string(),
        "equivalent": pa.string(),
        "types": pa.struct({"structural": pa.string(), "semantic": pa.string(), "detailed": pa.string()}),
        "semanticStr": pa.string(),
    }
)
GQA_IMAGES = pa.schema({"id": pa.string(), "image": IMAGE})


def write(path: Path, schema: pa.Schema, rows: Sequence[dict[str, Any]]) -> Path:
    """One Parquet file of several row groups; columns that a row lacks are null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema), path, row_group_size=2)
    return path
