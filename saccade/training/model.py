"""saccade-nano as a transformers checkpoint: its sizes, its byte tokenizer, its files, and a batched vision tower.

B pictures, H x W cells of a padded grid (a cell is 16 x 16 px and becomes a token), P cells of any pictures, F vision
width, D language-model width.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as tokenizer_models
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)

from saccade.families._qwen_tower import QwenBlocks
from saccade.families._walk import Tokens, walk

PATCH_PX = 16
HEAD_FILE = "dense_head.npz"  # beside the weights: training goes on from it. Not safetensors: vLLM loads all of those
WINDOW_TOK = 8  # a window of the vision tower is 8 x 8 tokens, 128 px
SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>", "<|cannot_read|>",
)  # fmt: skip
END_OF_TEXT, TURN, END, VISION_START, VISION_END, IMAGE_PAD, VIDEO_PAD, CANNOT_READ = range(256, 264)
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}<|im_start|>{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}"
    "{% endfor %}{% endif %}{% if message['role'] == 'assistant' %}<|im_end|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>{% endif %}"
)


class NanoSize(BaseModel):
    """How big the model is: vision tower and language model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vision_width: int = 192
    vision_layers: int = 5
    vision_heads: int = 6
    width: int = 256
    layers: int = 5


SIZES = {
    "tiny": NanoSize(vision_width=64, vision_layers=2, vision_heads=2, width=64, layers=2),
    "nano": NanoSize(),
    "wide": NanoSize(vision_width=256, vision_layers=6, vision_heads=8, width=320, layers=6),
}


def build_config(size: NanoSize) -> Qwen2_5_VLConfig:
    """One token per 16 x 16 px; the last vision layer sees the whole page; M-RoPE leans towards columns and content."""
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 256 + len(SPECIAL),
            "hidden_size": size.width,
            "intermediate_size": size.width * 3 // 2,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.width // 64,
            "num_key_value_heads": size.width // 64,
            "max_position_embeddings": 8192,
            "rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "mrope_section": [2, 10, 20]},
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": END,
            "pad_token_id": END_OF_TEXT,
        },
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "intermediate_size": size.vision_width * 2,
            "num_heads": size.vision_heads,
            "patch_size": PATCH_PX,
            "spatial_merge_size": 1,
            "temporal_patch_size": 1,
            "window_size": WINDOW_TOK * PATCH_PX,
            "fullatt_block_indexes": [size.vision_layers - 1],
            "out_hidden_size": size.width,
        },
        image_token_id=IMAGE_PAD,
        video_token_id=VIDEO_PAD,
        vision_start_token_id=VISION_START,
        vision_end_token_id=VISION_END,
        tie_word_embeddings=True,
    )


def build_model(size: NanoSize, seed: int = 0) -> Qwen2_5_VLForConditionalGeneration:
    """Fresh weights in float32."""
    torch.manual_seed(seed)
    return Qwen2_5_VLForConditionalGeneration(build_config(size)).float()


