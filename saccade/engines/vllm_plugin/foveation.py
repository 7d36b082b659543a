"""What a request with pixels may ask for, and the tokens that follow from it. Nothing here needs vLLM.

    mm_processor_kwargs={"saccade": {"ink": True}}
    mm_processor_kwargs={"saccade": {"tokens": 273, "sampler": "hybrid", "scorer": "edges"}}
    mm_processor_kwargs={"saccade": {"tokens": 273, "before": "tower"}}
    mm_processor_kwargs={"saccade": {"ink": True, "print_px": 8}}

vLLM's server takes these from a request only if started with `--trust-request-mm-kwargs`.

With `print_px` an image is first shrunk until its smallest print has that x-height. With `ink` every cell but blank
paper is kept, and what is not kept never enters the vision tower, as with `before`. Otherwise the tower encodes the
whole image, and the choice is among its tokens.

A scorer that needs the pixels alone chooses before the request is scheduled. One that needs what the vision tower made
of them, like a sampler that compares tokens, chooses in the worker. None may need a question: an image is read without.
"""

import json
from collections.abc import Mapping
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError
from torch import Tensor

from saccade import untrusted
from saccade.errors import SaccadeError
from saccade.geometry.ink import ink_cells
from saccade.importance import Mix, Scorer
from saccade.picture import Picture
from saccade.registry import find, load, names, validation_text
from saccade.samplers import Sampler
from saccade.tokens.ranking import normalise
from saccade.types import Encoding, Grid, Need, Query, Scene

KEY = "saccade"  # among the request's mm_processor_kwargs
TOWER = frozenset[Need](("tower", "received"))
"""What a strategy may need that the worker alone has."""
MOST_COMPARED = 1024  # tokens that a sampler which compares them keeps: the engine waits while it picks
MOST_TOK = 2**20
CHOOSING = frozenset({"tokens", "sampler", "scorer", "gaze"})
"""Settings of a choice among tokens."""


class Foveation(BaseModel):
    """How many tokens of each image are kept, and which."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tokens: StrictInt | None = Field(
        None, ge=1, le=MOST_TOK, description="Tokens of each image; an image of fewer keeps them all."
    )
    ink: StrictBool = Field(False, description="Keeps every cell with ink, in place of a number of tokens.")
    print_px: float | None = Field(
        None, ge=1, le=1000, strict=True, description="x-height of its smallest print that an image is shrunk to."
    )
    before: Literal["tower"] | None = Field(None, description="'tower': what is not kept is not encoded either.")
    sampler: str | dict[str, Any] = Field("hybrid", description="Name, or name and settings.")
    scorer: str | list[str | dict[str, Any]] = Field("edges", description="Name or weighted mix of names.")
    gaze: tuple[float, float] | None = Field(None, description="x right, y down in [0, 1]; None: most important token.")

    @classmethod
    def parse(cls, request: object) -> Self:
        """A request's settings, each name and setting checked.

        Raises:
            ValueError: what is wrong, and what may be said instead.
        """
        try:
            if not isinstance(request, Mapping):
                raise ValueError(f'it is {{"ink": true}} or {{"tokens": ..., "sampler": ...}}, not {request!r}')
            foveation = cls.model_validate(request)
            if foveation.gaze is not None and not all(0 <= side <= 1 for side in foveation.gaze):
                raise ValueError(f"gaze {list(foveation.gaze)} is off the picture: x and y are from 0 to 1")
            untrusted.refuse("samplers", foveation.sampler)
            untrusted.refuse_scorers(foveation.scorer)
            foveation.check()
        except ValidationError as error:
            raise ValueError(f"mm_processor_kwargs {KEY!r}: {validation_text(error)}") from None
        except (ValueError, SaccadeError) as error:
            reason = str(error).partition(" A dotted name")[0]  # requests name none
            raise ValueError(f"mm_processor_kwargs {KEY!r}: {reason}") from None
        return foveation

    def check(self) -> None:
        """Raises ValueError: settings that exclude each other, or strategies that are impossible inside vLLM."""
        if self.ink:
            if other := self.model_fields_set & CHOOSING:
                raise ValueError(f"'ink' keeps all cells with ink: leave out {', '.join(sorted(other))}")
            return
        if self.tokens is None:
            if self.print_px is None or (other := self.model_fields_set & {*CHOOSING, "before"}):
                raise ValueError(
                    "say how many 'tokens' of each image are kept, or 'ink': true for all that is not blank, or "
                    "'print_px' alone to shrink it"
                )
            return
        self.parts()
        _check_sampler(self.strategy(), self.tokens)
        if self.before and self.in_worker:
            strategies = f"{self.scorer!r} and {self.sampler!r}"
            raise ValueError(f"before the tower only what reads pixels (edges) can choose, not {strategies}")

    @property
    def sparse(self) -> bool:
        """Whether the tower encodes only what is kept."""
        return self.ink or self.before is not None

    def strategy(self) -> Sampler:
        """The sampler."""
        return load("samplers", self.sampler, Sampler)

    def parts(self) -> list[tuple[float, Scorer]]:
        """Weight, of 1 altogether, and scorer; none where the sampler asks none.

        Raises:
            ValueError, ConfigError: no such scorer or sampler, or one that needs what an image in vLLM does not bring.
        """
        parts = Mix.parse(self.scorer).scorers
        for _, scorer in parts:
            if not usable(scorer.needs):
                raise ValueError(
                    f"scorer {scorer.name()!r} needs a question, and an image is read by vLLM without one. "
                    f"Use {', '.join(usable_scorers())}"
                )
        return [] if self.strategy().blind else parts

    def early(self) -> list[tuple[float, Scorer]]:
        """The parts that need the picture alone."""
        return [part for part in self.parts() if not part[1].needs & TOWER]

    def late(self) -> list[tuple[float, Scorer]]:
        """The parts that need the tower's output."""
        return [part for part in self.parts() if part[1].needs & TOWER]

    @property
    def needs(self) -> frozenset[Need]:
        """What the choice needs of a scene."""
        return self.strategy().needs.union(*(scorer.needs for _, scorer in self.parts()))

    @property
    def in_worker(self) -> bool:
        """Whether the choice needs the tower's output."""
        return self.tokens is not None and bool(self.needs & TOWER)


