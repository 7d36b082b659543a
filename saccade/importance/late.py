"""Late interaction: the best match of any word of the question, in a space trained for it."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from saccade.heads.files import holds, load_cached
from saccade.heads.scoring import Late
from saccade.importance import Scorer
from saccade.tokens.similarity import cosine, over_words
from saccade.types import Need, Scene


class LateInteraction(Scorer):
    """MaxSim of projections: a token's largest cosine with a word, both projected (ColBERT: Khattab & Zaharia 2020).

    `head` is a folder that `saccade train head` has made; its projections are of tokens after the merger or of features
    before it (then the best of a token's patches counts). Where none is given and the checkpoint brings one, in its
    folder `gaze`, it is that; otherwise both projections are the identity: the plain cosine of `query`, after the
    merger. Words of lower weight count less, as in `query`.
    Cost: 2 E (M C + T M) FLOPs per token of M patches of C values, E = 64 and T words; no pass of a model.
    """

    reads: ClassVar[tuple[Need, ...]] = ("tower", "question")

    head: Annotated[str | None, holds(Late)] = Field(
        None, description="Folder of a trained head; none: the checkpoint's, or plain cosine."
    )

    def raw(self, scene: Scene) -> Tensor:
        if self.head is None:
            return over_words(cosine(scene.tokens, scene.query_tokens), scene.query_weight, "max")
        return load_cached(Late, self.head, scene.tokens.device)(scene)  # type: ignore[no-any-return]
