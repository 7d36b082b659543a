"""Autoencoder: tokens squeezed through a few numbers each, and rebuilt for the language model.

It keeps the number of tokens; what it saves is what a token weighs where encodings are stored or sent (`Codec.encode`).
"""

from dataclasses import replace
from typing import Annotated

import torch
from pydantic import Field

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
        return replace(encoding, tokens=codec(encoding.tokens).to(encoding.tokens.dtype))
