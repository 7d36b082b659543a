"""The beginning of the graph: one block per image, listed by tasks small enough for a node of one CPU.

A task lists many images: the driver makes all tasks before the first of them runs, which took it 2 ms each.

`ray.data.from_arrow(...).repartition(...)` would do the same, with tasks of a whole CPU each. Where every node has one
CPU, and an actor holds a part of it, these would wait for ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
from ray.data import DataContext
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from pipelines.runs.files import read_parquet

IMAGES_PER_TASK = 64


@contextmanager
def block_per_row() -> Iterator[None]:
    """In the block, graphs keep every row in a block of its own, where Ray would put up to 128 MiB of them together."""
    context = DataContext.get_current()
    before, context.target_max_block_size = context.target_max_block_size, 1
    try:
        yield
    finally:
        context.target_max_block_size = before


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
        """One task per `IMAGES_PER_TASK` images, however many are asked for."""
        starts = range(0, self.table.num_rows, IMAGES_PER_TASK)
        return [_task(self.table.slice(start, IMAGES_PER_TASK)) for start in starts]


def _task(images: pa.Table) -> ReadTask:
    """The task that gives each row as a block; of copies, for a slice would carry the whole list to its worker."""
    rows, schema = images.to_pylist(), images.schema
    about = BlockMetadata(num_rows=len(rows), size_bytes=images.nbytes, input_files=None, exec_stats=None)
    return ReadTask(lambda: (pa.Table.from_pylist([row], schema) for row in rows), about)
