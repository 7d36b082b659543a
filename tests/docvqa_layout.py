"""Writes Parquet in the exact layout of lmms-lab/DocVQA. Helper of several tests."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    {
        "questionId": pa.string(),
        "question": pa.string(),
        "question_types": pa.list_(pa.string()),
        "image": pa.struct({"bytes": pa.binary(), "path": pa.string()}),
        "docId": pa.int64(),
        "ucsf_document_id": pa.string(),
        "ucsf_document_page_no": pa.string(),
        "answers": pa.list_(pa.string()),
        "data_split": pa.string(),
    }
)


def row(number: int, document: str, page: int, image: bytes | None, **changes: Any) -> dict[str, Any]:
    """One question, as the hub's file holds it."""
    return {
        "questionId": str(49_153 + number),
        "question": f"What is value {number}?",
        "question_types": ["figure/diagram"],
        "image": {"bytes": image, "path": None},
        "docId": 14_465 + page,
        "ucsf_document_id": document,
        "ucsf_document_page_no": str(page),
        "answers": [f"0.{number}", f".{number}"],
        "data_split": "val",
    } | changes


def write(path: Path, rows: Sequence[dict[str, Any]], row_group_size: int = 3, **more: Any) -> Path:
    """One Parquet file of several row groups."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), SCHEMA), path, row_group_size=row_group_size, **more)
    return path
