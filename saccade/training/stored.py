"""Encoded pages, stored once and reused by all trainings: one Parquet file per page, with all of its questions.

    CACHE/<key>/<page>.parquet    image_id, source, questions (JSON), grid (JSON), tensors (safetensors)

The key is a hash of the model's weights, the data, the settings of the encoding and the teacher: a change of one starts
a new folder. A page's name is a hash of its questions and of its image file's size and time: an image that was replaced
is encoded again. An interrupted encoding resumes with the missing pages; a page that failed is tried again. What a
training needs of a question (boxes, answers) decides when a page is read, so that trainings of all kinds share files.

N tokens of a page, Q questions about it, T tokens of a question.
"""

import hashlib
import json
import logging
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
from saccade.files import replaced, write_text
from saccade.picture import Picture
from saccade.reduction.autoencoder import rebuilt
from saccade.types import ENCODED, Encoding, Grid, Query, Question, Scene

GRID = ("centre_uv", "extent_uv", "level", "row", "col")
VIEW = ("sampler", "encoder", "plain", "levels", "pyramid", "ink_tolerance", "print_px")
"""Settings that decide what is encoded."""
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
HELD_OUT = 5
"""Of so many pages one is held out, chosen by a hash of its image id."""
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
    """Stored pages with the questions that a training can use, loaded on access; the last few stay in memory.

    `files` and `image_ids` are of the same pages, in the same order; `picture` opens the image of a source.
    """

    def __init__(
        self,
        files: Sequence[Path],
        image_ids: Sequence[str],
        picture: Callable[[str], Picture],
        needs: Needs = "nothing",
        held: int = 64,
    ) -> None:
        self.files, self.image_ids = list(files), list(image_ids)
        self.picture, self.needs, self.held = picture, needs, held
        self._pages: dict[int, Page] = {}

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return self._some(range(len(self))[number])
        if number not in self._pages:
            while len(self._pages) >= self.held:
                self._pages.pop(next(iter(self._pages)))
            self._pages[number] = read(self.files[number], self.picture, self.needs)
        return self._pages[number]

    def __iter__(self) -> Iterator[Page]:
        return (self[number] for number in range(len(self)))

    def _some(self, numbers: Sequence[int]) -> "Pages":
        files, image_ids = [self.files[n] for n in numbers], [self.image_ids[n] for n in numbers]
        return Pages(files, image_ids, self.picture, self.needs, self.held)

    def split(self, every: int = HELD_OUT) -> tuple["Pages", "Pages"]:
        """Training pages and held-out pages, about one in `every`: the choice is each page's own, by its image id.

        So a page stays on its side whatever becomes of the others: a training that resumes after a broken page was
        mended, or with more pages, never learns from what it has held out. Where none or all of a few pages would be
        held out, the one nearest to the other side goes there.

        Raises:
            ConfigError: there are fewer than two images.
        """
        lots = {image_id: _lot(image_id) for image_id in self.image_ids}
        if len(lots) < 2:
            raise ConfigError(f"{len(lots)} page with usable questions: at least 2 are needed, one to hold out")
        drawn = sorted(lots, key=lots.__getitem__)
        count = sum(lot < 1 / every for lot in lots.values())
        out = set(drawn[: min(max(count, 1), len(drawn) - 1)])
        numbers = range(len(self))
        learnt, held_out = ([n for n in numbers if (self.image_ids[n] in out) is side] for side in (False, True))
        return self._some(learnt), self._some(held_out)


