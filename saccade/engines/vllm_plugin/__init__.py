"""vLLM models that read a canvas: any tokens of an image, each at its true position. The only room that knows vLLM's
model internals.

vLLM calls `register` in each of its processes (entry point `vllm.general_plugins`). It names one architecture per
family, `SaccadeQwen2_5_VL...` beside `Qwen2_5_VL...`, which a checkpoint takes by an override:

    LLM(model, hf_overrides={"architectures": ["SaccadeQwen2_5_VLForConditionalGeneration"]}, enable_mm_embeds=True)

A prompt then holds one image placeholder per part of the canvas, side by side in one vision_start ... vision_end, and
`multi_modal_data={"image": fields.of(...)}`. Everything else a prompt could hold before, it still can.
"""

PREFIX = "Saccade"
MODELS = {
    "Qwen2VLForConditionalGeneration": "CanvasQwen2VL",
    "Qwen2_5_VLForConditionalGeneration": "CanvasQwen25VL",
    "Qwen3VLForConditionalGeneration": "CanvasQwen3VL",
}
"""Architecture of a checkpoint -> class in `models` that reads canvases with it."""


def register() -> None:
    """Tells vLLM of the architectures. May be called any number of times; imports no model."""
    from vllm import ModelRegistry

    from saccade.engines.vllm_plugin.start import follow_owner

    follow_owner()
    for architecture, name in MODELS.items():
        ModelRegistry.register_model(PREFIX + architecture, f"{__name__}.models:{name}")
