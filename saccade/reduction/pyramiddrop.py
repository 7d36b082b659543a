"""PyramidDrop: the decoder in equal stages, with a share of the visual tokens dropped after each.

Xing et al. 2024, arXiv:2410.17247: four stages, half of the tokens each time (1, 1/2, 1/4, 1/8). Tokens are ranked by
the attention that the prompt's last token would pay them in the first layer of the next stage, mean over heads.
"""

from pydantic import Field

from saccade.errors import ConfigError
from saccade.reduction._drop import Cut, Drop, share_of


class PyramidDrop(Drop):
    """One drop between any two stages of the decoder."""

    stages: int = Field(4, ge=2, description="Stages of the decoder, as equal as its layers allow.")
    ratio: float = Field(0.5, gt=0, le=1, description="Share of the visual tokens that go on from stage to stage.")

    def cuts(self, num_layers: int, num_tok: int) -> tuple[Cut, ...]:
        if self.stages > num_layers:
            raise ConfigError(
                f"pyramiddrop: {self.stages} stages, but this decoder has {num_layers} layers; give fewer"
            )
        kept, cuts = num_tok, []
        for stage in range(1, self.stages):
            first, keep = stage * num_layers // self.stages, share_of(num_tok, self.ratio**stage)
            if keep < kept:
                cuts.append(Cut(first, first, keep))
                kept = keep
        return tuple(cuts)
