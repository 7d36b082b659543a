"""Autoencoder: tokens squeezed through a few numbers each, and rebuilt for the language model.

It keeps the number of tokens; what it saves is what a token weighs where encodings are stored or sent: between the
processes of a run or an endpoint, and in the cache of a training, the few numbers travel (`saccade.types.Coded`).
"""

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from saccade.codes import Coded
from saccade.heads.codec import Codec
from saccade.heads.files import holds, load_cached
from saccade.reduction import Reduction
from saccade.reduction.resampler import check_width
from saccade.types import Encoding


class Autoencoder(Reduction):
    """The language model reads tokens that a trained codec has squeezed and rebuilt."""

    weights: Annotated[str, holds(Codec)] = Field(description="Folder of a trained codec (saccade.training.reduction).")

    def active(self, num_layers: int) -> bool:
        return False

    @torch.inference_mode()
    def after(self, encoding: Encoding) -> Encoding:
        codec = load_cached(Codec, self.weights, encoding.tokens.device)
        check_width(codec.width, encoding)
        coded = Coded(codec.encode(encoding.tokens).half(), self.weights, encoding.tokens.dtype)
        return replace(encoding, tokens=rebuilt(coded), coded=coded)


@torch.inference_mode()
def rebuilt(coded: Coded) -> Tensor:
    """(N, D): the tokens that a codec makes of their codes, wherever that is done."""
    return load_cached(Codec, coded.codec, coded.codes.device).decode(coded.codes.float()).to(coded.dtype)
