"""Encoded pages, stored once and reused by trainings that need the same of them: one Parquet file per page.

    CACHE/<key>/<page>.parquet    image_id, source, questions (JSON), grid (JSON), tensors (safetensors)

The key is a hash of the model's weights, the data, the settings of the encoding and the teacher: a change of one starts
a new folder. A page's name is a hash of its questions and of its image file's size and time: an image that was replaced
is encoded again. An interrupted encoding resumes with the missing pages; a page that failed is tried again.

N tokens of a page, Q questions about it, T tokens of a question.
"""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.progress import track
from safetensors.torch import load as unpacked
from safetensors.torch import save as packed
from torch import Tensor

from saccade.analysis.gaze import scene_of
from saccade.codes import Coded
from saccade.config import Episode
from saccade.datasets import Dataset, Row, digest
from saccade.engines import Encoder
from saccade.episode import see
from saccade.errors import ConfigError, EngineDead, SaccadeError, describe
from saccade.picture import Picture
from saccade.reduction.autoencoder import rebuilt
from saccade.types import ENCODED, Encoding, Grid, Query, Question, Scene

GRID = ("centre_uv", "extent_uv", "level", "row", "col")
VIEW = ("sampler", "encoder", "levels", "pyramid", "ink_tolerance", "print_px")  # settings that decide what is encoded
SIDES = ("rows", "cols", "width_px", "height_px")
SCHEMA = pa.schema(
    [("image_id", pa.string()), ("source", pa.string()), ("questions", pa.string()), ("about", pa.string()),
     ("tensors", pa.binary())]
)  # fmt: skip

logger = logging.getLogger(__name__)

E = TypeVar("E", bound=Encoder)

Teach = Callable[[str, Picture, Encoding, Sequence[tuple[Question, Query]]], Tensor]
"""(source, picture, encoding, questions) -> what each token of a page is worth to each question, (Q, N) >= 0."""

Needs = Literal["boxes", "answers", "nothing"]
"""What a training needs to know of a question; questions without it are left out."""
LACKING: dict[Needs, str] = {
    "boxes": "questions with answer_boxes; saccade train head --teacher reading needs no boxes",
    "answers": "questions with answers",
    "nothing": "images that open",
}


@dataclass(frozen=True)
class Page:
    """One encoded page with its questions."""

    image_id: str
    picture: Picture
    encoding: Encoding
    asked: tuple[tuple[Question, Query], ...]
    worth: Tensor | None  # (Q, N) of a teacher; None: the boxes of the questions say

    @cached_property
    def scene(self) -> Scene:
        """The page once for each of its questions (B = Q); what they share is not copied."""
        return self.some(range(len(self.asked)))

    def some(self, numbers: Sequence[int]) -> Scene:
        """The scene of the page with some of its questions; shared tensors are expanded, not copied."""
        return scene_of(self.picture, self.encoding, [self.asked[number][1] for number in numbers])


class Pages(Sequence[Page]):
    """Pages of a folder, loaded on access; the last few stay in memory."""

    def __init__(self, files: Sequence[Path], picture: Callable[[str], Picture], held: int = 64) -> None:
        self.files, self.picture, self.held = list(files), picture, held
        self._pages: dict[int, Page] = {}

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return Pages(self.files[number], self.picture, self.held)
        if number not in self._pages:
            while len(self._pages) >= self.held:
                self._pages.pop(next(iter(self._pages)))
            self._pages[number] = read(self.files[number], self.picture)
        return self._pages[number]

    def __iter__(self) -> Iterator[Page]:
        return (self[number] for number in range(len(self)))

    def split(self, every: int) -> tuple["Pages", "Pages"]:
        """Training pages and held-out pages: every `every`-th page is held out, or the last ones of fewer pages."""
        if len(self) < 2:
            raise ConfigError(f"{len(self)} page with usable questions: at least 2 are needed, one to hold out")
        out = [number for number in range(len(self)) if number % every == every - 1] or [len(self) - 1]
        parts = ([n for n in range(len(self)) if n not in set(out)], out)
        halves = [Pages([self.files[n] for n in part], self.picture, self.held) for part in parts]
        return halves[0], halves[1]


def stored(
    cache: Path,
    settings: Episode,
    encoder: Encoder,
    dataset: Dataset,
    rows: Sequence[Row],
    *,
    needs: Needs = "boxes",
    teach: Teach | None = None,
    taught: Mapping[str, Any] | None = None,
) -> Pages:
    """The pages of these rows as `settings` encode them, made where the cache lacks them.

    `teach` gives the worth of tokens instead of the boxes; `taught` describes it, and is part of the key. Images that
    cannot be opened, and questions that cannot be asked or lack what the training `needs`, are left out. A warning says
    which pages failed and why.

    Raises:
        ConfigError: no usable page is left.
        EngineDead: the engine is gone.
    """
    depends = {
        "weights": encoder.family.fingerprint, "data": dataset.fingerprint(), "dtype": str(encoder.family.model.dtype),
        "view": {name: getattr(settings, name) for name in VIEW},
        "needs": needs, "taught": dict(taught or {}),
    }  # fmt: skip
    folder = cache / digest(depends)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "about.json").write_text(json.dumps(depends, indent=1) + "\n")
    files, failed = list[Path](), list[str]()
    for row in track(rows, "encoding", disable=not sys.stderr.isatty()):
        ids = [question.id for question in row.questions]
        file = folder / f"{digest(row.image_id, ids, _stamp(dataset.path(row.source)))}.parquet"
        try:
            if not file.exists() and (made := _encoded(settings, encoder, dataset, row, needs, teach)) is not None:
                write(file, row, *made)
        except (EngineDead, ConfigError):
            raise
        except SaccadeError as error:
            failed.append(f"the page {row.image_id} is left out: {describe(error)}")
            logger.warning("%s", failed[-1])
        if file.exists():
            files.append(file)
    if failed:
        told = "%d of %d pages failed and are left out; the next training tries them again"
        logger.warning(told, len(failed), len(rows))
    if not files:
        why = f": {failed[0]}" if failed else f" in it: it has no {LACKING[needs]}"
        raise ConfigError(f"the data set {dataset.name()!r} has no usable page{why}")
    limit_px = encoder.family.limit_px  # pages may be looked at when the encoder is closed
    return Pages(files, lambda source: dataset.picture(source, limit_px))


