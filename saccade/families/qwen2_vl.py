"""Qwen2-VL: a vision tower with full attention, a 2 x 2 merger and M-RoPE (Wang et al. 2024, arXiv:2409.12191)."""

from transformers import Qwen2VLForConditionalGeneration

from saccade.families._qwen import QwenVL


class Qwen2VL(QwenVL):
    """A Qwen2-VL checkpoint."""

    model_class = Qwen2VLForConditionalGeneration
