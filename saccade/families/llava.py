"""LLaVA: a CLIP tower, one token per patch, and a text model with 1-D positions (Liu et al. 2023, arXiv:2310.03744).

An image is a line of tokens here, N = rows x cols in raster order. A kept token stands at its own index in that line
and text after the image at start + N, as if all N were there.

The tower takes one square size (336 px in LLaVA-1.5). The checkpoint's processor scales the shorter side to it and
cuts the rest off; here the **whole** image is scaled to the square, so that nothing at the edges of a page is lost. A
page that is not square is squeezed; of a square one the pixels are exactly the processor's. A smaller view (`max_tok`)
has the page's aspect and the tower's interpolated positions.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor
from transformers import AutoConfig, LlavaForConditionalGeneration
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

from saccade.errors import ConfigError
from saccade.families import Family, Prepared, fingerprint, largest_grid, load_model
from saccade.families._prompt import around_image, open_tokenizer
from saccade.families._received import received
from saccade.geometry.grid import plain_grid
from saccade.picture import Picture, resized
from saccade.types import Canvas, Encoding

TEMPLATE = (  # LLaVA-1.5's, for checkpoints that bring none
    "{% for message in messages %}{{ message.role.upper() + ': ' }}{% for part in message.content %}"
    "{% if part.type == 'image' %}<image>\n{% else %}{{ part.text + ' ' }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


class Llava(Family):
    """A LLaVA checkpoint with a CLIP tower."""

    def __init__(self, model: Any, tokenizer: Any, processor: Any, fingerprint: str) -> None:
        self.model, self.tokenizer, self.processor = model, tokenizer, processor
        self.fingerprint = fingerprint
        vision = model.config.vision_config
        self.patch_px, self.side = int(vision.patch_size), int(vision.image_size) // int(vision.patch_size)
        self.image_token_id = int(model.config.image_token_index)

    @classmethod
    def open(cls, path: str, device: torch.device, dtype: torch.dtype, max_px: int | None) -> Self:
        config = AutoConfig.from_pretrained(path)
        vision = config.vision_config
        if vision.model_type != "clip_vision_model" or config.vision_feature_select_strategy != "default":
            raise ConfigError(
                f"this LLaVA has a {vision.model_type} tower and keeps its {config.vision_feature_select_strategy!r} "
                "tokens; supported are CLIP towers without their class token ('default')"
            )
        if max_px is not None and max_px < vision.image_size**2:
            raise ConfigError(f"max_px is {max_px}, but this model takes images of {vision.image_size}**2 px only")
        processor = LlavaImageProcessorPil.from_pretrained(path)
        model = load_model(LlavaForConditionalGeneration, path, dtype).to(device).eval()
        return cls(model, open_tokenizer(path, TEMPLATE), processor, f"{fingerprint(path)}-{dtype}")

    # Pixels

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        width_px, height_px = picture.size_px
        # Pixels that decoding must leave: four times the tower's on the shorter side, so that scaling does the rest.
        least_px = 16 * (self.side * self.patch_px) ** 2 * max(width_px, height_px) // min(width_px, height_px)
        picture = Picture.open(picture, limit_px=least_px)
        rows = cols = self.side
        if max_tok is not None and max_tok < rows * cols:
            rows, cols = largest_grid(height_px, width_px, max_tok)
        size = self.patch_px
        pixels = resized(picture.rgb, cols * size, rows * size)
        inputs = self.processor(
            images=[pixels], do_pad=False, do_resize=False, do_center_crop=False, return_tensors="pt"
        )
        patches = (
            inputs["pixel_values"][0].view(3, rows, size, cols, size).permute(1, 3, 0, 2, 4).reshape(rows * cols, -1)
        )
        # Squeezed or not, distances on the page are the page's: its own aspect, at the area that the tower saw.
        scale = math.sqrt(rows * cols * size**2 / (width_px * height_px))
        grid = plain_grid(rows, cols, max(1, round(width_px * scale)), max(1, round(height_px * scale)))
        view = "full" if max_tok is None else f"resize@{max_tok}"
        return Prepared(patches, (1, rows, cols), grid, picture.sha256, view)

    @torch.inference_mode()
    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        encodings: dict[int, Encoding] = {}
        for shape in {item.grid_thw for item in batch}:
            numbers = [number for number, item in enumerate(batch) if item.grid_thw == shape]
            encodings |= zip(numbers, self._encode([batch[number] for number in numbers]), strict=True)
        return [encodings[number] for number in range(len(batch))]

    def _encode(self, batch: Sequence[Prepared]) -> Iterator[Encoding]:
        """Pictures of one size, as one batch of the tower."""
        (_, rows, cols), size = batch[0].grid_thw, self.patch_px
        patches = torch.stack([item.patches for item in batch]).view(-1, rows, cols, 3, size, size)
        pixels = patches.permute(0, 3, 1, 4, 2, 5).reshape(-1, 3, rows * size, cols * size)
        layer = self.model.config.vision_feature_layer
        layers = [layer] if isinstance(layer, int) else list(layer)
        with self._listening(layers[-1]) as attention:
            out = self.model.model.get_image_features(
                pixels.to(self.model.device, self.model.dtype), interpolate_pos_encoding=True, return_dict=True
            )
        features = torch.cat([out.hidden_states[each][:, 1:] for each in layers], dim=-1)
        for item, tokens, feature, seen in zip(batch, out.pooler_output, features, attention[0], strict=True):
            yield Encoding(
                tokens,
                feature.unsqueeze(1),  # one patch per token
                seen,
                item.grid,
                item.picture_hash,
                f"{self.fingerprint}-{item.view}",
                item.patches.shape[0],
            )

    @contextmanager
    def _listening(self, layer: int) -> Iterator[list[Tensor]]:
        """Records, while the tower runs, the attention that patches receive in the last layer whose states are used.

        (B, patches) float32. The class token is one of the queries; what it receives itself is left out.
        """
        blocks = self.model.model.vision_tower.encoder.layers
        last = layer - 1 if layer > 0 else len(blocks) + layer  # hidden_states[0] is before the first layer
        per_batch: list[Tensor] = []

        def listen(attention: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            heads = (*hidden.shape[:2], attention.num_heads, -1)
            query, key = (
                project(hidden).view(heads).transpose(1, 2) for project in (attention.q_proj, attention.k_proj)
            )
            seen = [received(q, k, attention.scale)[1:] for q, k in zip(query, key, strict=True)]
            per_batch.append(torch.stack(seen))

        with blocks[last].self_attn.register_forward_pre_hook(listen, with_kwargs=True):
            yield per_batch

    # Prompt and positions

    def prompt(self, question: str) -> tuple[list[int], list[int]]:
        return around_image(self.tokenizer, question, self.image_token_id)

    def positions(self, canvas: Canvas, prefix_tok: int, suffix_tok: int) -> tuple[Tensor, list[Tensor], Tensor]:
        after = prefix_tok + canvas.rows * canvas.cols
        parts = [(prefix_tok + part.row * canvas.cols + part.col).unsqueeze(0) for part in canvas.parts]
        return torch.arange(prefix_tok).unsqueeze(0), parts, torch.arange(after, after + suffix_tok).unsqueeze(0)
