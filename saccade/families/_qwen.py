"""What the Qwen-VL families share: pixels, prompt, M-RoPE positions, and towers that merge blocks of patches.

transformers' AutoProcessor for these families needs torchvision; their Pillow image processor and the tokenizer do
not, and give the same pixels.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

from saccade.errors import ConfigError, PictureError
from saccade.families import Family, Prepared, fingerprint, largest_grid
from saccade.families._prompt import around_image, open_tokenizer
from saccade.families._qwen_tower import QwenBlocks, encode, start
from saccade.families._received import received
from saccade.families._walk import Tokens
from saccade.geometry.grid import plain_grid
from saccade.geometry.rotary import rotate
from saccade.picture import Picture, resized
from saccade.types import Canvas, Encoding


class QwenVL(Family):
    """A Qwen-VL checkpoint; a family's file says what is its own."""

    model_class: ClassVar[Any]  # of transformers
    takes_reduction = True

    def __init__(self, model: Any, tokenizer: Any, processor: Any, fingerprint: str) -> None:
        self.model, self.tokenizer, self.processor = model, tokenizer, processor
        self.fingerprint = fingerprint
        vision = model.config.vision_config
        self.merge = int(vision.spatial_merge_size)
        self.cell_px = int(vision.patch_size) * self.merge  # side of the square one token covers
        self.image_token_id = int(model.config.image_token_id)

    @classmethod
    def open(cls, path: str, device: torch.device, dtype: torch.dtype, max_px: int | None) -> Self:
        processor = Qwen2VLImageProcessorPil.from_pretrained(path)
        model = cls.model_class.from_pretrained(path, dtype=dtype).to(device).eval()
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
        picture = Picture.open(picture, limit_px=int(self.processor.size["longest_edge"]))
        width_px, height_px = picture.size_px
        try:
            fit_h, fit_w = smart_resize(
                height_px,
                width_px,
                factor=self.cell_px,
                min_pixels=int(self.processor.size["shortest_edge"]),
                max_pixels=int(self.processor.size["longest_edge"]),
            )
        except ValueError as error:
            raise PictureError(f"the image is {width_px} x {height_px} px: {error}. Crop it") from error
        rows, cols = fit_h // self.cell_px, fit_w // self.cell_px
        if max_tok is not None and max_tok < rows * cols:
            rows, cols = largest_grid(height_px, width_px, max_tok)
        pixels = resized(picture.rgb, cols * self.cell_px, rows * self.cell_px)
        made = self.processor(images=[pixels], do_resize=False, return_tensors="pt")
        thw = tuple(int(n) for n in made["image_grid_thw"][0])
        grid = plain_grid(rows, cols, cols * self.cell_px, rows * self.cell_px)
        view = "full" if max_tok is None else f"resize@{max_tok}"
        return Prepared(made["pixel_values"], thw, grid, picture.sha256, view)  # type: ignore[arg-type]

    @torch.inference_mode()
    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        if self.reduction is not None and self.reduction.active(len(self.model.model.visual.blocks)):
            groups = [[item] for item in batch] if self.reduction.stopping else [batch]
            return [encoding for group in groups for encoding in self._encode_reduced(group)]
        tower, merged = self.model.model.visual, self.merge**2
        patches, grid_thw = self._packed(batch)
        with self._listening() as attention:
            out = tower(patches, grid_thw)
        raster = self._raster(grid_thw)
        features = out.last_hidden_state.view(-1, merged, out.last_hidden_state.shape[-1])[raster]
        summed = attention[0].view(-1, merged).sum(-1)[raster]
        counts = [len(p.grid) for p in batch]
        columns = [torch.split(column, counts) for column in (out.pooler_output, features, summed)]
        levels = getattr(out, "deepstack_features", None)
        deepstack = torch.split(torch.stack(levels, 1), counts) if levels else [None] * len(batch)
        return [
            Encoding(
                tokens,
                feature,
                seen,
                item.grid,
                item.picture_hash,
                f"{self.fingerprint}-{item.view}",
                item.patches.shape[0],
                levels_of,
            )
            for item, tokens, feature, seen, levels_of in zip(batch, *columns, deepstack, strict=True)
        ]

    def _packed(self, batch: Sequence[Prepared]) -> tuple[Tensor, Tensor]:
        """Patches of all pictures, and (pictures, 3) patches in time, height and width."""
        tower = self.model.model.visual
        patches = torch.cat([p.patches for p in batch]).to(tower.device, tower.dtype)
        return patches, torch.tensor([p.grid_thw for p in batch], device=tower.device)

    def _encode_reduced(self, batch: Sequence[Prepared]) -> list[Encoding]:
        assert self.reduction is not None
        blocks, tokens, order = self.entering(batch)
        return encode(blocks, batch, tokens, order, self.reduction, self.fingerprint)

    def entering(self, batch: Sequence[Prepared]) -> tuple[QwenBlocks, Tokens, Tensor]:
        """The tower's blocks, the tokens that enter the first one, and where each of them comes from, (tokens,)."""
        patches, grid_thw = self._packed(batch)
        order, window = self._windows(grid_thw)
        tokens = start(self._embedded(patches, grid_thw), grid_thw, self.merge, order, window)
        return QwenBlocks(self.model.model.visual, self._full()), tokens, order

    def _embedded(self, patches: Tensor, grid_thw: Tensor) -> Tensor:
        """(patches, F) as the first block takes them, still in the processor's order."""
        return self.model.model.visual.patch_embed(patches)  # type: ignore[no-any-return]

    def _full(self) -> list[int]:
        """The blocks of the tower in which every patch attends to every patch."""
        return list(range(len(self.model.model.visual.blocks)))

    def _last_full(self) -> Any:
        """The last of these; the last block where a tower has none."""
        return self.model.model.visual.blocks[max(self._full(), default=-1)]

    def _windows(self, grid_thw: Tensor) -> tuple[Tensor, Tensor]:
        """The tower's order: which token comes at each place, and its window. Here raster, a picture one window."""
        counts, device = grid_thw.prod(-1) // self.merge**2, grid_thw.device
        picture = torch.arange(len(counts), device=device).repeat_interleave(counts)
        return torch.arange(len(picture), device=device), picture

    def _raster(self, grid_thw: Tensor) -> Tensor | slice:
        """Index that brings tokens from the tower's order into raster order."""
        return slice(None)

    @contextmanager
    def _listening(self) -> Iterator[list[Tensor]]:
        """While the tower runs: the attention that patches received in its last full block, (patches,) float32."""
        heard: list[Tensor] = []

        def listen(attention: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            cos, sin = (turn.unsqueeze(1).chunk(2, dim=-1)[0].float() for turn in kwargs["position_embeddings"])
            qkv = attention.qkv(hidden).reshape(len(hidden), 3, attention.num_heads, -1)  # both halves turn alike
            query, key = (rotate(heads, cos, sin).transpose(0, 1) for heads in qkv.unbind(1)[:2])
            bounds = kwargs["cu_seqlens"].diff().tolist()
            images = zip(torch.split(query, bounds, dim=1), torch.split(key, bounds, dim=1), strict=True)
            heard.append(torch.cat([received(q, k, attention.scaling) for q, k in images]))

        with self._last_full().attn.register_forward_pre_hook(listen, with_kwargs=True):
            yield heard

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
