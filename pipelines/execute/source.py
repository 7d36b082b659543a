"""The beginning of the graph: one block per image, read by tasks small enough for a node of one CPU.

`ray.data.from_arrow(...).repartition(...)` would do the same, with tasks of a whole CPU each. Where every node has one
CPU, and an actor holds a part of it, these would wait for ever.
"""

from pathlib import Path

import pyarrow as pa
from ray.data import DataContext
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from pipelines.runs.files import read_parquet


class Listed(Datasource):  # type: ignore[misc]
    """The images that an attempt must do: number, image_id, source, questions."""

    def __init__(self, left: Path) -> None:
        super().__init__()
        self.table = read_parquet(left)

    def estimate_inmemory_data_size(self) -> int:
        """Bytes of all blocks."""
        return int(self.table.nbytes)

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        """One task per image, however many are asked for."""
        rows = (self.table.slice(number, 1).combine_chunks() for number in range(self.table.num_rows))
        return [_task(pa.Table.from_pylist(row.to_pylist(), row.schema)) for row in rows]


def _task(row: pa.Table) -> ReadTask:
    """The task that gives one row; the row is a copy, for a slice would carry the whole list to its worker."""
    about = BlockMetadata(num_rows=1, size_bytes=row.nbytes, input_files=None, exec_stats=None)
    return ReadTask(lambda: [row], about)
