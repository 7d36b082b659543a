"""The end of the graph: an image's answers become one file. Light, because every write task imports it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import ray
from ray.data import Datasink

from pipelines.runs.files import commit

if TYPE_CHECKING:  # it brings torch
    from pipelines.execute.plan import Plan


class AnswersSink(Datasink):  # type: ignore[misc]
    """number, image_id, rows (Arrow stream of the image's question rows) -> answers/NUMBER.parquet.

    The rename is the commit. It replaces what an earlier try at the same image wrote.
    """

    def __init__(self, plan: "Plan") -> None:
        self.answers, self.staging = plan.answers, plan.staging
        self.ledger, self.namespace = plan.ledger, plan.namespace

    def write(self, blocks: Iterable[Any], ctx: Any) -> None:
        for block in blocks:
            columns = block.select(["number", "image_id", "rows"]).to_pydict()
            for number, image_id, rows in zip(*columns.values(), strict=True):
                self._commit(number, image_id, pa.ipc.open_stream(rows).read_all())

    def _commit(self, number: int, image_id: str, table: pa.Table) -> None:
        commit(table, number, self.staging, self.answers)
        errors = [error for error in table["error"].to_pylist() if error is not None]
        ledger = ray.get_actor(self.ledger, self.namespace)
        ray.get(ledger.done.remote(image_id, table.num_rows, len(errors)))
