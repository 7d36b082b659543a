"""What an episode starts from: one image encoded once, for all its questions."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from saccade.config import Episode
from saccade.engines import Encoder
from saccade.engines._lazy import Lazy
from saccade.engines._listening import asked
from saccade.errors import SaccadeError
from saccade.geometry.grid import coarse_on
from saccade.geometry.levels import coarser_tok, stack
from saccade.picture import Picture
from saccade.types import Encoding, Query, Question


@dataclass(frozen=True, slots=True)
class Seen:
    """One image as an episode starts from it: encoded once, for all its questions."""

    picture: Picture
    encoding: Encoding
    glimpse: Encoding | None
    asked: tuple[tuple[Question, Query | SaccadeError], ...]
    full_patches: int  # encoder patches of one full pass, to compare with
    seconds: float
    lazy: Lazy | None = None  # makes the encoding while looks ask for it; `encoding` is then what stood in for it

    @property
    def encoder_patches(self) -> int:
        """Encoder patches paid for this image."""
        return self.encoding.num_patches + (self.glimpse.num_patches if self.glimpse is not None else 0)


def see(settings: Episode, encoder: Encoder, picture: Picture, questions: Sequence[Question]) -> Seen:
    """Encodes what an episode needs: the full view at all its levels, or the resized one, the glimpse, the questions.

    Raises:
        PictureError: the picture cannot be used.
    """
    started = time.perf_counter()
    resize = settings.view == "resize"
    views = [encoder.prepare(picture, settings.whole_budget_tok if resize else None)]
    if settings.view == "foveate":
        views += [encoder.prepare(picture, size) for size in coarser_tok(views[0].grid, settings.levels)]
    num_levels = len(views)
    if settings.glimpse and settings.view == "foveate":
        views.append(encoder.prepare(picture, settings.glimpse))
    lazy = Lazy.start(encoder, picture, views[0], settings.glimpse) if settings.encoder == "lazy" else None
    encodings = [encoder.encode([view])[0] for view in views] if lazy is None else lazy.encodings
    whole, glimpse = stack(encodings[:num_levels]), None
    if len(encodings) > num_levels:
        glimpse = replace(encodings[-1], grid=coarse_on(encodings[-1].grid, whole.grid))
    queries = asked(encoder, questions, settings.listens, whole, glimpse)
    listened_s = sum(query.heard.seconds for _, query in queries if isinstance(query, Query) and query.heard)
    seconds = time.perf_counter() - started - listened_s  # charged to the question that asked for it
    # A resized page is compared with the full one; cutting that up to count its patches is not part of its cost.
    full = encoder.prepare(picture) if resize else views[0]
    return Seen(picture, whole, glimpse, queries, full.patches.shape[0], seconds, lazy)
