"""The settings of an episode: everything that decides what is looked at and when looking stops."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from saccade.budgets import Budget, of_tokens
from saccade.engines import EngineSpec
from saccade.errors import ConfigError
from saccade.geometry.ink import TOLERANCE
from saccade.geometry.levels import MAX_LEVELS
from saccade.heads.files import holds, load_cached
from saccade.heads.pyramid import LearnedPyramid
from saccade.importance import Listener, Mix
from saccade.integration import Integrator
from saccade.planners import Planner
from saccade.registry import load
from saccade.samplers import Sampler
from saccade.settings import Option, Settings, Short, option_of
from saccade.types import Need
from saccade.wording import counted

VIEWS = {
    "ink": "All tokens but those of blank cells, where the vision tower can leave them out.",
    "full": "All tokens.",
    "resize": "All of the image, resized to the whole budget.",
    "gundam": "Tiles of the image, and the whole image small beside them.",
}
"""Accepted where a sampler is named, and what each shows."""

SIZED = ("resize", "gundam")
"""Views that have a size of their own, whatever the print."""

LOOKS = "hybrid"
"""The sampler of an episode that is given a setting of looks (`LOOKING`), and no sampler."""

EFFORTS: dict[str, dict[str, Any]] = {
    "low": {"print_px": 7.0},
    "medium": {},
    "high": {"reread": 1.5, "stop_at": 0.9},
}
"""Settings that an effort stands for; one that is given explicitly wins."""

Spec = str | dict[str, Any]
FIXED: dict[str, Any] = {"name": "fixed", "tokens": 273}
"""The budget where none is given."""
RARELY = Option(panel="How it looks, rarely changed")
OF_LOOKS = Option(of_looks=True)
HIDDEN = Option(hidden=True)  # from the help, not from files and --set


class Episode(Settings):
    """How one image is looked at. Checked as a whole when it is built: a typo fails before anything is loaded."""

    panel = "How it looks"

    effort: Literal["low", "medium", "high"] = Field(
        "medium",
        description="low: ink of a small page; medium: at its best size; high: once more and larger where unsure.",
    )
    sampler: Annotated[Spec, Option(names="samplers")] = Field(
        "ink",
        description="ink (no blank cells), full, resize, gundam (tiles), or how looks choose (`saccade list "
        f"samplers`); {LOOKS} where a setting of looks is given.",
    )
    scorer: Annotated[str | tuple[Spec, ...], OF_LOOKS] = Field(
        "query:0.3,edges:0.7", description="NAME[:weight],...: what is worth looking at (`saccade list importance`)."
    )
    planner: Annotated[Spec, Option(names="planners", of_looks=True)] = Field(
        "query", description="Where to look next (`saccade list planners`)."
    )
    budget: Annotated[
        Spec,
        Option(
            names="budgets",
            hidden=True,
            of_looks=True,
            shorts=(
                Short(
                    name="tokens",
                    of="fixed",
                    takes=str,
                    metavar="N|MODE",
                    help="Visual tokens per fixation: a number, tiny (73), small (111), base (273), large (421), or "
                    "auto: more for a complex picture.",
                ),
            ),
        ),
    ] = Field(FIXED, description="Visual tokens per fixation, by a budget.")
    fixations: Annotated[int, Option(of_looks=True, idle=1)] = Field(
        3, ge=0, le=64, description="Looks per question, at most."
    )
    stop_at: float = Field(0.7, ge=0, description="Confidence at which looking stops; above 1: never.")
    glimpse: Annotated[int, replace(RARELY, of_looks=True, idle=0)] = Field(
        0, ge=0, description="Coarse tokens of the whole image, read before any look; a sure answer ends it there."
    )
    rest: Annotated[Literal["none", "all"], replace(RARELY, of_looks=True, idle="none")] = Field(
        "none", description="all: a question that is unsure after its looks is shown all the rest."
    )
    reread: Annotated[float, RARELY] = Field(
        0.0,
        ge=0,
        le=4,
        description="Where unsure, the page again, this many times as large; the surer answer counts; 0: never.",
    )
    fovea: Annotated[float, replace(RARELY, of_looks=True, idle=0.0)] = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="Each look chooses among this many times its tokens, the nearest to its gaze; 0: all.",
    )
    print_px: float | None = Field(  # None: ink as large as the checkpoint reads best, all else as it is
        None,
        ge=0,
        allow_inf_nan=False,
        description="Shrink the page until its smallest print has this x-height, in px; 0: never; "
        "not given: with sampler ink what the model reads best, else 0.",
    )
    levels: Annotated[int, replace(RARELY, of_looks=True, idle=1)] = Field(
        1, ge=1, le=MAX_LEVELS, description="Sizes the image is encoded at: 1, 1/2, 1/4, 1/8."
    )
    pyramid: Annotated[str | None, holds(LearnedPyramid), HIDDEN] = Field(
        None, description="Folder of trained filters that make the coarser levels; None: they are resized."
    )
    encoder: Annotated[Literal["full", "ink", "lazy", "mixed"], RARELY] = Field(
        "full",
        description="What is encoded: all, all but blank cells, windows looked at, or plain parts coarsely.",
    )
    plain: Annotated[float, HIDDEN] = Field(
        0.1, ge=0, le=0.5, description="--encoder mixed: complexity below which 2 x 2 or 4 x 4 cells are one token."
    )
    ink_tolerance: Annotated[float, HIDDEN] = Field(
        TOLERANCE, ge=0, le=255, description="Grey levels that a blank cell may span; more: fewer cells hold ink."
    )
    canvas: Annotated[Literal["private", "shared"], replace(RARELY, of_looks=True, idle="private")] = Field(
        "private", description="private: one canvas per question; shared: one per image."
    )
    canvas_cap: Annotated[int, HIDDEN] = Field(1638, ge=1, description="Visual tokens on a shared canvas, at most.")
    question_parts: Annotated[Literal["auto", "together", "apart"], HIDDEN] = Field(
        "auto",
        description="apart: what a question for several things asks for is looked at and read one by one; auto: "
        "questions joined by `and` are, where the model reads better so.",
    )
    integrate: Annotated[Spec, Option(panel=RARELY.panel, names="integration")] = Field(
        "canvas", description="How the answers of all looks become one (`saccade list integration`)."
    )

    @model_validator(mode="before")
    @classmethod
    def _look(cls, given: Any) -> Any:
        """Adds what the effort and `tokens` stand for, and a sampler where settings of looks ask for one."""
        if not isinstance(given, dict):
            return given
        if "tokens" in given:
            given = {**given, "budget": of_tokens(given["tokens"], given.get("budget", FIXED))}
            del given["tokens"]
        given = {**_stood_for(given.get("effort", "medium"), given.get("sampler")), **given}
        return {"sampler": LOOKS, **given} if _looks(given) else given

    @model_validator(mode="after")
    def _build(self) -> Self:
        self.strategies  # noqa: B018  built once here, so that every name and setting has been checked
        if self.view in VIEWS and isinstance(self.sampler, dict) and (extra := self.sampler.keys() - {"name"}):
            raise ConfigError(
                f"--sampler {self.view} is a view, without settings: leave out {', '.join(sorted(extra))}"
            )
        if self.canvas == "shared" and self.glimpse >= self.canvas_cap:
            raise ConfigError(
                f"a glimpse of {counted(self.glimpse, 'token')} leaves nothing of a canvas capped at {self.canvas_cap}"
            )
        sampler = self.strategies.sampler
        if self.encoder == "lazy" and (sampler is None or sampler.blind or self.levels > 1):
            what = f"the sampler {self.view if sampler is None else sampler.name()!r}" if self.levels == 1 else "levels"
            raise ConfigError(
                f"--encoder lazy encodes the windows that a gaze falls on, and {what} needs the whole image: "
                "give another sampler and --levels 1, or --encoder full"
            )
        if self.encoder == "mixed" and self.levels > 1:
            raise ConfigError("--encoder mixed has levels of its own, large patches where a page is plain: --levels 1")
        if self.view == "gundam" and self.encoder != "full":
            raise ConfigError(
                f"--sampler gundam encodes whole tiles, --encoder {self.encoder} single cells or windows: leave one out"
            )
        if self.print_px and self.view in SIZED:
            raise ConfigError(
                f"--print-px {self.print_px:g} shrinks a page until its print is so high, and the sampler "
                f"{self.view!r} to a size of its own: leave one out"
            )
        if self.pyramid and self.levels > (known := load_cached(LearnedPyramid, self.pyramid).levels):
            raise ConfigError(
                f"the pyramid in {self.pyramid} has {counted(known, 'level')}, and --levels is {self.levels}"
            )
        if self.fixations == 0 and not (self.glimpse and self.view == "foveate"):
            raise ConfigError("fixations = 0 leaves nothing to read: give --glimpse K, or at least one look")
        if self.listens is not None and not self.glimpse:
            raise ConfigError(
                f"the scorer {self.listens.name()!r} reads the language model's attention on a glimpse, and there is "
                "none: give --glimpse K, a few dozen tokens"
            )
        return self

    def with_settings(self, **settings: Any) -> Self:
        """A copy with some settings changed, validated like the original.

        A setting of looks turns the view `ink` into looks; an effort replaces everything that efforts set, and another
        sampler what an effort set because of the one before.
        """
        kept = self.model_dump()
        if "effort" in settings:
            stood_for = set().union(*EFFORTS.values())
            kept = {name: value for name, value in kept.items() if name not in stood_for}
        elif "sampler" in settings and self.print_px == _stood_for(self.effort, self.sampler).get("print_px"):
            del kept["print_px"]
        if self.view == "ink" and "sampler" not in settings and _looks(settings):
            kept.pop("sampler", None)
        return type(self)(**{**kept, **settings})

    @cached_property
    def strategies(self) -> "Strategies":
        """The strategies that the settings name."""
        return Strategies(self)

    @property
    def listens(self) -> Listener | None:
        """The scorer that needs the language model's attention before the first look, if one is used."""
        sampler = self.strategies.sampler
        return None if sampler is None or sampler.blind else self.strategies.score.listener

    def with_gaze(self, head: str | None) -> Self:
        """A copy in which a scorer `late` without a head gets the checkpoint's own, the folder `head`."""
        parts = self.strategies.score.parts
        bare = [spec["name"] == "late" and spec["head"] is None for _, spec in parts]
        if head is None or not any(bare):
            return self
        scorer = [
            {**spec, **({"head": head} if own else {}), "weight": weight}
            for (weight, spec), own in zip(parts, bare, strict=True)
        ]
        return self.with_settings(scorer=tuple(scorer))

    def check_engine(self, engine: EngineSpec | None, together: bool = True) -> None:
        """Refuses an engine that cannot do what these settings need.

        `together`: it encodes and reads in one process; otherwise the engine does not matter and may be None.

        Raises:
            ConfigError: a scorer needs attention, and this engine or this way of running it gives none.
        """
        given = engine if together else None
        if self.encoder == "lazy" and not (given and given.windows):
            raise ConfigError(
                "--encoder lazy encodes while it looks, which needs encoder and planner in one process: "
                "ask, batch --in-process, experiment and saccade.load"
            )
        if self.listens is not None and not (given and given.attention):
            raise ConfigError(
                f"the scorer {self.listens.name()!r} needs the language model's attention before the first look: "
                "only the engine hf gives it, where it encodes and reads in one process (ask, batch "
                "--in-process, experiment, saccade.load)"
            )

    @property
    def needs(self) -> frozenset[Need]:
        """What its strategies read of an image, besides the tokens' places and importance."""
        sampler = self.strategies.sampler
        if sampler is None or sampler.blind:
            return frozenset()
        return self.strategies.score.needs | sampler.needs | frozenset(self.strategies.planner.reads)

    @property
    def view(self) -> str:
        """ink, full, resize, gundam, or foveate (a sampler chooses tokens of the full view)."""
        name = _name(self.sampler)
        return name if name in VIEWS else "foveate"

    @property
    def shared(self) -> bool:
        """Whether all questions of an image look on one canvas. A view is the same for all of them anyway."""
        return self.canvas == "shared" and self.view == "foveate"

    @property
    def whole_budget_tok(self) -> int:
        """Visual tokens that all fixations of one question may use together."""
        return self.fixations * self.strategies.budget.most_tok


