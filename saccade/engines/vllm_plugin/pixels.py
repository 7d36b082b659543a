"""Foveation of ordinary images inside vLLM: the request's wishes are checked, the placeholder is sized, and where the
picture itself decides, the tokens are chosen, all before the request is scheduled.

Each class is a mixin before the family's own. A selected image is its family's own input with one field more, INDEX:
the tokens kept, or -1 for each of them where the vision tower decides (`after_tower`), which then needs PLAN and BASE
too. With SPARSE its pixels are those of the kept tokens alone: the tower encodes nothing else (`before_tower`).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import ImageProcessorItems
from vllm.multimodal.processing import InputProcessingContext, PromptReplacement, PromptUpdate

from saccade.engines.vllm_plugin.before_tower import patches
from saccade.engines.vllm_plugin.foveation import KEY, Foveation, choose, pack, scene_of, weigh
from saccade.errors import ConfigError
from saccade.geometry.grid import plain_grid
from saccade.geometry.print_size import legible_scale, print_height_px
from saccade.picture import Picture, resized

INDEX = "saccade_index"  # (K,) int64 per image
PLAN = "saccade_plan"  # (bytes,) uint8 per image, empty where INDEX says it all
BASE = "saccade_base"  # (N,) float32 per image: the part of the importance that the picture gives
SPARSE = "saccade_sparse"  # (1,) uint8 per image
OURS = (INDEX, PLAN, BASE, SPARSE)


class Context(InputProcessingContext):  # type: ignore[misc]
    """Keeps our key away from the checkpoint's processor, whether it came with the request or with the server."""

    def get_merged_mm_kwargs(self, kwargs: Mapping[str, object], **more: Any) -> dict[str, Any]:
        """As vLLM's, without our key."""
        merged: dict[str, Any] = super().get_merged_mm_kwargs(kwargs, **more)
        return {key: value for key, value in merged.items() if key != KEY}


class PixelInfo:
    """A mixin before a family's ProcessingInfo. Raises ConfigError: the server's own foveation is impossible."""

    def __init__(self, ctx: Any) -> None:
        super().__init__(Context(**{field.name: getattr(ctx, field.name) for field in dataclasses.fields(ctx)}))  # type: ignore[call-arg]
        try:
            self.foveation({})  # what a server is started with is refused before it starts
        except ValueError as error:
            # vLLM takes a ValueError here for a model that knows no images, and would serve text alone.
            raise ConfigError(f"for all requests: {error}") from error

    def foveation(self, kwargs: Mapping[str, object]) -> Foveation | None:
        """What a request asks for, on top of what the server was started with; None: all tokens.

        Raises:
            ValueError: it is impossible; the message says why.
        """
        config = self.ctx.get_mm_config()  # type: ignore[attr-defined]
        request = config.merge_mm_processor_kwargs(kwargs).get(KEY)
        if request is None:
            return None
        foveation = Foveation.parse(request)
        if config.is_multimodal_pruning_enabled():
            raise ValueError("vLLM's own pruning of videos rewrites positions: start it without video_pruning_rate")
        if foveation.sparse and config.mm_encoder_tp_mode == "data":
            raise ValueError("with mm_encoder_tp_mode 'data' vLLM's tower encodes whole images: use 'tokens' alone")
        if foveation.in_worker and config.mm_encoder_tp_mode == "data":
            names = f"{foveation.scorer!r} and {foveation.sampler!r}"
            raise ValueError(f"with mm_encoder_tp_mode 'data' only what reads pixels (edges) can choose, not {names}")
        return foveation


