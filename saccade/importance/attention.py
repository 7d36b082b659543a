"""The language model's own attention: where its question looks on a glimpse of the page."""

from torch import Tensor

from saccade.errors import ConfigError
from saccade.importance import Listener
from saccade.types import Scene


class Attention(Listener):
    """Attention of the question on the glimpse in one layer, relative to that of a neutral prompt.

    Mean over heads and over the tokens after the image; the ratio takes away what any prompt looks at (relative
    attention: Zhang et al. 2025, "MLLMs know where to look"). A fine token has the value of the glimpse's token that
    covers its centre. It reads the question once, before the first look: the weights of words do not move it.
    It needs `--glimpse K` and the transformers engine in one process (`ask`, `experiment`, `saccade.load`): vLLM gives
    no attention.
    Cost: one prefill of the glimpse and the neutral prompt per image, and one of the question, after the cached
    glimpse, per question. Both are charged as prefilled tokens.
    """

    def raw(self, scene: Scene) -> Tensor:
        if scene.attention is None:
            raise ConfigError(
                "the scorer 'attention' needs the language model's attention on a glimpse, and there is none: give "
                "--glimpse K and the transformers engine, in one process (ask, experiment, saccade.load)"
            )
        return scene.attention