def _stood_for(effort: Any, sampler: Any) -> dict[str, Any]:
    """What an effort sets beside a sampler: a view with a size of its own is not shrunk to its print."""
    values = EFFORTS.get(effort, {}) if isinstance(effort, str) else {}
    return {name: value for name, value in values.items() if name != "print_px" or _name(sampler) not in SIZED}


def _name(spec: Any) -> str:
    """The name in a strategy's specification."""
    return str(spec.get("name", "")) if isinstance(spec, dict) else str(spec)


def _looks(given: dict[str, Any]) -> bool:
    """Whether some settings are those of looks."""
    return given.get("encoder") == "lazy" or bool((LOOKING | {"tokens"}) & given.keys())


LOOKING = frozenset(name for name, field in Episode.model_fields.items() if option_of(field.metadata).of_looks)
"""Settings of looks: given one of them and no sampler, an episode looks."""


IDLE: dict[str, Any] = {
    name: option.idle
    for field in sorted(LOOKING)
    for option in [option_of(Episode.model_fields[field].metadata)]
    for name in ([] if option.hidden else [field]) + [short.name for short in option.shorts]
}
"""Options of looks, each with the value that says that there are none."""
AIMED = frozenset({"scorer", "planner", "fovea"})
"""Options of looks that a blind sampler does not read."""