class PixelProcessor:
    """A mixin before a family's MultiModalProcessor."""

    info: Any

    def apply(self, inputs: Any, timing_ctx: Any) -> Any:
        """The processed prompt. Raises ValueError: the foveation is impossible, or there are no images for it."""
        self.info.foveation(inputs.hf_processor_mm_kwargs)
        return super().apply(inputs, timing_ctx)  # type: ignore[misc]

    def _apply_hf_processor_main(self, mm_items: Any, hf_kwargs: Mapping[str, object]) -> Any:
        mm_items = self._shrunk(mm_items, self.info.foveation(hf_kwargs))
        inputs = super()._apply_hf_processor_main(mm_items=mm_items, hf_kwargs=hf_kwargs)  # type: ignore[misc]
        foveation, images = self.info.foveation(hf_kwargs), mm_items.get("image")
        if foveation is None or not isinstance(images, ImageProcessorItems) or not images.get_count():
            return inputs
        config = self.info.get_hf_config().vision_config
        merge, cell_px = config.spatial_merge_size, config.spatial_merge_size * config.patch_size
        rows_cols = (inputs["image_grid_thw"][:, 1:] // merge).tolist()
        pictures = [_picture(images.get(number)) for number in range(images.get_count())]
        chosen = [
            _fields(foveation, picture, rows, cols, cell_px)
            for picture, (rows, cols) in zip(pictures, rows_cols, strict=True)
        ]
        for key in (INDEX, PLAN, BASE) if foveation.in_worker else (INDEX,):
            inputs[key] = [fields[key] for fields in chosen]
        if foveation.sparse:
            inputs[SPARSE] = torch.ones(len(chosen), 1, dtype=torch.uint8)
            each = inputs["pixel_values"].split(inputs["image_grid_thw"].prod(-1).tolist())
            rows = [patches(fields[INDEX], merge**2) for fields in chosen]
            inputs["pixel_values"] = torch.cat([pixels[row] for pixels, row in zip(each, rows, strict=True)])
        return inputs

    def _shrunk(self, mm_items: Any, foveation: Foveation | None) -> Any:
        """The same with its images as small as their print allows, where that is wanted."""
        images = mm_items.get("image")
        if foveation is None or foveation.print_px is None or not isinstance(images, ImageProcessorItems):
            return mm_items
        small = [_legible(_picture(images.get(number)).rgb, foveation.print_px) for number in range(images.get_count())]
        return type(mm_items)({**mm_items, "image": ImageProcessorItems(small)})

    def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Mapping[str, object]) -> Any:
        own = super()._get_mm_fields_config(hf_inputs, hf_processor_mm_kwargs)  # type: ignore[misc]
        if SPARSE in hf_inputs:
            unit = self.info.get_hf_config().vision_config.spatial_merge_size ** 2
            sizes = torch.tensor([len(index) * unit for index in hf_inputs[INDEX]])
            own = {**own, "pixel_values": MultiModalFieldConfig.flat_from_sizes("image", sizes)}
        return {**own, **{key: MultiModalFieldConfig.batched("image", keep_on_cpu=True) for key in OURS}}

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Any, out_mm_kwargs: Any
    ) -> Sequence[PromptUpdate]:
        updates = super()._get_prompt_updates(mm_items, hf_processor_mm_kwargs, out_mm_kwargs)  # type: ignore[misc]
        return [_shorter(update, out_mm_kwargs) if update.modality == "image" else update for update in updates]


def _shorter(update: PromptReplacement, out_mm_kwargs: Any) -> PromptReplacement:
    """The family's placeholder, cut to the tokens that are kept."""
    whole: Callable[[int], list[int]] = update.replacement

    def placeholder(number: int) -> list[int]:
        item = out_mm_kwargs["image"][number]
        return whole(number)[: len(item[INDEX].data)] if INDEX in item else whole(number)

    return dataclasses.replace(update, replacement=placeholder)


def _fields(foveation: Foveation, picture: Picture, rows: int, cols: int, cell_px: int) -> dict[str, Tensor]:
    """INDEX, PLAN and BASE of one image of rows x cols tokens."""
    num_tok, none = rows * cols, torch.zeros(0)
    grid = plain_grid(rows, cols, cols * cell_px, rows * cell_px)
    if foveation.tokens is None or foveation.tokens >= num_tok:  # no scores are compared
        return {INDEX: choose(foveation, picture, grid, none[None]), PLAN: none.to(torch.uint8), BASE: none}
    base = weigh(foveation.early(), scene_of(picture, grid))
    if foveation.in_worker:
        return {
            INDEX: torch.full((foveation.tokens,), -1),
            PLAN: pack(foveation, picture.sha256),
            BASE: base[0],
        }
    return {INDEX: choose(foveation, picture, grid, base), PLAN: none.to(torch.uint8), BASE: none}


def _legible(rgb: np.ndarray, print_px: float) -> Image.Image:
    """A picture (H, W, 3), shrunk until its smallest print has this x-height."""
    scale = legible_scale(print_height_px(rgb), print_px)
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    return Image.fromarray(resized(rgb, width, height))


def _picture(image: Any) -> Picture:
    """An image as vLLM hands it to the processor: Pillow, or (H, W, 3) or (3, H, W) uint8.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(image, Image.Image):
        pixels = np.array(image.convert("RGB"))
    else:
        pixels = np.asarray(image)
        if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] != 3:
            pixels = pixels.transpose(1, 2, 0)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise ValueError(f"{KEY!r} chooses from RGB images of uint8; this one is {pixels.shape} {pixels.dtype}")
    return Picture.open(np.ascontiguousarray(pixels))