def build_tokenizer() -> PreTrainedTokenizerFast:
    """256 bytes, no merges, eight special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    order = {_byte_of(symbol): symbol for symbol in alphabet}
    core = Tokenizer(tokenizer_models.BPE(vocab={order[b]: b for b in range(256)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=[s for s in SPECIAL if s not in ("<|im_end|>", "<|endoftext|>")],
        chat_template=CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
        model_max_length=8192,
    )


def _byte_of(symbol: str) -> int:
    """The byte that a symbol of the byte-level alphabet (GPT-2's table) stands for."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in printable]
    code = ord(symbol)
    return code if code in printable else rest[code - 256]


def save_model(model: Qwen2_5_VLForConditionalGeneration, folder: Path) -> None:
    """Writes a checkpoint that loads offline with transformers and vLLM: weights in bfloat16, tokenizer, processor."""
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    half = Qwen2_5_VLForConditionalGeneration(model.config).to(torch.bfloat16)
    half.load_state_dict({name: value.to(torch.bfloat16) for name, value in model.state_dict().items()})
    half.generation_config = GenerationConfig(
        do_sample=False, eos_token_id=END, pad_token_id=END_OF_TEXT, max_new_tokens=48
    )
    half.save_pretrained(folder)
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(folder)
    processor = Qwen2VLImageProcessorPil(
        patch_size=PATCH_PX, temporal_patch_size=1, merge_size=1, min_pixels=64 * 64, max_pixels=1024 * 1024,
        image_mean=[0.5] * 3, image_std=[0.5] * 3,
    )  # fmt: skip
    processor.save_pretrained(folder)


def load_head(head: nn.Module, folder: Path) -> None:
    """The dense head that was saved beside a checkpoint, if one was."""
    if (folder / HEAD_FILE).exists():
        with np.load(folder / HEAD_FILE) as saved:
            head.load_state_dict({name: torch.from_numpy(saved[name]).float() for name in saved.files})


def load_model(folder: Path) -> Qwen2_5_VLForConditionalGeneration:
    """A checkpoint in float32, ready to train."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    assert isinstance(model, Qwen2_5_VLForConditionalGeneration)
    return model


# ------------------------------------------------------------------------------------------ the vision tower, batched


def patchify(images: Tensor) -> Tensor:
    """(B, 16 H, 16 W) uint8 grey -> (B, H, W, 256) in [-1, 1]."""
    b, height, width = images.shape
    tiles = images.view(b, height // PATCH_PX, PATCH_PX, width // PATCH_PX, PATCH_PX).transpose(2, 3)
    return tiles.reshape(b, height // PATCH_PX, width // PATCH_PX, PATCH_PX**2).float() / 127.5 - 1


def encode_cells(visual: Any, patches: Tensor, picture: Tensor, place: Tensor) -> Tensor:
    """The tower on any cells of any pictures: (P, 256) patches in [-1, 1] -> (P, D).

    picture: (P,) which picture a cell belongs to; place: (P, 2) its row and column there. A window holds those of its
    cells that are given, and the last layer sees the given cells of a picture. All cells of a picture give exactly what
    transformers' own tower gives.
    """
    window = place // WINDOW_TOK
    across = int(window.max()) + 1 if len(window) else 1
    group = (picture * across + window[:, 0]) * across + window[:, 1]
    order = group.argsort(stable=True)
    weight = visual.patch_embed.proj.weight.sum((1, 2)).flatten(1)  # (F, 256): the three channels are equal
    states = F.linear(patches[order], weight)[:, None]
    free = torch.zeros(len(order), dtype=torch.bool, device=place.device)
    tokens = Tokens.start(states, place[order, None].float(), group[order], picture[order], free)
    tokens = walk(QwenBlocks(visual, visual.fullatt_block_indexes), tokens, listen=False)
    x = visual.merger(tokens.states.flatten(0, 1))
    return torch.empty_like(x).index_copy(0, order, x)


def encode(visual: Any, patches: Tensor, sizes: list[tuple[int, int]] | None = None) -> Tensor:
    """The tower on whole grids: (B, H, W, 256) -> (B, H, W, D).

    `sizes` gives each picture's true rows and columns where the rest is padding, whose tokens are zeros.
    """
    b, h, w, _ = patches.shape
    device = patches.device
    grid = torch.meshgrid(*(torch.arange(n, device=device) for n in (b, h, w)), indexing="ij")
    picture, place = grid[0].flatten(), torch.stack(grid[1:], -1).flatten(0, 2)
    if sizes is None:
        return encode_cells(visual, patches.flatten(0, 2), picture, place).view(b, h, w, -1)
    inside = (place < torch.tensor(sizes, device=device)[picture]).all(-1)
    tokens = encode_cells(visual, patches.flatten(0, 2)[inside], picture[inside], place[inside])
    return tokens.new_zeros(b * h * w, tokens.shape[-1]).index_copy(0, inside.nonzero()[:, 0], tokens).view(b, h, w, -1)