def refuse_idle(given: Mapping[str, Any], episode: Episode) -> None:
    """Refuses settings that somebody has named and that change nothing beside the others.

    `given`: names and values as on the command line. Not those of a run's record, which holds every setting.

    Raises:
        ConfigError: there are some; the message names them.
    """
    if given.get("encoder") == "full" and episode.view == "ink":
        raise ConfigError(
            "--encoder full would change nothing: the view ink, the default, encodes what it shows, all but blank "
            "paper. Give --sampler full to encode and show the whole page, or leave --encoder out"
        )
    known = {**IDLE, "budget": None}
    named = [name for name in known if name in given and given[name] != known[name]]
    sampler = episode.strategies.sampler
    if sampler is not None:
        unread = [name for name in named if name in AIMED] if sampler.blind else []
        why = "chooses by neither gaze nor importance"
    else:
        sized = ("tokens", "budget", "fixations") if episode.view == "resize" else ()
        unread, why = [name for name in named if name not in sized], "shows the whole page at once"
    if unread:
        raise ConfigError(
            f"--sampler {_name(episode.sampler)} {why}, so {' and '.join(f'--{name}' for name in unread)} would change "
            "nothing: leave one out, or name a sampler that looks (`saccade list samplers`)"
        )
    for name, idle, wants in (
        ("pyramid", episode.levels == 1, "--levels 2 or more"),
        ("plain", episode.encoder != "mixed", "--encoder mixed"),
        ("canvas_cap", not episode.shared, "--canvas shared"),
    ):
        if idle and name in given and given[name] != Episode.model_fields[name].default:
            raise ConfigError(f"{name} = {given[name]!r} would change nothing: give {wants}, or leave it out")


class Strategies:
    """The loaded strategies of an episode."""

    def __init__(self, episode: Episode) -> None:
        self.sampler = load("samplers", episode.sampler, Sampler, VIEWS) if episode.view == "foveate" else None
        self.score = Mix.parse(episode.scorer)
        self.planner = load("planners", episode.planner, Planner)
        self.budget = load("budgets", episode.budget, Budget)
        self.integrate = load("integration", episode.integrate, Integrator)
