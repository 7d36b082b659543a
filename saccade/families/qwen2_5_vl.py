"""Qwen2.5-VL: a windowed vision tower, a 2 x 2 merger and M-RoPE positions (Bai et al. 2025, arXiv:2502.13923).

transformers' AutoProcessor for this family needs torchvision; its Pillow image processor and the tokenizer do not,
and give the same pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize
from transformers.vision_utils import get_vision_window_index

from saccade.errors import ConfigError, PictureError
from saccade.families import Family, Prepared, fingerprint, largest_grid
from saccade.geometry.grid import plain_grid
from saccade.picture import Picture, resized
from saccade.types import Canvas, Encoding

QUESTION_MARK = "\ue000question\ue000"  # private-use characters: stands for the question while the template is filled
ATTENTION_CHUNK_BYTES = 64 * 2**20  # of attention weights held at once while `received` is summed


class Qwen25VL(Family):
    """A Qwen2.5-VL checkpoint."""

    def __init__(self, model: Any, tokenizer: Any, processor: Any, fingerprint: str) -> None:
        self.model, self.tokenizer, self.processor = model, tokenizer, processor
        self.fingerprint = fingerprint
        vision = model.config.vision_config
        self.merge = int(vision.spatial_merge_size)
        self.cell_px = int(vision.patch_size) * self.merge  # side of the square one token covers
        self.image_token_id = int(model.config.image_token_id)

    @classmethod
    def open(cls, path: str, device: torch.device, dtype: torch.dtype, max_px: int | None) -> "Qwen25VL":
        tokenizer = AutoTokenizer.from_pretrained(path)
        processor = Qwen2VLImageProcessorPil.from_pretrained(path)
        model = Qwen2_5_VLForConditionalGeneration.from_pretrained(path, dtype=dtype).to(device).eval()
        if max_px is not None:
            cell_px = int(model.config.vision_config.patch_size) * int(model.config.vision_config.spatial_merge_size)
            if max_px < cell_px**2:
                raise ConfigError(f"max_px is {max_px}, but one token of this model covers {cell_px} x {cell_px} px")
            size = {"shortest_edge": min(processor.size["shortest_edge"], max_px), "longest_edge": max_px}
            processor = type(processor).from_pretrained(path, size=size)
        return cls(model, tokenizer, processor, f"{fingerprint(path)}-{dtype}-{dict(processor.size)}")

    @property
    def language_model(self) -> Any:
        return self.model.model.language_model

    def logits(self, hidden: Tensor) -> Tensor:
        return self.model.lm_head(hidden)  # type: ignore[no-any-return]

    def embed(self, token_ids: Tensor) -> Tensor:
        return self.model.get_input_embeddings()(token_ids)  # type: ignore[no-any-return]

    # Pixels

    def prepare(self, picture: Picture, max_tok: int | None = None) -> Prepared:
        picture = Picture.open(picture, limit_px=int(self.processor.size["longest_edge"]))
        width_px, height_px = picture.size_px
        try:
            fit_h, fit_w = smart_resize(
                height_px,
                width_px,
                factor=self.cell_px,
                min_pixels=int(self.processor.size["shortest_edge"]),
                max_pixels=int(self.processor.size["longest_edge"]),
            )
        except ValueError as error:
            raise PictureError(f"the image is {width_px} x {height_px} px: {error}. Crop it") from error
        rows, cols = fit_h // self.cell_px, fit_w // self.cell_px
        if max_tok is not None and max_tok < rows * cols:
            rows, cols = largest_grid(height_px, width_px, max_tok)
        pixels = resized(picture.rgb, cols * self.cell_px, rows * self.cell_px)
        made = self.processor(images=[pixels], do_resize=False, return_tensors="pt")
        thw = tuple(int(n) for n in made["image_grid_thw"][0])
        grid = plain_grid(rows, cols, cols * self.cell_px, rows * self.cell_px)
        view = "full" if max_tok is None else f"resize@{max_tok}"
        return Prepared(made["pixel_values"], thw, grid, picture.sha256, view)  # type: ignore[arg-type]

    @torch.inference_mode()
    def encode(self, batch: Sequence[Prepared]) -> list[Encoding]:
        tower, merged = self.model.model.visual, self.merge**2
        patches = torch.cat([p.patches for p in batch]).to(tower.device, tower.dtype)
        grid_thw = torch.tensor([p.grid_thw for p in batch], device=tower.device)
        full = [i for i in tower.fullatt_block_indexes if i < len(tower.blocks)] or [len(tower.blocks) - 1]
        received: list[Tensor] = []

        def listen(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            hidden = args[0] if args else kwargs["hidden_states"]
            received.append(attention_received(module, hidden, kwargs["cu_seqlens"], kwargs["position_embeddings"]))

        handle = tower.blocks[full[-1]].attn.register_forward_pre_hook(listen, with_kwargs=True)
        try:
            out = tower(patches, grid_thw)
        finally:
            handle.remove()
        # The tower keeps tokens in window order; everything of ours is in raster order.
        window_index, _ = get_vision_window_index(
            grid_thw,
            spatial_merge_size=self.merge,
            window_size=tower.window_size,
            patch_size=tower.patch_size,
        )
        raster = torch.argsort(window_index)
        features = out.last_hidden_state.view(-1, merged, out.last_hidden_state.shape[-1])[raster]
        attention = received[0].view(-1, merged).sum(-1)[raster]
        counts = [len(p.grid) for p in batch]
        columns = [torch.split(column, counts) for column in (out.pooler_output, features, attention)]
        return [
            Encoding(
                tokens,
                feature,
                seen,
                item.grid,
                item.picture_hash,
                f"{self.fingerprint}-{item.view}",
                item.patches.shape[0],
            )
            for item, tokens, feature, seen in zip(batch, *columns, strict=True)
        ]

    # Prompt and positions

    def prompt(self, question: str) -> tuple[list[int], list[int]]:
        content = [{"type": "image"}, {"type": "text", "text": QUESTION_MARK}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        before, after = text.split(QUESTION_MARK)
        head = self.tokenizer(before, add_special_tokens=False)["input_ids"]
        # Whatever a question says, it is text: "<|image_pad|>" in it must not become a control token.
        asked = self.tokenizer(question, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        tail = self.tokenizer(after, add_special_tokens=False)["input_ids"]
        at = head.index(self.image_token_id)
        return head[:at], head[at + 1 :] + asked + tail

    def positions(self, canvas: Canvas, prefix_tok: int, suffix_tok: int) -> tuple[Tensor, list[Tensor], Tensor]:
        start, after = prefix_tok, prefix_tok + max(canvas.rows, canvas.cols)
        parts = [
            torch.stack([torch.full_like(part.row, start), start + part.row, start + part.col]) for part in canvas.parts
        ]
        return (
            torch.arange(prefix_tok).expand(3, -1),
            parts,
            torch.arange(after, after + suffix_tok).expand(3, -1),
        )


def attention_received(
    attention: Any, hidden: Tensor, cu_seqlens: Tensor, position_embeddings: tuple[Tensor, Tensor]
) -> Tensor:
    """(patches,) float32: attention each patch receives, mean over heads and over the queries of its own image.

    Recomputed from the block's input in chunks of queries, so that 16k patches never hold a 16k x 16k matrix.
    """
    length, heads = hidden.shape[0], attention.num_heads
    qkv = attention.qkv(hidden).reshape(length, 3, heads, -1).permute(1, 0, 2, 3)
    query, key = apply_rotary_pos_emb_vision(qkv[0], qkv[1], *position_embeddings)
    query, key = query.transpose(0, 1), key.transpose(0, 1)  # (heads, patches, head width)
    received = torch.zeros(length, device=hidden.device)
    bounds = cu_seqlens.tolist()
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        chunk = max(1, ATTENTION_CHUNK_BYTES // (4 * heads * (high - low)))
        for first in range(low, high, chunk):
            scores = query[:, first : min(first + chunk, high)] @ key[:, low:high].transpose(1, 2)
            weights = (scores * attention.scaling).softmax(-1, dtype=torch.float32)
            received[low:high] += weights.sum((0, 1)) / (heads * (high - low))
    return received
