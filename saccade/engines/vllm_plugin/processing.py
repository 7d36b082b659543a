"""How a canvas enters vLLM: its fields are parsed, checked and kept beside the embeddings, and sized in the prompt.

Each class is a mixin before the family's own. Where pixels are refused (`limit_mm_per_prompt` 0 for image and video, so
that the vision tower is not loaded) nothing here needs the checkpoint's processor, which not every checkpoint brings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from vllm.multimodal.inputs import MultiModalFieldConfig
from vllm.multimodal.parse import DictEmbeddingItems
from vllm.multimodal.processing import PromptReplacement, PromptUpdate

from saccade.engines.vllm_plugin import fields
from saccade.engines.vllm_plugin.pixels import PixelInfo, PixelProcessor
from saccade.engines.vllm_plugin.positions import Placed, canvas_positions


def field_configs(data: Mapping[str, Any], merge: int) -> dict[str, MultiModalFieldConfig]:
    """How our fields are cut into parts. They stay on the CPU: positions are worked out there."""
    if fields.CELLS not in data:
        return {}
    counts = data["image_grid_thw"].prod(-1) // merge**2
    return {
        fields.CELLS: MultiModalFieldConfig.flat_from_sizes("image", counts, keep_on_cpu=True),
        fields.SHAPE: MultiModalFieldConfig.batched("image", keep_on_cpu=True),
    }


class CanvasParser:
    """Accepts `{"image": fields.of(...)}`."""

    embedding_fields: Any  # vLLM's, from the family's own class
    canvas: tuple[int, int, int]  # width, merge and positions of the model, set by `CanvasInfo`

    def _parse_image_data(self, data: Any) -> Any:
        if not isinstance(data, dict) or not any(key in data for key in fields.OURS):
            return super()._parse_image_data(data)  # type: ignore[misc]
        width, merge, max_position = self.canvas
        fields.check(data, width, merge, max_position)
        counts = data["image_grid_thw"].prod(-1) // merge**2
        return DictEmbeddingItems(
            {key: data[key] for key in fields.ALL},
            modality="image",
            required_fields=set(fields.ALL),
            fields_factory=lambda inputs: {
                "image_embeds": MultiModalFieldConfig.flat_from_sizes("image", counts),
                "image_grid_thw": MultiModalFieldConfig.batched("image", keep_on_cpu=True),
                **field_configs(inputs, merge),
            },
        )


class CanvasInfo(PixelInfo):
    """Knows the sizes of the model, and whether it takes pixels."""

    ctx: Any
    parser: type  # CanvasParser in front of the family's
    video_needs_metadata = True

    @property
    def canvas(self) -> tuple[int, int, int]:
        """Width of a token with its DeepStack levels, spatial merge size, number of positions."""
        config = self.ctx.get_hf_config()
        text, vision = config.get_text_config(), config.vision_config
        levels = len(getattr(vision, "deepstack_visual_indexes", None) or ())
        return text.hidden_size * (1 + levels), vision.spatial_merge_size, text.max_position_embeddings

    @property
    def takes_pixels(self) -> bool:
        """Whether the vision tower is loaded."""
        limit = self.ctx.get_mm_config().get_limit_per_prompt
        return bool(limit("image") or limit("video"))

    def get_data_parser(self) -> Any:
        """The family's parser, with canvases."""
        parser = self.parser(
            self.canvas[1],
            video_needs_metadata=self.video_needs_metadata,
            expected_hidden_size=self._get_expected_hidden_size(),  # type: ignore[attr-defined]
            allow_missing_mm_embeddings=self.allow_missing_mm_embeddings,  # type: ignore[attr-defined]
        )
        parser.canvas = self.canvas
        return parser

    def get_mm_max_tokens_per_item(self, seq_len: int, mm_counts: Mapping[str, int]) -> Any:
        """A part of a canvas may be as long as a prompt: the engine keeps room for it."""
        if not self.takes_pixels:
            return dict.fromkeys(mm_counts, seq_len)
        return super().get_mm_max_tokens_per_item(seq_len, mm_counts)  # type: ignore[misc]


class CanvasProcessor(PixelProcessor):
    """Sizes the placeholders and looks at the prompt as a whole."""

    info: Any

    def _get_mm_fields_config(self, hf_inputs: Any, hf_processor_mm_kwargs: Mapping[str, object]) -> Any:
        own = super()._get_mm_fields_config(hf_inputs, hf_processor_mm_kwargs)
        return {**own, **field_configs(hf_inputs, self.info.canvas[1])}

    def _get_prompt_updates(
        self, mm_items: Any, hf_processor_mm_kwargs: Any, out_mm_kwargs: Any
    ) -> Sequence[PromptUpdate]:
        if self.info.takes_pixels:
            return super()._get_prompt_updates(mm_items, hf_processor_mm_kwargs, out_mm_kwargs)
        image_token_id, merge = self.info.get_hf_config().image_token_id, self.info.canvas[1]

        def placeholder(number: int) -> list[int]:
            grid = out_mm_kwargs["image"][number]["image_grid_thw"].data
            return [image_token_id] * (int(grid.prod()) // merge**2)

        return [PromptReplacement(modality="image", target=[image_token_id], replacement=placeholder)]

    def apply(self, inputs: Any, timing_ctx: Any) -> Any:
        """The processed prompt.

        Raises:
            ValueError: canvases stand beside videos or run into each other, or the prompt has too many positions.
        """
        processed = super().apply(inputs, timing_ctx)
        parts = [
            Placed(place.offset, item[fields.CELLS].data, *item[fields.SHAPE].data.tolist())
            for item, place in zip(
                processed["mm_kwargs"].get("image", []), processed["mm_placeholders"].get("image", []), strict=True
            )
            if item is not None and fields.CELLS in item
        ]
        if parts:
            if processed["mm_placeholders"].get("video"):
                raise ValueError("a prompt with a canvas may hold no video")
            last = int(canvas_positions(len(processed["prompt_token_ids"]), parts)[0].max())
            if last >= self.info.canvas[2]:
                raise ValueError(f"the prompt reaches position {last}; this model has {self.info.canvas[2]}")
        return processed
