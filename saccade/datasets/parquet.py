"""Questions in any Parquet file, or in all of a folder. Boxes are pixels of the image as displayed.

    id: "006-date", image: {bytes: b"\\xff\\xd8...", path: "006.jpg"}, question: "What is the date?",
    answers: ["11/01/2019"], answer_boxes: [[294, 356, 433, 375]]

Columns: `id` (or `question_id`, `questionId`); `image`: a struct of bytes and path as Hugging Face writes it, binary,
or a path relative to the file; `question`; and, if there, `answers` (list of texts; null: hidden), `answer_boxes`
(lists of x0, y0, x1, y1) and `image_id`: rows that share one are asked about one image, which is encoded once. (Without
it, DocVQA's `ucsf_document_id` with its page number, or the image's path, say the same; else each row is an image
of its own.)

    saccade batch --dataset path/to/file.parquet --output runs/mine
"""

from pathlib import Path

from pydantic import Field

from saccade.datasets._fields import DataPath
from saccade.datasets._parquet import ParquetQuestions, parquet_files


class Parquet(ParquetQuestions):
    """Questions of a Parquet file or of a folder of them."""

    data_path: DataPath
    question: str | None = Field(None, min_length=1, description="Asked of rows without one, which then need no id.")

    def asked(self) -> str | None:
        return self.question

    def files(self) -> list[Path]:
        return parquet_files(self.data_path)
