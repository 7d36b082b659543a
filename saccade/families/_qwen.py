"""What the Qwen-VL families share: pixels, prompt, M-RoPE positions, and towers that merge blocks of patches.

transformers' AutoProcessor for these families needs torchvision; their Pillow image processor and the tokenizer do
not, and give the same pixels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

from saccade.errors import ConfigError, PictureError
from saccade.families import Family, Prepared, fingerprint, largest_grid, load_model
from saccade.families._prompt import around_image, open_tokenizer
from saccade.families._qwen_tower import QwenBlocks, encode, start
from saccade.families._walk import Tokens
from saccade.geometry.grid import plain_grid
from saccade.geometry.quadtree import block_grid, plain_blocks
from saccade.picture import Picture, resized
from saccade.types import Canvas, Encoding, Grid


class QwenVL(Family):
    """A Qwen-VL checkpoint; each family's file adds what differs."""

    model_class: ClassVar[Any]  # of transformers
    takes_reduction = True
    takes_cells = True

    def __init__(self, model: Any, tokenizer: Any, processor: Any, fingerprint: str) -> None:
        self.model, self.tokenizer, self.processor = model, tokenizer, processor
        self.fingerprint = fingerprint
        vision = model.config.vision_config
        self.merge = int(vision.spatial_merge_size)
        self.cell_px = int(vision.patch_size) * self.merge  # side of the square one token covers
        self.image_token_id = int(model.config.image_token_id)
        self.limit_px = None if processor is None else int(processor.size["longest_edge"])

    @classmethod
    def open(cls, path: str, device: torch.device, dtype: torch.dtype, max_px: int | None) -> Self:
        processor = Qwen2VLImageProcessorPil.from_pretrained(path)
        model = load_model(cls.model_class, path, dtype).to(device).eval()
        if max_px is not None:
            cell_px = int(model.config.vision_config.patch_size) * int(model.config.vision_config.spatial_merge_size)
            if max_px < cell_px**2:
                raise ConfigError(f"max_px is {max_px}, but one token of this model covers {cell_px} x {cell_px} px")
            # As min_pixels and max_pixels: where a checkpoint's file has these (Qwen's own do), `size` has no effect.
            least = min(int(processor.size["shortest_edge"]), max_px)
            processor = type(processor).from_pretrained(path, min_pixels=least, max_pixels=max_px)
        return cls(model, open_tokenizer(path), processor, f"{fingerprint(path)}-{dtype}-{dict(processor.size)}")

    # Pixels

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        picture = Picture.open(picture, limit_px=self.limit_px)
        rows, cols = self._whole(picture)
        if max_tok is not None and max_tok < rows * cols:
            rows, cols = largest_grid(picture.height_px, picture.width_px, max_tok)
        pixels = resized(picture.rgb, cols * self.cell_px, rows * self.cell_px)
        inputs = self.processor(images=[pixels], do_resize=False, return_tensors="pt")
        thw = tuple(int(n) for n in inputs["image_grid_thw"][0])
        grid = plain_grid(rows, cols, cols * self.cell_px, rows * self.cell_px)
        view = "full" if max_tok is None else f"resize@{max_tok}"
        return Prepared(inputs["pixel_values"], thw, grid, picture.sha256, view)  # type: ignore[arg-type]

    def mixed(self, picture: Picture, prepared: Prepared, plain: float) -> Prepared:
        grid = prepared.grid
        pixels = resized(Picture.open(picture, limit_px=self.limit_px).rgb, grid.width_px, grid.height_px)
        page = torch.from_numpy(pixels.copy()).permute(2, 0, 1).float()
        first, sides = plain_blocks(page / 255, grid.rows, grid.cols, plain)
        patches = prepared.patches.view(len(grid), self.merge**2, -1)[first]
        for side in (2, 4):  # the same page so many times smaller: a block is then one cell of it
            rows, cols = -(-grid.rows // side), -(-grid.cols // side)
            edges = (0, (cols * side - grid.cols) * self.cell_px, 0, (rows * side - grid.rows) * self.cell_px)
            small = avg_pool2d(pad(page[None], edges, mode="replicate"), side)[0].round().byte()
            inputs = self.processor(images=[small.permute(1, 2, 0).numpy()], do_resize=False, return_tensors="pt")
            of = sides == side
            at = (first[of] // grid.cols // side) * cols + first[of] % grid.cols // side
            patches[of] = inputs["pixel_values"].view(rows * cols, self.merge**2, -1)[at].to(patches)
        seal = hashlib.sha256(torch.stack([first, sides]).numpy().tobytes()).hexdigest()[:16]
        return replace(
            prepared,
            patches=patches.flatten(0, 1),
            grid=block_grid(grid, first, sides),
            view=f"{prepared.view}|mixed-{seal}",
            cells=first,
            sides=sides,
        )

    def whole_patches(self, picture: Picture) -> int:
        rows, cols = self._whole(picture)
        return rows * cols * self.merge**2

    def whole_grid(self, picture: Picture) -> Grid:
        rows, cols = self._whole(picture)
        return plain_grid(rows, cols, cols * self.cell_px, rows * self.cell_px)

    def _whole(self, picture: Picture) -> tuple[int, int]:
        """Rows and columns of all its tokens. Raises PictureError: a shape that Qwen's processor does not take."""
        width_px, height_px = picture.size_px
        try:
            height, width = smart_resize(
                height_px,
                width_px,
                factor=self.cell_px,
                min_pixels=int(self.processor.size["shortest_edge"]),
                max_pixels=int(self.processor.size["longest_edge"]),
            )
        except ValueError as error:
            raise PictureError(f"the image is {width_px} x {height_px} px: {error}. Crop it") from error
        return height // self.cell_px, width // self.cell_px

    @torch.inference_mode()
    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        reduction = self.reduction
        active = reduction is not None and reduction.active(len(self.model.model.visual.blocks))
        if reduction is not None and (active or reduction.regroups) and any(item.cells is not None for item in batch):
            raise ConfigError(
                f"--encoder ink or mixed and the reduction {reduction.name()!r} do not go together: merging needs the "
                "whole page. Leave one of them out"
            )
        reduction = reduction if active else None
        alone = reduction is not None and reduction.stopping
        encodings = []
        for group in [[item] for item in batch] if alone else [batch]:
            blocks, tokens, order = self.entering(group)
            encodings += encode(blocks, group, tokens, order, reduction, self.fingerprint)
        return encodings

    @torch.inference_mode()
    def run_tower(self, prepared: Prepared) -> None:
        tower = self.model.model.visual
        grid_thw = torch.tensor([prepared.grid_thw], device=tower.device)
        tower(prepared.patches.to(tower.device, tower.dtype), grid_thw)

    def entering(self, batch: Sequence[Prepared]) -> tuple[QwenBlocks, Tokens, Tensor]:
        """The tower's blocks, the tokens that enter the first one, and where each of them comes from, (tokens,)."""
        tower = self.model.model.visual
        patches = torch.cat([p.patches for p in batch]).to(tower.device, tower.dtype)
        grid_thw = torch.tensor([p.grid_thw for p in batch], device=tower.device)
        whole_order, whole_window = self._windows(grid_thw)
        window = torch.empty_like(whole_window)
        window[whole_order] = whole_window  # (all cells,) of each in raster order
        counts = (grid_thw.prod(-1) // self.merge**2).tolist()
        firsts = torch.tensor([0, *counts]).cumsum(0).tolist()
        cells = [
            torch.arange(count) if item.cells is None else item.cells for count, item in zip(counts, batch, strict=True)
        ]
        kept = torch.cat([some + first for some, first in zip(cells, firsts, strict=False)]).to(tower.device)
        image = torch.arange(len(batch)).repeat_interleave(torch.tensor([len(some) for some in cells]))
        states = self._embedded(patches, grid_thw, kept)
        sides = torch.cat([torch.ones(len(p.grid)) if p.sides is None else p.sides.float() for p in batch])
        tokens, order = start(
            states, grid_thw, self.merge, kept, window[kept], image.to(tower.device), sides.to(tower.device)
        )
        return QwenBlocks(tower, self._full()), tokens, order

    def _embedded(self, patches: Tensor, grid_thw: Tensor, cells: Tensor) -> Tensor:
        """(patches, F) of `cells` (K,) of whole grids as the first block takes them, still in the processor's order."""
        return self.model.model.visual.patch_embed(patches)  # type: ignore[no-any-return]

    def _full(self) -> list[int]:
        """The blocks of the tower in which every patch attends to every patch."""
        return list(range(len(self.model.model.visual.blocks)))

    def _windows(self, grid_thw: Tensor) -> tuple[Tensor, Tensor]:
        """The tower's order: which token comes at each place, and its window. Here raster order, one per picture."""
        counts, device = grid_thw.prod(-1) // self.merge**2, grid_thw.device
        picture = torch.arange(len(counts), device=device).repeat_interleave(counts)
        return torch.arange(len(picture), device=device), picture

    # Prompt and positions

    def prompt(self, question: str) -> tuple[list[int], list[int]]:
        return around_image(self.tokenizer, question, self.image_token_id)

    def positions(self, canvas: Canvas, prefix_tok: int, suffix_tok: int) -> tuple[Tensor, list[Tensor], Tensor]:
        start, after = prefix_tok, prefix_tok + max(canvas.rows, canvas.cols)
        parts = [
            torch.stack([torch.full_like(part.row, start), start + part.row, start + part.col]) for part in canvas.parts
        ]
        return (
            torch.arange(prefix_tok).expand(3, -1),
            parts,
            torch.arange(after, after + suffix_tok).expand(3, -1),
        )
