"""A family whose pages a foreign ViT encodes: transformers' ViTModel and a trained projection to the family's tokens.

Every cell of the family's grid becomes as many patches of the ViT as fit its size best, and the projection makes one
token of their features. Prompt, positions and language model stay the family's. `saccade train projection` trains the
projection.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from saccade.errors import ConfigError, describe
from saccade.families import Family, Prepared, fingerprint
from saccade.families._hub import reach
from saccade.heads.files import load_cached
from saccade.heads.projection import Projection
from saccade.picture import Picture, resized
from saccade.types import Canvas, Encoding, Grid

EVEN = 0.5, 0.5  # mean and deviation of pixels where the checkpoint says none: ViT's own


class Foreign(Family):
    """Another family with a ViT in the place of its vision tower."""

    def __init__(self, own: Family, vit: Any, pixels: tuple[Tensor, Tensor], name: str) -> None:
        self.own, self.vit, self.mean_std = own, vit, pixels
        self.model, self.tokenizer, self.limit_px = own.model, own.tokenizer, own.limit_px
        self.fingerprint = f"{own.fingerprint}+{name}"
        self.patch_px = int(vit.config.patch_size)
        self.projection: Projection | None = None

    @classmethod
    def open(cls, path: str, device: torch.device, dtype: torch.dtype, max_px: int | None) -> "Family":
        """Not used: `over` makes one."""
        raise NotImplementedError

    @classmethod
    def trained(cls, own: Family, path: str, projection: str, device: torch.device) -> "Foreign":
        """With the projection of a folder. Raises as `over`."""
        foreign = cls.over(own, path, load_cached(Projection, projection, device), device)
        # Not its gaze, which was trained on the own tower's features.
        foreign.print_px, foreign.question_parts = own.print_px, own.question_parts
        return foreign

    @classmethod
    def over(cls, own: Family, path: str, projection: Projection | None, device: torch.device) -> "Foreign":
        """The family `own` with the ViT of a checkpoint folder or hub name.

        Raises:
            ConfigError: there is no ViT at that name, or the projection is of another one.
        """
        from transformers import AutoImageProcessor, ViTModel

        reach(path)
        try:
            vit = ViTModel.from_pretrained(
                path, add_pooling_layer=False, attn_implementation="eager", use_safetensors=True
            )
        except Exception as error:  # parsers, sizes that do not fit: of no common type
            raise ConfigError(f"engine.vit={path!r} does not load as a ViT: {describe(error)[:500]}") from error
        try:
            processor = AutoImageProcessor.from_pretrained(path)
            values = torch.tensor(processor.image_mean), torch.tensor(processor.image_std)
        except (OSError, ValueError):
            values = torch.full((3,), EVEN[0]), torch.full((3,), EVEN[1])
        foreign = cls(own, vit.to(device).eval().requires_grad_(False), values, fingerprint(path))
        return foreign if projection is None else foreign.through(projection)

    def through(self, projection: Projection) -> "Foreign":
        """With a projection: tokens are made by it. Raises ConfigError: it is of another ViT or language model."""
        wanted = self.num_features, int(self.embed(torch.zeros(1, dtype=torch.int64, device=self.device)).shape[-1])
        if (projection.features, projection.width) != wanted:
            raise ConfigError(
                f"the projection takes {projection.features} features to {projection.width} numbers; this ViT and "
                f"language model need {wanted[0]} and {wanted[1]}: saccade train projection makes one"
            )
        digest = hashlib.sha256()
        for values in projection.state_dict().values():
            digest.update(values.detach().cpu().numpy().tobytes())
        self.fingerprint += f"-{digest.hexdigest()[:8]}"
        self.projection = projection.to(self.vit.device)
        return self

    @property
    def device(self) -> torch.device:
        """Where the family's embeddings are."""
        return self.model.get_input_embeddings().weight.device  # type: ignore[no-any-return]

    @property
    def side(self) -> int:
        """Patches of the ViT along each side of a cell."""
        return max(1, round(self._cell_px() / self.patch_px))

    @property
    def num_features(self) -> int:
        """Numbers that the ViT gives for one cell."""
        return self.side**2 * int(self.vit.config.hidden_size)

    def _cell_px(self) -> float:
        grid = self.own.whole_grid(Picture.open(np.zeros((448, 448, 3), np.uint8)))
        return grid.width_px / grid.cols

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        prepared, side, size = self.own.prepare(picture, max_tok), self.side, self.patch_px
        rows, cols = prepared.grid.rows, prepared.grid.cols
        pixels = Picture.open(picture, limit_px=self.limit_px).rgb
        pixels = resized(pixels, cols * side * size, rows * side * size)
        mean, std = self.mean_std
        values = (torch.from_numpy(pixels / np.float32(255)) - mean) / std  # (H, W, 3)
        patches = values.view(rows, side * size, cols, side * size, 3).permute(0, 2, 4, 1, 3)
        patches = patches.reshape(rows * cols, -1)  # a cell's pixels, one after the other
        thw = (1, rows * side, cols * side)
        return Prepared(
            patches.view(rows * cols * side**2, -1), thw, prepared.grid, prepared.picture_hash, prepared.view
        )

    def whole_patches(self, picture: Picture) -> int:
        return len(self.own.whole_grid(picture)) * self.side**2

    def whole_grid(self, picture: Picture) -> Grid:
        return self.own.whole_grid(picture)

    @torch.inference_mode()
    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        return [self._encoded(item) for item in batch]

    def _encoded(self, item: Prepared) -> Encoding:
        assert self.projection is not None, "a ViT without a projection has no tokens; training asks for `seen`"
        features, received = self.seen(item)
        tokens = self.projection(features.flatten(1)).to(self.model.dtype)
        return Encoding(
            tokens,
            features,
            received,
            item.grid,
            item.picture_hash,
            f"{self.fingerprint}-{item.key}",
            len(item.patches),
        )

    @torch.inference_mode()
    def seen(self, item: Prepared) -> tuple[Tensor, Tensor]:
        """What the ViT makes of each cell: states of its patches (N, M, F), and the attention they receive (N,)."""
        rows, cols, side, size = item.grid.rows, item.grid.cols, self.side, self.patch_px
        pixels = item.patches.view(rows, cols, 3, side * size, side * size).permute(2, 0, 3, 1, 4)
        pixels = pixels.reshape(1, 3, rows * side * size, cols * side * size).to(self.vit.device)
        out = self.vit(pixels, interpolate_pos_encoding=True, output_attentions=item.received)
        states = out.last_hidden_state[0, 1:]  # without the class token
        per_cell = (rows, side, cols, side)
        features = states.view(*per_cell, -1).permute(0, 2, 1, 3, 4).reshape(rows * cols, side**2, -1)
        if not item.received:
            return features, features.new_full((rows * cols,), float("nan"))
        received = out.attentions[-1][0].mean((0, 1))[1:].view(per_cell).sum((1, 3)).flatten()
        return features, received.float()

    def prompt(self, question: str) -> tuple[list[int], list[int]]:
        return self.own.prompt(question)

    def positions(self, canvas: Canvas, prefix_tok: int, suffix_tok: int) -> tuple[Tensor, list[Tensor], Tensor]:
        return self.own.positions(canvas, prefix_tok, suffix_tok)

    @property
    def language_model(self) -> Any:
        return self.own.language_model

    def logits(self, hidden: Tensor) -> Tensor:
        return self.own.logits(hidden)
