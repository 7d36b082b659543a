"""The families' vLLM models, reading canvases. Weights, layers and everything else are the family's own."""

from typing import Any

import torch
from vllm.model_executor.models import qwen2_5_vl, qwen2_vl, qwen3_vl
from vllm.model_executor.models.utils import StageMissingLayer
from vllm.multimodal import MULTIMODAL_REGISTRY

from saccade.engines.vllm_plugin import fields
from saccade.engines.vllm_plugin.after_tower import Foveating
from saccade.engines.vllm_plugin.positions import Placed, canvas_positions
from saccade.engines.vllm_plugin.processing import CanvasInfo, CanvasParser, CanvasProcessor


class Positions(Foveating):
    """Positions of prompts that hold a canvas; those of all others are the family's own."""

    def get_mrope_input_positions(self, input_tokens: list[int], mm_features: list[Any]) -> tuple[torch.Tensor, int]:
        """(3, tokens) positions and the offset of those that follow.

        `input_tokens` is the prompt, with vLLM's V2 runner also what was generated before a preemption.
        """
        parts = [
            Placed(
                feature.mm_position.offset, feature.data[fields.CELLS].data, *feature.data[fields.SHAPE].data.tolist()
            )
            for feature in mm_features
            if feature.data is not None and fields.CELLS in feature.data
        ]
        if not parts:
            return super().get_mrope_input_positions(input_tokens, mm_features)
        assert len(parts) == len(mm_features), "a canvas beside something else was let through"
        return canvas_positions(len(input_tokens), parts)


class Parser2(CanvasParser, qwen2_vl.Qwen2VLMultiModalDataParser):  # noqa: D101
    pass


class Parser3(CanvasParser, qwen3_vl.Qwen3VLMultiModalDataParser):  # noqa: D101
    pass


class Info2(CanvasInfo, qwen2_vl.Qwen2VLProcessingInfo):  # noqa: D101
    parser = Parser2
    video_needs_metadata = False


class Info25(CanvasInfo, qwen2_5_vl.Qwen2_5_VLProcessingInfo):  # noqa: D101
    parser = Parser2


class Info3(CanvasInfo, qwen3_vl.Qwen3VLProcessingInfo):  # noqa: D101
    parser = Parser3


class Processor2(CanvasProcessor, qwen2_vl.Qwen2VLMultiModalProcessor):  # noqa: D101
    pass


class Processor25(CanvasProcessor, qwen2_5_vl.Qwen2_5_VLMultiModalProcessor):  # noqa: D101
    pass


class Processor3(CanvasProcessor, qwen3_vl.Qwen3VLMultiModalProcessor):  # noqa: D101
    pass


@MULTIMODAL_REGISTRY.register_processor(Processor2, info=Info2, dummy_inputs=qwen2_vl.Qwen2VLDummyInputsBuilder)
class CanvasQwen2VL(Positions, qwen2_vl.Qwen2VLForConditionalGeneration):
    """Qwen2-VL."""


@MULTIMODAL_REGISTRY.register_processor(Processor25, info=Info25, dummy_inputs=qwen2_5_vl.Qwen2_5_VLDummyInputsBuilder)
class CanvasQwen25VL(Positions, qwen2_5_vl.Qwen2_5_VLForConditionalGeneration):
    """Qwen2.5-VL."""


@MULTIMODAL_REGISTRY.register_processor(Processor3, info=Info3, dummy_inputs=qwen3_vl.Qwen3VLDummyInputsBuilder)
class CanvasQwen3VL(Positions, qwen3_vl.Qwen3VLForConditionalGeneration):
    """Qwen3-VL. Without its tower vLLM drops the DeepStack levels of embeddings in silence; here they stay."""

    def __init__(self, *, vllm_config: Any, prefix: str = "model") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        if not isinstance(self.visual, StageMissingLayer):
            return
        width, tokens = self.config.text_config.hidden_size, vllm_config.scheduler_config.max_num_batched_tokens
        self.use_deepstack = True
        self.deepstack_num_level = len(self.config.vision_config.deepstack_visual_indexes)
        self.multiscale_dim = self.visual_dim * self.deepstack_num_level
        self.deepstack_input_embeds = [torch.zeros(tokens, width) for _ in range(self.deepstack_num_level)]
        self.deepstack_input_embeds_num_tokens = 0