def usable(needs: frozenset[Need]) -> bool:
    """Whether vLLM can serve these: of the pixels, or of what the tower makes of them, which are in two processes."""
    return needs <= {"pixels"} or needs <= TOWER


def usable_scorers() -> list[str]:
    """The scorers that choose inside vLLM as they are, without further settings."""
    kinds = [find("importance", name, Scorer) for name in names("importance")]
    free = [kind for kind in kinds if not any(field.is_required() for field in kind.model_fields.values())]
    return [kind.name() for kind in free if usable(kind().needs)]


def _check_sampler(sampler: Sampler, tokens: int) -> None:
    """Refuses samplers that make tokens, that need a question, or that would keep the engine waiting."""
    if sampler.merges or not usable(sampler.needs):
        why = "merges tokens" if sampler.merges else "reads the question"
        raise ValueError(
            f"sampler {sampler.name()!r} {why}; inside vLLM tokens are kept as they are, without one. Use it in "
            "`saccade ask`, `batch` or `serve`, or choose another here"
        )
    if sampler.needs and tokens > MOST_COMPARED:
        raise ValueError(f"sampler {sampler.name()!r} keeps at most {MOST_COMPARED} tokens here, not {tokens}")


def weigh(parts: list[tuple[float, Scorer]], scene: Scene) -> Tensor:
    """(1, N) float32: the weighted sum of these scorers."""
    scores = [weight * scorer(scene) for weight, scorer in parts]
    return sum(scores[1:], scores[0]) if scores else torch.zeros(scene.valid.shape, device=scene.valid.device)


def scene_of(picture: Picture, grid: Grid, encoding: Encoding | None = None) -> Scene:
    """A scene of one picture without a question; without an encoding, of the picture alone."""
    nothing = torch.zeros(len(grid), 0)
    bare = Encoding(nothing, nothing.unsqueeze(1), torch.zeros(len(grid)), grid, "", "", 0)
    return Scene.of([(picture, encoding or bare, Query("", torch.zeros(0, 0), torch.zeros(0)))])


def choose(
    foveation: Foveation, picture: Picture, grid: Grid, importance: Tensor, encoding: Encoding | None = None
) -> Tensor:
    """(K,) int64 on the CPU, raster order: the tokens kept, by importance (1, N) of any scale. K = min(tokens, N), or
    as many as hold ink; all of them where nothing is left out.

    A sampler that compares tokens needs the encoding, and compares them where they are.
    """
    if foveation.ink:
        return ink_cells(picture.rgb, grid)
    if foveation.tokens is None or foveation.tokens >= len(grid):
        return torch.arange(len(grid))
    sampler = foveation.strategy()
    scene = scene_of(picture, grid, encoding if sampler.needs else None)
    importance = normalise(importance.to(scene.present.device), scene.present)
    gaze = torch.tensor([foveation.gaze or (0.5, 0.5)])
    if foveation.gaze is None and not sampler.blind:
        gaze = grid.centre_uv[int(importance[0].argmax())].unsqueeze(0)
    return sampler(scene, importance, gaze.to(importance.device), foveation.tokens)[0].index.cpu()


def pack(foveation: Foveation, sha256: str) -> Tensor:
    """(bytes,) uint8: what the worker needs to choose by itself."""
    return torch.frombuffer(bytearray(json.dumps([foveation.model_dump(), sha256]).encode()), dtype=torch.uint8)


def unpack(plan: Tensor) -> tuple[Foveation, Picture]:
    """Back from `pack` (bytes,). The picture knows its hash, not its pixels."""
    fields, sha256 = json.loads(bytes(plan.tolist()))
    picture = Picture(_gone)
    picture.__dict__["sha256"] = sha256  # where cached_property keeps it
    return Foveation(**fields), picture


def _gone() -> bytes:
    raise AssertionError("the pixels stayed with the process that decoded them")
