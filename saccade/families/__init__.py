"""Model families. One file per family, named as the checkpoint's `model_type`; it holds all that differs.

What a family file promises (`Family`): how pixels become patches and patches become an `Encoding`, how a question
becomes a prompt around the image, and at which rotary position every token of a canvas stands. Reading (caches,
decoding, confidence) is the engines' business and the same for all.

The identity law holds for each: a canvas that keeps all N tokens gives the logits of the untouched model.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from saccade.card import CARD_FILE
from saccade.errors import ConfigError, describe
from saccade.families import _torchvision
from saccade.picture import Picture
from saccade.reduction import Reduction
from saccade.types import Canvas, Encoding, Grid

ANY_DEPTH = 1000  # blocks; no tower has more

_torchvision.install()  # before any family imports transformers; `import saccade` does not come here


@dataclass(frozen=True, slots=True)
class Prepared:
    """One picture as the vision tower takes it."""

    patches: Tensor  # (patches, channels * patch * patch) float32, in the family's patch order
    grid_thw: tuple[int, int, int]  # patches in time, height, width, of the whole picture
    grid: Grid
    picture_hash: str
    view: str
    cells: Tensor | None = None  # (K,) int64 of the whole grid, in raster order: those that are encoded; None: all
    received: bool = True  # whether the attention that each token receives is wanted
    sides: Tensor | None = None  # (K,) int64: `cells` are the top left ones of blocks of so many by so many; None: 1

    @property
    def whole_patches(self) -> int:
        """Patches of the whole picture, even where only a part of it is encoded."""
        return len(self.patches) if self.cells is None else math.prod(self.grid_thw)

    @property
    def key(self) -> str:
        """Equal for two views of one picture that encode to the same."""
        return self.view if self.received else f"{self.view}|unheard"

    def some(self, cells: Tensor, name: str) -> "Prepared":
        """The cells (K,) int64, increasing, of a whole picture: only they are encoded (`Family.takes_cells`).

        `name` is appended to the view's name, with a hash of the cells.
        """
        per_cell = len(self.patches) // len(self.grid)
        seal = hashlib.sha256(cells.numpy().tobytes()).hexdigest()[:16]
        return replace(
            self,
            patches=self.patches.view(len(self.grid), per_cell, -1)[cells].flatten(0, 1),
            grid=self.grid.some(cells),
            view=f"{self.view}|{name}-{seal}",
            cells=cells,
        )


class Family(ABC):
    """A loaded checkpoint of one model family. A resource: opened in the worker that uses it, never pickled."""

    model: Any  # the transformers model
    tokenizer: Any  # the transformers tokenizer
    fingerprint: str
    gaze: str | None = None  # folder of the head of `late` that the checkpoint brings
    print_px: float = 0.0  # x-height at which it reads print best (`saccade.card`); 0: not known
    question_parts: str = "together"  # how it reads a question for several things (`saccade.card`)
    takes_reduction: ClassVar[bool] = False  # inside its vision tower
    takes_cells: ClassVar[bool] = False  # its vision tower encodes any cells of a picture
    limit_px: int | None = None  # pixels that decoding leaves it, at least; None: all there are
    reduction: Reduction | None = None  # inside the tower; the engine calls what it does afterwards

    @classmethod
    @abstractmethod
    def open(cls, path: str, device: torch.device, dtype: torch.dtype, max_px: int | None) -> "Family":
        """Loads model, tokenizer and processor settings from a checkpoint folder or hub name."""

    @abstractmethod
    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        """Decodes and cuts a picture; with `max_tok`, at the largest aspect-true size of at most that many tokens.

        Raises:
            PictureError: unreadable, or a shape the family cannot take.
        """

    def whole_patches(self, picture: Picture) -> int:
        """Patches of one full pass over a picture. Raises as `prepare`."""
        return self.prepare(picture).whole_patches

    def whole_grid(self, picture: Picture) -> Grid:
        """Where the tokens of a whole picture stand. Raises as `prepare`."""
        return self.prepare(picture).grid

    def mixed(self, picture: Picture, prepared: Prepared, plain: float) -> Prepared:
        """A whole picture whose plain regions are patches of twice and four times the side, in one pass with the rest.

        Raises:
            ConfigError: this family's tower takes patches of one size only.
        """
        raise ConfigError(f"the vision tower of {type(self).__name__} takes patches of one size only: --encoder full")

    @abstractmethod
    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        """One pass of the vision tower over a batch of pictures of any sizes."""

    def run_tower(self, prepared: Prepared) -> None:
        """Runs transformers' own vision tower on one whole picture: for callers that hook into its blocks."""
        self.encode([prepared])

    @abstractmethod
    def prompt(self, question: str) -> tuple[list[int], list[int]]:
        """Token ids before the first visual token and after the last one."""

    @abstractmethod
    def positions(self, canvas: Canvas, prefix_tok: int, suffix_tok: int) -> tuple[Tensor, list[Tensor], Tensor]:
        """Rotary positions (P, tokens) of the prefix, of each part of the canvas, and of the suffix.

        P is 3 with M-RoPE (time, row, column) and 1 where an image is a line of tokens. A token stands where it would
        if the canvas were full, and so does the suffix, whatever was left out.
        """

    def windows(self, prepared: Prepared) -> Any:
        """A picture to be encoded window by window (`saccade.families._lazy.Windows`).

        Raises:
            ConfigError: this family's tower has no windows, or a reduction works inside it.
        """
        raise ConfigError(
            f"--encoder lazy encodes window by window, and the tower of {type(self).__name__} has no windows: every "
            "block of it needs the whole page. Qwen2.5-VL (nano) has"
        )

    def reduce(self, reduction: Reduction) -> None:
        """Encodes with this reduction from here on, under another fingerprint.

        Raises:
            ConfigError: it works inside the tower, and this family's tower takes none.
        """
        if not self.takes_reduction and reduction.active(ANY_DEPTH):
            raise ConfigError(
                f"the reduction {reduction.name()!r} works inside the vision tower, and {type(self).__name__}'s takes "
                "none; those of Qwen2-VL, Qwen2.5-VL (nano) and Qwen3-VL do"
            )
        self.reduction = reduction
        self.fingerprint += "-" + hashlib.sha256(repr(reduction.spec()).encode()).hexdigest()[:8]

    def embed(self, token_ids: Tensor) -> Tensor:
        """(T,) int64 -> (T, D) input embeddings of the language model."""
        return self.model.get_input_embeddings()(token_ids)  # type: ignore[no-any-return]

    @property
    def language_model(self) -> Any:
        """The decoder, a transformers module."""
        return self.model.model.language_model

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., D) last hidden states -> (..., vocabulary)."""
        return self.model.lm_head(hidden)  # type: ignore[no-any-return]


def largest_grid(rows: float, cols: float, max_tok: int) -> tuple[int, int]:
    """The largest grid of at most `max_tok` cells with the aspect of rows : cols, and at least one row and one column.

    A grid counts as true when it is off the aspect by at most one cell on its shorter side, which is what rounding
    both sides down costs (Qwen's smart_resize). Of the true ones it takes that with the most cells, then the closest;
    if none is true, the closest.
    """
    heights = np.repeat(np.arange(1, max_tok + 1), [max_tok // h for h in range(1, max_tok + 1)])
    widths = np.concatenate([np.arange(1, max_tok // h + 1) for h in range(1, max_tok + 1)])
    error = np.abs(np.log(widths / heights) - np.log(cols / rows))
    true = error <= np.log1p(1 / np.minimum(heights, widths)) + 1e-9
    best = np.lexsort((error, -np.where(true, heights * widths, 0)))[0]
    return int(heights[best]), int(widths[best])


def load_model(model_class: Any, path: str, dtype: torch.dtype) -> Any:
    """A model of transformers with all its weights: what a checkpoint lacks would be filled with random numbers.

    Raises:
        ConfigError: weights are missing, or do not fit the configuration.
    """
    try:
        model, loading = model_class.from_pretrained(
            path, dtype=dtype, output_loading_info=True, use_safetensors=True
        )  # never a pickle, which is a program, and of which `fingerprint` knows nothing
    except Exception as error:  # parsers, sizes that do not fit: of no common type
        raise ConfigError(f"the checkpoint {path!r} does not load: {describe(error)[:500]}") from error
    if missing := sorted(loading["missing_keys"]):
        raise ConfigError(
            f"the checkpoint {path!r} lacks weights that its config.json wants: {', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''} ({len(missing)}): download the checkpoint again"
        )
    return model


def own_gaze(path: str) -> str | None:
    """The folder `gaze` of a checkpoint that is a folder itself, if it has one: a trained head of the scorer `late`."""
    folder = Path(path) / "gaze"
    return str(folder) if folder.is_dir() else None


def checkpoint_file(path: str, name: str) -> Path | None:
    """A file of a checkpoint, here or on the hub; None if it has none of that name."""
    from transformers.utils import cached_file

    path_here = cached_file(path, name, _raise_exceptions_for_missing_entries=False)
    return Path(path_here) if path_here is not None else None


def fingerprint(path: str) -> str:
    """Identity of a checkpoint: its configuration, its weights, and what was measured about it.

    Weight files over 64 MiB enter with their size, first and last MiB: hashing 16 GB at every start would cost minutes.
    """
    digest = hashlib.sha256()
    for name in ("config.json", CARD_FILE):
        stored = checkpoint_file(path, name)
        digest.update(stored.read_bytes() if stored is not None else b"none")
    for file in weight_files(path):
        size = file.stat().st_size
        digest.update(f"{file.name}:{size}".encode())
        with file.open("rb") as stream:
            if size <= 64 * 2**20:
                digest.update(stream.read())
            else:
                digest.update(stream.read(2**20))
                stream.seek(-(2**20), 2)
                digest.update(stream.read())
    return digest.hexdigest()[:16]


def weight_files(path: str) -> list[Path]:
    """The safetensors files of a checkpoint and of its trained gaze, here or as the hub's cache has them."""
    config = checkpoint_file(path, "config.json")
    assert config is not None  # the model was opened
    return sorted([*config.parent.glob("*.safetensors"), *config.parent.glob("gaze/*.safetensors")])
