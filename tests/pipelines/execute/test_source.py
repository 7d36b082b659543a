"""The list of images as the graph reads it: many images a task, each in a block of its own."""

from pathlib import Path

import pytest
from ray.data import DataContext

from pipelines.execute.source import IMAGES_PER_TASK, Listed, block_per_row
from pipelines.runs import manifest
from pipelines.runs.files import read_parquet
from saccade.datasets import Row
from saccade.types import Question


@pytest.mark.parametrize("num_images", [1, IMAGES_PER_TASK, IMAGES_PER_TASK + 1, 5 * IMAGES_PER_TASK - 1])
def test_every_image_is_listed_once_in_a_block_of_its_own(tmp_path: Path, num_images: int) -> None:
    """A task for each image would keep a driver of a million images busy for half an hour before it begins."""
    rows = [Row(f"{n}.png", f"{n}.png", (Question(f"{n}", "What?"),)) for n in range(num_images)]
    manifest.write(rows, tmp_path / "left.parquet", tmp_path / "skipped.jsonl")
    listed = Listed(tmp_path / "left.parquet")
    tasks = listed.get_read_tasks(1)
    assert len(tasks) == -(-num_images // IMAGES_PER_TASK)
    blocks = [block for task in tasks for block in task()]
    assert all(block.num_rows == 1 and block.schema == listed.table.schema for block in blocks)
    assert [block.to_pylist()[0] for block in blocks] == read_parquet(tmp_path / "left.parquet").to_pylist()
    assert sum(task.metadata.num_rows for task in tasks) == num_images


def test_what_else_uses_ray_keeps_its_blocks() -> None:
    context = DataContext.get_current()
    before = context.target_max_block_size
    with pytest.raises(KeyboardInterrupt), block_per_row():
        assert context.target_max_block_size == 1
        raise KeyboardInterrupt
    assert context.target_max_block_size == before
