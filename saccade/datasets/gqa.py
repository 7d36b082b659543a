"""GQA (Hudson & Manning 2019, https://arxiv.org/abs/1902.09506): questions about objects and relations in photographs.

The layout is that of https://huggingface.co/datasets/lmms-lab/GQA, which keeps questions and images apart: the balanced
testdev split has 12,578 questions in `testdev_balanced_instructions/` about 398 images in `testdev_balanced_images/`.
The answer has one word or few, and the metric is exact match without punctuation. One row of each:

    id: "201307251", imageId: "n161313", question: "Is it overcast?", answer: "no", fullAnswer: "No, it is clear.",
    isBalanced: true, groups: {...}, entailed: "...", equivalent: "...", types: {structural: "verify", ...}, ...

    id: "n161313", image: {bytes: b"\\xff\\xd8...", path: null}

    saccade batch --dataset gqa --data-path FOLDER_OF_BOTH --output runs/gqa
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from saccade.datasets import Row, Skip
from saccade.datasets._cells import open_parquet
from saccade.datasets._fields import Listed, grouped, to_question
from saccade.datasets._hub import HubQuestions, downloaded, of_split
from saccade.datasets._parquet import parquet_files
from saccade.errors import ConfigError
from saccade.metrics.scoring import MetricName

QUESTIONS, IMAGES = {"id", "imageId", "question"}, {"id", "image"}  # by their columns the two tables are told apart


class Gqa(HubQuestions):
    """GQA, its balanced questions, from Parquet files or from the hub."""

    repository: ClassVar[str] = "lmms-lab/GQA"
    layout: ClassVar[str] = "id, imageId and question, and in another file id and image (the layout of lmms-lab/GQA)"

    split: Literal["testdev", "val"] = "testdev"
    metric: MetricName = "words"

    def files(self) -> list[Path]:
        """The files of questions and of images; of a folder with several splits, as on the hub, those of `split`.

        Raises:
            ConfigError: there is no file, or none of `split`.
        """
        folders = [f"{self.split}_balanced_{table}" for table in ("instructions", "images")]
        patterns = [f"{folder}/*.parquet" for folder in folders]
        root = self.data_path or downloaded(self.name(), self.repository, patterns)
        parquets = parquet_files(root)
        tables = [re.fullmatch(r"([a-z]+)_balanced_(instructions|images)", path.parent.name) for path in parquets]
        return of_split(self.split, parquets, [table and table[1] for table in tables], Path(root))

    def rows(self) -> Iterator[Row | Skip]:
        files = self._readable()
        return grouped(self._joined(files), f"{files[0].parent}/ ({len(files)} Parquet files)")

    def _joined(self, files: list[Path]) -> Iterator[Listed | Skip]:
        """Every question with the row of its image.

        Raises:
            ConfigError: no file holds questions, or no file holds images.
        """
        columns = {path: set(_columns(path)) for path in files}
        question_files = [path for path in files if columns[path] >= QUESTIONS]
        image_files = [path for path in files if columns[path] >= IMAGES]
        if not question_files or not image_files:
            lacks = "questions" if not question_files else "images"
            raise ConfigError(
                f"{str(files[0].parent)!r} and what else was given holds no file of {lacks}: give as --data-path a "
                f"folder with both tables, {self.layout}"
            )
        sources = {
            record["id"]: f"{self._name(path)}#{number}"
            for path in image_files
            for number, record in enumerate(self._read(path, ["id"]))
        }
        for path in question_files:
            for number, record in enumerate(self._read(path, ["id", "imageId", "question", "answer"])):
                where, source = f"{path.name}:{number}", sources.get(record["imageId"])
                question = to_question({**record, "image": source}, where, metric=self.metric)
                yield (
                    question if isinstance(question, Skip) else Listed(record["imageId"], str(source), question, where)
                )

    def _read(self, path: Path, columns: list[str]) -> Iterator[dict[str, str]]:
        """Some columns of a file, row by row; those that it lacks are left out."""
        with open_parquet(path) as file:
            for batch in file.iter_batches(columns=[name for name in columns if name in file.schema_arrow.names]):
                yield from batch.to_pylist()


def _columns(path: Path) -> list[str]:
    with open_parquet(path) as file:
        return list(file.schema_arrow.names)
