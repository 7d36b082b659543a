"""FastV: after decoder layer K, keep the visual tokens that the prompt's last token attends to most.

Chen et al. 2024, arXiv:2403.06764: K = 2, half of the tokens. The attention is layer K's own, mean over heads.
"""

from pydantic import Field

from saccade.errors import ConfigError
from saccade.reduction._drop import Cut, Drop, share_of


class FastV(Drop):
    """One drop, early in the decoder."""

    layer: int = Field(2, ge=1, description="K: layers of the decoder that see all visual tokens.")
    keep: float = Field(0.5, gt=0, le=1, description="Share of the visual tokens that go on; 1 drops none.")

    def cuts(self, num_layers: int, num_tok: int) -> tuple[Cut, ...]:
        if self.layer >= num_layers:
            raise ConfigError(f"fastv: layer is {self.layer}, but this decoder has {num_layers}; give a smaller one")
        keep = share_of(num_tok, self.keep)
        return (Cut(self.layer, self.layer - 1, keep),) if keep < num_tok else ()
