"""Tiny random checkpoints of real families, built from their transformers configurations. Nothing is downloaded.

One function a family, named as its `model_type`. Heads are 32 wide: vLLM on CPU takes no narrower ones.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

SPECIAL = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = {
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}


def tokenizer() -> PreTrainedTokenizerFast:
    """256 bytes and the special tokens, no merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.add_special_tokens({"additional_special_tokens": SPECIAL})
    fast.chat_template = TEMPLATE
    return fast


def qwen2_vl(folder: Path, seed: int = 0) -> Path:
    """A 3-layer Qwen2-VL: 14-px patches, 2 x 2 merger, full attention."""
    vision = {"depth": 2, "embed_dim": 32, "num_heads": 2, "hidden_size": 128, "mlp_ratio": 2, "patch_size": 14}
    return _qwen(folder, seed, "Qwen2VL", vision, mrope_section=[4, 6, 6])


def qwen2_5_vl(folder: Path, seed: int = 0) -> Path:
    """A 3-layer Qwen2.5-VL: 14-px patches, 2 x 2 merger, windows of 4 x 4 patches, last block with full attention."""
    vision = {"depth": 3, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 14}
    vision |= {"window_size": 56, "fullatt_block_indexes": [2], "out_hidden_size": 128}
    return _qwen(folder, seed, "Qwen2_5_VL", vision, mrope_section=[4, 6, 6])


def save_qwen2_5_vl(folder: Path, text: dict[str, Any], vision: dict[str, Any], vocabulary: int) -> Path:
    """Random weights, of torch's default type, at any widths: 14-px patches, merged 2 x 2."""
    words = tokenizer()
    config = transformers.Qwen2_5_VLConfig(
        text_config={**text, **_ids(words), "vocab_size": vocabulary},
        vision_config={**vision, "spatial_merge_size": 2, "temporal_patch_size": 2, "patch_size": 14},
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    size = {"shortest_edge": 28**2 * 4, "longest_edge": 28**2 * 16_384}
    processor = Qwen2VLImageProcessorPil(size=size, patch_size=14)
    return _save(folder, 0, transformers.Qwen2_5_VLForConditionalGeneration, config, words, processor, std=0.02)


def qwen3_vl(folder: Path, seed: int = 0) -> Path:
    """A 3-layer Qwen3-VL: 16-px patches, 2 x 2 merger, two DeepStack levels, 6 x 6 patch positions to interpolate."""
    vision = {"depth": 4, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 16}
    vision |= {"deepstack_visual_indexes": [0, 2], "num_position_embeddings": 36, "out_hidden_size": 128}
    return _qwen(folder, seed, "Qwen3VL", vision, mrope_section=[6, 5, 5], mrope_interleaved=True)


def llava(folder: Path, seed: int = 0) -> Path:
    """A 3-layer LLaVA: a CLIP tower of 3 layers on 126 x 126 px in 14-px patches, so 9 x 9 tokens, and a Llama."""
    words = tokenizer()
    vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 2}
    vision |= {"image_size": 126, "patch_size": 14, "projection_dim": 16}
    config = transformers.LlavaConfig(
        vision_config=vision,
        text_config={**TEXT, "model_type": "llama", "head_dim": 32, **_ids(words)},
        image_token_index=words.convert_tokens_to_ids("<|image_pad|>"),
        image_seq_length=81,
    )
    processor = LlavaImageProcessorPil(size={"shortest_edge": 126}, crop_size={"height": 126, "width": 126})
    return _save(folder, seed, transformers.LlavaForConditionalGeneration, config, words, processor)


def vit(folder: Path, width: int = 24, patch_px: int = 14) -> Path:
    """A random ViT of two layers, trained (if it were) on 56 x 56 px."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=width, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=56,
        patch_size=patch_px,
    )  # fmt: skip
    transformers.ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def _qwen(folder: Path, seed: int, name: str, vision: dict[str, Any], **rope: Any) -> Path:
    words = tokenizer()
    rope = {"rope_type": "default", "rope_theta": 1e4, **rope}
    text = {**TEXT, "rope_parameters": rope, **_ids(words)}
    config = getattr(transformers, f"{name}Config")(
        text_config={**text, "head_dim": 32} if name == "Qwen3VL" else text,
        vision_config={**vision, "spatial_merge_size": 2, "temporal_patch_size": 2},
        image_token_id=words.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=words.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=words.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=words.convert_tokens_to_ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    cell_px = 2 * vision["patch_size"]
    size = {"shortest_edge": cell_px**2 * 4, "longest_edge": cell_px**2 * 256}
    processor = Qwen2VLImageProcessorPil(size=size, patch_size=vision["patch_size"])
    return _save(folder, seed, getattr(transformers, f"{name}ForConditionalGeneration"), config, words, processor)


def _ids(words: PreTrainedTokenizerFast) -> dict[str, int]:
    return {
        "vocab_size": len(words),
        "eos_token_id": words.convert_tokens_to_ids("<|im_end|>"),
        "bos_token_id": words.convert_tokens_to_ids("<|im_start|>"),
        "pad_token_id": words.convert_tokens_to_ids("<|endoftext|>"),
    }


def _save(folder: Path, seed: int, model_class: Any, config: Any, words: Any, processor: Any, std: float = 0.2) -> Path:
    torch.manual_seed(seed)
    model = model_class(config)
    for parameter in model.parameters():  # sharper than the initial 0.02, so that answers depend on the picture
        torch.nn.init.normal_(parameter, std=std) if parameter.ndim > 1 else None
    model.generation_config.eos_token_id = words.convert_tokens_to_ids("<|im_end|>")
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def page(width_px: int, height_px: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 with something to see everywhere: soft random blobs."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(1, height_px // 8), max(1, width_px // 8), 3), dtype=np.uint8)
    rows = np.linspace(0, small.shape[0] - 1, height_px).astype(int)
    cols = np.linspace(0, small.shape[1] - 1, width_px).astype(int)
    return small[rows][:, cols]
