"""What an episode starts from: a picture's glimpse or view, encoded, and its questions, embedded.

With a glimpse, the view itself is encoded only when a question first looks: one that is sure of the glimpse pays for
nothing more.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, Self

from saccade.clock import stage
from saccade.config import Episode
from saccade.engines import Encoder
from saccade.errors import ConfigError, SaccadeError
from saccade.geometry.grid import coarse_on
from saccade.geometry.ink import ink_cells
from saccade.geometry.levels import coarser_tok, stack
from saccade.geometry.print_size import legible_tok
from saccade.geometry.tiles import GLOBAL_TOK, TILES_TOK, tiles, together
from saccade.heads.files import load_cached
from saccade.heads.pyramid import LearnedPyramid
from saccade.lazy import Lazy
from saccade.picture import Picture, resized
from saccade.queries import embed_questions
from saccade.types import Encoding, Grid, Query, Question

if TYPE_CHECKING:
    from saccade.families import Prepared  # which imports transformers


Put = Literal["whole", "again"]
"""What may be encoded later: the view itself where there is a glimpse, and the page at another size."""
PUT_OFF: tuple[Put, ...] = ("whole", "again")


@dataclass(frozen=True, slots=True)
class Deferred:
    """An encoding that is made when a question first needs it."""

    encode: Callable[[], Encoding] | None  # None: another process makes it, and gives it to `Seen.receive`
    grid: Grid | None = None  # where its tokens will stand; None: known when it is made


@dataclass(slots=True)
class Seen:
    """One image as an episode starts from it: encoded once for all its questions, at once or when one asks for it."""

    picture: Picture
    whole: Encoding | Deferred
    glimpse: Encoding | None
    asked: tuple[tuple[Question, Query | SaccadeError], ...]
    full_patches: int  # encoder patches of one full pass, to compare with
    seconds: float
    size_px: tuple[int, int]  # (width, height) of the picture as displayed; kept so that nobody opens it again
    gaze: str | None = None  # folder of the checkpoint's own head of the scorer `late`
    lazy: Lazy | None = None  # encodes while looks ask for it; `encoding` is then what stands in for the rest
    print_px: float = 0.0  # x-height that its smallest print was shrunk to; 0: it was not shrunk to its print
    again: Encoding | Deferred | None = None  # the page at another size, for questions that stay unsure
    question_parts: str = "together"  # how the checkpoint reads a question for several things
    billed_patches: int = 0  # of encoder_patches, those that a question has been charged for
    billed_s: float = 0.0

    @property
    def encoding(self) -> Encoding:
        """All tokens that looks may choose from; made now if it was deferred."""
        return self.encode("whole")

    def encode(self, what: Put) -> Encoding:
        """The encoding; made now if it was put off and nobody has asked for it yet."""
        deferred = getattr(self, what)
        if isinstance(deferred, Deferred):
            assert deferred.encode is not None, "made elsewhere"
            started = time.perf_counter()
            encoding = deferred.encode()
            self.receive(what, encoding, time.perf_counter() - started)
        encoded = getattr(self, what)
        assert isinstance(encoded, Encoding)
        return encoded

    def deferred(self, what: Put) -> bool:
        """Whether it has still to be made."""
        return isinstance(getattr(self, what), Deferred)

    def receive(self, what: Put, encoding: Encoding, seconds: float) -> None:
        """Stores an encoding that was put off, and adds what it cost; ignored where there is one already."""
        if self.deferred(what):
            setattr(self, what, encoding)
            self.seconds += seconds

    def elsewhere(self) -> Self:
        """A copy without the picture for another process, which asks this one for what was put off."""
        put_off = {what: Deferred(None, getattr(self, what).grid) for what in PUT_OFF if self.deferred(what)}
        return replace(self, picture=None, **put_off)  # type: ignore[arg-type]

    @property
    def grid(self) -> Grid:
        """Where the tokens of `encoding` stand, whether it has been made or not."""
        assert self.whole.grid is not None
        return self.whole.grid

    @property
    def encoder_patches(self) -> int:
        """Encoder patches computed for this image so far."""
        encodings = (self.whole, self.glimpse, self.again)
        return sum(each.num_patches for each in encodings if isinstance(each, Encoding))

    def bill(self) -> tuple[int, float]:
        """Encoder patches and seconds since the last bill."""
        due = self.encoder_patches - self.billed_patches, self.seconds - self.billed_s
        self.billed_patches, self.billed_s = self.encoder_patches, self.seconds
        return due if self.lazy is None else self.lazy.bill(*due)


def see(settings: Episode, encoder: Encoder, picture: Picture, questions: Sequence[Question]) -> Seen:
    """Encodes what an episode starts from, the glimpse or, without one, the view; and embeds the questions.

    With a glimpse the view itself is encoded when a question first looks.

    Raises:
        PictureError: the picture cannot be used.
        ConfigError: this model does not encode as the settings ask.
    """
    started = time.perf_counter()
    view = partial(_prepared, settings, encoder, picture)
    most_tok, print_px = _most_tok(settings, encoder, picture)
    views = [view(most_tok)]
    if settings.view == "foveate":
        sizes = coarser_tok(views[0].grid, settings.levels)
        views += [view(size, (level, views[0].grid)) for level, size in enumerate(sizes, start=1)]
    glimpse_tok = settings.glimpse if most_tok is None else min(settings.glimpse, max(1, most_tok // 2))
    glimpsed = view(glimpse_tok) if settings.glimpse and settings.view == "foveate" else None
    lazy = Lazy.start(encoder, picture, views[0], glimpse_tok) if settings.encoder == "lazy" else None
    whole: Encoding | Deferred
    if lazy is not None:
        whole, glimpse = lazy.encodings[0], lazy.encodings[1] if glimpsed is not None else None
    else:
        glimpse = encoder.encode([glimpsed])[0] if glimpsed is not None else None

        def encode() -> Encoding:
            if settings.view == "gundam":
                return _tiled(encoder, views[0], view(GLOBAL_TOK))
            return stack([encoder.encode([each])[0] for each in views])

        whole = Deferred(encode, views[0].grid)
        known = len(views) == 1 and encoder.family.reduction is None  # how many tokens there will be
        if glimpse is None or not known or settings.listens is not None:
            whole = encode()
    grid = whole.grid
    assert grid is not None
    if glimpse is not None:
        glimpse = replace(glimpse, grid=coarse_on(glimpse.grid, grid))
    queries = embed_questions(encoder, questions, settings.listens, grid, glimpse, "boxes" in settings.needs)
    listened_s = sum(query.heard.seconds for _, query in queries if isinstance(query, Query) and query.heard)
    seconds = time.perf_counter() - started - listened_s  # charged to the question that asked for it
    full_patches = views[0].whole_patches if most_tok is None else encoder.family.whole_patches(picture)
    size = picture.size_px
    again = _again(settings, encoder, picture, most_tok)
    return Seen(
        picture,
        whole,
        glimpse,
        queries,
        full_patches,
        seconds,
        size,
        gaze=encoder.family.gaze,
        lazy=lazy,
        print_px=print_px,
        again=again,
        question_parts=encoder.family.question_parts,
    )


def _again(settings: Episode, encoder: Encoder, picture: Picture, most_tok: int | None) -> Deferred | None:
    """The page at another size, its ink alone where the tower can; None where it would be the same page again."""
    if not settings.reread:
        return None
    whole_tok = len(encoder.family.whole_grid(picture))
    shown_tok = min(most_tok or whole_tok, whole_tok)
    again_tok = int(shown_tok * settings.reread**2)
    same = min(again_tok, whole_tok) == shown_tok
    if same and settings.view != "foveate":
        return None
    max_tok = max(1, again_tok) if again_tok < whole_tok else None

    def encode() -> Encoding:
        view = encoder.prepare(picture, max_tok)
        if settings.view != "full" and _takes_some(encoder):
            view = _inked(settings, encoder, picture, view)
        return encoder.encode([view])[0]

    return Deferred(encode)


def _most_tok(settings: Episode, encoder: Encoder, picture: Picture) -> tuple[int | None, float]:
    """Tokens that the picture is shrunk to (None: shown as it is), and the x-height in px that decided it (0: none)."""
    fixed = {"resize": settings.whole_budget_tok, "gundam": TILES_TOK}
    if settings.view in fixed:
        return fixed[settings.view], 0.0
    print_px = settings.print_px
    if print_px is None and settings.view == "ink":
        print_px = encoder.family.print_px
    if not print_px:
        return None, 0.0
    pixels = Picture.open(picture, limit_px=encoder.family.limit_px).rgb  # as the tower has them
    tokens = legible_tok(pixels, encoder.family.whole_grid(picture), print_px)
    return tokens, 0.0 if tokens is None else print_px


def _tiled(encoder: Encoder, page: "Prepared", small: "Prepared") -> Encoding:
    """Each tile of a page encoded by itself, and the whole page small beside them; a page that small is one view.

    Raises:
        ConfigError: this model's tower encodes whole pictures only.
    """
    if not encoder.family.takes_cells or encoder.family.reduction is not None:
        name = type(encoder.family).__name__
        raise ConfigError(f"this vision tower of {name} takes whole pictures only: another --sampler than gundam")
    if len(small.grid) >= len(page.grid):
        return encoder.encode([page])[0]
    cells = tiles(page.grid)
    tiled = together([encoder.encode([page.some(each, "tile")])[0] for each in cells], cells, page.grid)
    return stack([tiled, encoder.encode([small])[0]])


@stage("pyramid")
def _prepared(
    settings: Episode,
    encoder: Encoder,
    picture: Picture,
    max_tok: int | None = None,
    coarser: tuple[int, Grid] | None = None,
) -> "Prepared":
    """A view of a picture as the settings want it encoded; `coarser`: which level of a pyramid, and its finest grid.

    Raises:
        ConfigError: this model's tower cannot encode like that.
    """
    # By the family: of what it has seen before, an encoder may keep no pixels, and mixed sizes are made from them.
    view = (encoder.family if settings.encoder == "mixed" else encoder).prepare(picture, max_tok)
    if coarser is not None and settings.pyramid is not None:
        view = _filtered(settings.pyramid, encoder, picture, view, *coarser)
    if settings.encoder == "ink" and not encoder.family.takes_cells:
        name = type(encoder.family).__name__
        raise ConfigError(f"the vision tower of {name} takes whole pictures only: --encoder full")
    if settings.encoder == "mixed":
        view = encoder.family.mixed(picture, view, settings.plain)
    elif settings.encoder == "ink" or (settings.view == "ink" and _takes_some(encoder)):
        view = _inked(settings, encoder, picture, view)
    return replace(view, received="received" in settings.needs)


def _filtered(
    pyramid: str, encoder: Encoder, picture: Picture, view: "Prepared", level: int, finest: Grid
) -> "Prepared":
    """A coarser view whose pixels a trained pyramid makes from the finest one, in place of resized ones."""
    filters = load_cached(LearnedPyramid, pyramid)
    pixels = Picture.open(picture, limit_px=encoder.family.limit_px).rgb
    filtered = filters.picture(resized(pixels, finest.width_px, finest.height_px), level)
    filtered = resized(filtered, view.grid.width_px, view.grid.height_px)  # a level's sides are whole tokens
    # By the family: an encoder may keep what it prepares, and this is no view of the page itself.
    prepared = encoder.family.prepare(Picture.open(filtered), len(view.grid))
    name = f"{view.view}|pyramid-{filters.fingerprint}"
    return replace(prepared, picture_hash=view.picture_hash, view=name)


def _takes_some(encoder: Encoder) -> bool:
    """Whether the tower can leave out single cells: a view of the ink leaves out blank ones only where it can."""
    return encoder.family.takes_cells and encoder.family.reduction is None


def _inked(settings: Episode, encoder: Encoder, picture: Picture, view: "Prepared") -> "Prepared":
    """The view without blank cells."""
    pixels = Picture.open(picture, limit_px=encoder.family.limit_px).rgb  # as the tower has them
    inked = ink_cells(pixels, view.grid, settings.ink_tolerance)
    return view if len(inked) == len(view.grid) else view.some(inked, "ink")