def _lot(image_id: str) -> float:
    """A number in [0, 1) that only the id decides, evenly spread over ids."""
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:6]) / 2**48


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
    cannot be opened, and questions that cannot be asked or lack what the training `needs`, are left out; a page without
    a question that it needs is not encoded. A warning says which pages failed and why.

    Raises:
        ConfigError: no usable page is left.
        EngineDead: the engine is gone.
    """
    depends = {
        "weights": encoder.family.fingerprint, "data": dataset.fingerprint(), "dtype": str(encoder.family.model.dtype),
        "view": {name: getattr(settings, name) for name in VIEW}, "received": "received" in settings.needs,
        "taught": dict(taught or {}),
    }  # fmt: skip
    folder = cache / digest(depends)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "about.json", json.dumps(depends, indent=1) + "\n")
    files, image_ids, failed = list[Path](), list[str](), list[str]()
    for row in track(rows, "encoding", disable=not sys.stderr.isatty()):
        ids = [question.id for question in row.questions]
        file = folder / f"{digest(row.image_id, ids, _stamp(dataset.path(row.source)))}.parquet"
        try:
            made = None if _holds(file, needs) else _encoded(settings, encoder, dataset, row, needs, teach)
            if made is not None:
                write(file, row, *made)
        except (EngineDead, ConfigError):
            raise
        except SaccadeError as error:
            failed.append(f"the page {row.image_id} is left out: {describe(error)}")
            logger.warning("%s", failed[-1])
        if _holds(file, needs):
            files.append(file)
            image_ids.append(row.image_id)
    if failed:
        told = "%d of %d pages failed and are left out; the next training tries them again"
        logger.warning(told, len(failed), len(rows))
    if not files:
        why = f": {failed[0]}" if failed else f" in it: it has no {LACKING[needs]}"
        raise ConfigError(f"the data set {dataset.name()!r} has no usable page{why}")
    limit_px = encoder.family.limit_px  # pages may be looked at when the encoder is closed
    return Pages(files, image_ids, lambda source: dataset.picture(source, limit_px), needs)


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
    """A row's encoding, all its questions that can be asked, and the teacher's worth (Q, N).

    None: no question brings what the training `needs`.

    Raises:
        SaccadeError: the image, or every question that brings it, cannot be used.
    """
    sample = dataset.sample(row, encoder.family.limit_px)
    if not any(_known(question, needs) for question in sample.questions):
        return None  # before the image is encoded: no file says so, so it is found out again every time
    seen = see(settings, encoder, sample.picture, sample.questions)
    asked = [(question, query) for question, query in seen.asked if isinstance(query, Query)]
    if not any(_known(question, needs) for question, _ in asked):
        useful = (query for question, query in seen.asked if _known(question, needs))
        raise next(error for error in useful if isinstance(error, SaccadeError))
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
    with replaced(file) as part:
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), part, compression="zstd")


def read(file: Path, picture: Callable[[str], Picture], needs: Needs = "nothing") -> Page:
    """Reads a page that `write` has written, with the questions that bring what is needed; its picture opens lazily."""
    (row,) = pq.read_table(file).to_pylist()
    tensors, about = unpacked(row["tensors"]), json.loads(row["about"])
    placed: dict[str, Any] = {name: about.pop(name) for name in SIDES}
    placed |= {name: tensors[f"grid.{name}"] for name in GRID}
    grid = Grid(**placed, source=tensors.get("grid.source"))
    if (by := about.pop("coded", None)) is not None:
        coded = Coded(tensors["tokens"], by["codec"], getattr(torch, by["dtype"]))
        about["coded"], tensors["tokens"] = coded, rebuilt(coded)
    encoding = Encoding(**{name: tensors.get(name) for name in ENCODED}, grid=grid, **about)  # type: ignore[arg-type]
    asked = [
        (question, Query(question.text, tensors[f"query.{number}"], tensors[f"weight.{number}"]))
        for number, question in enumerate(map(_question, json.loads(row["questions"])))
    ]
    used = [number for number, (question, _) in enumerate(asked) if _known(question, needs)]
    worth = tensors["worth"][used] if "worth" in tensors else None
    return Page(row["image_id"], picture(row["source"]), encoding, tuple(asked[number] for number in used), worth)


def _holds(file: Path, needs: Needs) -> bool:
    """Whether the page is stored, and with a question that brings what is needed."""
    if not file.exists():
        return False
    (row,) = pq.read_table(file, columns=["questions"]).to_pylist()
    return any(_known(_question(fields), needs) for fields in json.loads(row["questions"]))


def _question(fields: Mapping[str, Any]) -> Question:
    """A question from its JSON, which has lists for tuples."""
    lists = {name: tuple(map(tuple, fields[name])) for name in ("answer_boxes_uv", "answer_boxes_px")}
    answers = None if fields["answers"] is None else tuple(fields["answers"])
    return Question(**{**fields, **lists, "answers": answers, "choices": tuple(fields["choices"])})
