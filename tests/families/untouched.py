"""A model called as anyone would call it: ids with placeholders, pixels, positions of its own making."""

import torch
from torch import Tensor
from torch.nn.functional import fold

from saccade.engines.hf import HFEngine
from saccade.families.llava import Llava
from saccade.picture import Picture


def inputs(engine: HFEngine, picture: Picture, question: str) -> dict[str, Tensor]:
    """What the untouched model is given for one picture and question."""
    family = engine.family
    prepared = family.prepare(picture)
    prefix, suffix = family.prompt(question)
    ids = torch.tensor([[*prefix, *[family.image_token_id] * len(prepared.grid), *suffix]])
    if isinstance(family, Llava):
        side_px = family.side * family.patch_px
        pixels = fold(prepared.patches.T[None], (side_px, side_px), family.patch_px, stride=family.patch_px)
        return {"input_ids": ids, "pixel_values": pixels}
    return {
        "input_ids": ids,
        "pixel_values": prepared.patches,
        "image_grid_thw": torch.tensor([prepared.grid_thw]),
        "mm_token_type_ids": (ids == family.image_token_id).int(),
    }


def logprobs(engine: HFEngine, picture: Picture, question: str, max_new_tok: int = 6) -> Tensor:
    """(tokens,) log-probabilities of its greedy answer."""
    with torch.no_grad():
        made = engine.family.model.generate(
            **inputs(engine, picture, question),
            max_new_tokens=max_new_tok,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    return torch.stack(made.logits)[:, 0].float().log_softmax(-1).max(-1).values


def decode(engine: HFEngine, embeds: Tensor, positions: Tensor) -> Tensor:
    """(1, T, D) last hidden states of transformers' own decoder on (1, T, D * (1 + levels)) at positions (P, T)."""
    decoder = engine.family.language_model
    embeds, *levels = torch.split(embeds, decoder.config.hidden_size, dim=-1)
    everywhere = torch.ones(embeds.shape[:2], dtype=torch.bool)
    deep = {"visual_pos_masks": everywhere, "deepstack_visual_embeds": [level[0] for level in levels]} if levels else {}
    places = positions.unsqueeze(1) if len(positions) > 1 else positions
    mask = torch.ones(1, embeds.shape[1], dtype=torch.int64)  # one sequence, whatever gaps its positions have
    return decoder(inputs_embeds=embeds, position_ids=places, attention_mask=mask, **deep).last_hidden_state