@contextmanager
def frozen(
    opening: AbstractContextManager[E], cache: Path, settings: Episode, dataset: Dataset, rows: Sequence[Row],
    *, needs: Needs,
) -> Iterator[tuple[E, Pages]]:  # fmt: skip
    """An engine with frozen weights, and the pages of these rows as it encodes them. Raises as `stored`."""
    with opening as engine:
        engine.family.model.requires_grad_(False)
        yield engine, stored(cache, settings, engine, dataset, rows, needs=needs)


def _encoded(
    settings: Episode, encoder: Encoder, dataset: Dataset, row: Row, needs: Needs, teach: Teach | None
) -> tuple[Encoding, list[tuple[Question, Query]], Tensor | None] | None:
    """A row's encoding, its usable questions, and the teacher's worth (Q, N); None: it has no usable question.

    Raises:
        SaccadeError: the image or all of its questions cannot be used.
    """
    sample = dataset.sample(row, encoder.family.limit_px)
    questions = [question for question in sample.questions if _known(question, needs)]
    if not questions:
        return None  # before the image is encoded: no file says so, so it is found out again every time
    seen = see(settings, encoder, sample.picture, questions)
    asked = [(question, query) for question, query in seen.asked if isinstance(query, Query)]
    if not asked:
        raise next(query for _, query in seen.asked if isinstance(query, SaccadeError))
    return seen.encoding, asked, None if teach is None else teach(row.source, sample.picture, seen.encoding, asked)


def _known(question: Question, needs: Needs) -> bool:
    """Whether a question brings what a training needs."""
    brings = {"boxes": question.answer_boxes_uv, "answers": question.answers, "nothing": True}
    return bool(brings[needs])


def _stamp(file: Path | None) -> tuple[int, int] | None:
    """Size and time of an image's file; None: it has none, or there is no such file."""
    try:
        status = None if file is None else file.stat()
    except (OSError, ValueError):  # opening the picture says what is wrong
        status = None
    return None if status is None else (status.st_size, status.st_mtime_ns)


def write(
    file: Path, row: Row, encoding: Encoding, asked: Sequence[tuple[Question, Query]], worth: Tensor | None
) -> None:
    """Writes one page as a file, atomically."""
    tensors = {**encoding.tensors, **{f"grid.{name}": getattr(encoding.grid, name) for name in GRID}}
    if encoding.coded is not None:
        tensors["tokens"] = encoding.coded.codes  # the tokens are made of them when the page is read
    if encoding.grid.source is not None:
        tensors["grid.source"] = encoding.grid.source
    for number, (_, query) in enumerate(asked):
        tensors |= {f"query.{number}": query.tokens, f"weight.{number}": query.weight}
    tensors |= {} if worth is None else {"worth": worth}
    about = {name: getattr(encoding.grid, name) for name in SIDES}
    about |= {name: getattr(encoding, name) for name in ("picture_hash", "fingerprint", "num_patches")}
    if encoding.coded is not None:
        about["coded"] = {"codec": encoding.coded.codec, "dtype": str(encoding.coded.dtype).removeprefix("torch.")}
    rows = [
        {"image_id": row.image_id, "source": row.source, "about": json.dumps(about),
         "questions": json.dumps([asdict(question) for question, _ in asked], default=str),
         "tensors": packed({name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()})}
    ]  # fmt: skip
    part = file.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), part, compression="zstd")
    os.replace(part, file)


def read(file: Path, picture: Callable[[str], Picture]) -> Page:
    """Reads a page that `write` has written; its picture is opened lazily."""
    (row,) = pq.read_table(file).to_pylist()
    tensors, about = unpacked(row["tensors"]), json.loads(row["about"])
    placed: dict[str, Any] = {name: about.pop(name) for name in SIDES}
    placed |= {name: tensors[f"grid.{name}"] for name in GRID}
    grid = Grid(**placed, source=tensors.get("grid.source"))
    if (by := about.pop("coded", None)) is not None:
        coded = Coded(tensors["tokens"], by["codec"], getattr(torch, by["dtype"]))
        about["coded"], tensors["tokens"] = coded, rebuilt(coded)
    encoding = Encoding(**{name: tensors.get(name) for name in ENCODED}, grid=grid, **about)  # type: ignore[arg-type]
    asked = []
    for number, fields in enumerate(json.loads(row["questions"])):
        lists = {name: tuple(map(tuple, fields[name])) for name in ("answer_boxes_uv", "answer_boxes_px")}
        answers = None if fields["answers"] is None else tuple(fields["answers"])
        question = Question(**{**fields, **lists, "answers": answers, "choices": tuple(fields["choices"])})
        asked.append((question, Query(question.text, tensors[f"query.{number}"], tensors[f"weight.{number}"])))
    return Page(row["image_id"], picture(row["source"]), encoding, tuple(asked), tensors.get("worth"))
