"""`saccade show`: pictures of a run, an image or an experiment. One file of `saccade/viz/pictures/` per picture.

A run's trace is drawn from the stored row alone. Pictures that need the tokens encode the page again, with the run's
model and settings; an image is looked at with the bundled model.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.runs import stored
from pipelines.runs.files import picture_path
from saccade.config import Episode
from saccade.decoding.pages import one_page
from saccade.engines import choose_engine
from saccade.episode import Seen, episodes, run, see
from saccade.errors import ConfigError, SaccadeError
from saccade.picture import Picture, naming
from saccade.registry import load, names
from saccade.types import Question, Sample, Scene, Trace
from saccade.viz.curves import Curve, of_looks, of_results
from saccade.viz.pictures import Drawing
from saccade.viz.sheet import save
from saccade.viz.subject import Subject
from saccade.viz.view import TraceView
from saccade.wording import meant

PICTURES = "viz.pictures"  # the folder, as the registry names it
MOST_NAME_BYTES = 180
"""Of an id in a file's name, which with its ending may have 255."""

UNASKED = "What is this?"  # for pictures that do not depend on the question


def show(
    target: Path,
    what: str,
    output: Path | None,
    *,
    question_id: str | None = None,
    variant: str | None = None,
    question: str | None = None,
    pages: str | None = None,
    scorer: str | None = None,
    model: str = "nano",
) -> Path:
    """Draws one picture and returns the path of the PNG. Given an id or a variant, of one answer of an experiment.

    Raises:
        ConfigError: no such picture, nothing to draw it from, or an option that does not fit the target.
        DataError: the question ended in an error, or its image cannot be read any more.
    """
    name = what.replace("-", "_")
    if "." not in name and name not in names(PICTURES):
        pictures = [each.replace("_", "-") for each in names(PICTURES)]
        raise ConfigError(f"no picture {what!r}. {meant(what, pictures)}There are: {', '.join(pictures)}")
    drawing = load(PICTURES, name, Drawing)
    if output is not None:
        picture_path(output)
    results = stored.results_file(target)
    other_model = None if model == "nano" else model
    of_one_answer = target.is_dir() and (question_id is not None or variant is not None)
    if results and not of_one_answer:
        of_answers = {"id": question_id, "variant": variant, "question": question, "pages": pages, "scorer": scorer}
        _only(target, "an experiment", **of_answers, model=other_model)
        subject: Subject = OfExperiment(target, results)
        default = results.parent / f"{name}.png"
    elif target.is_dir():
        _only(target, "a run", question=question, pages=pages, model=other_model)
        _shows_importance(scorer, what, "." in name or (drawing.asks and name != "trace"))
        subject = OfRun(target, question_id, scorer, variant)
        suffix = f"-{file_name(variant)}" if variant else ""
        suffix += "" if name == "trace" else f"-{name}"
        default = target / "show" / f"{file_name(subject.row['id'])}{suffix}.png"
        if name == "rate_distortion":
            default = target / "show" / f"{name}.png"
    else:
        _only(target, "an image", id=question_id, variant=variant)
        if drawing.asks and not (question or "").strip():
            raise ConfigError(f"--what {what} depends on what is asked: give --question 'What is the total?'")
        _shows_importance(scorer, what, "." in name or drawing.asks)
        page = one_page(pages)
        subject = OfImage(target, question or UNASKED, scorer, model, page)
        default = Path(f"{file_name(target.stem)}{'' if page is None else f'-page{page}'}-{name}.png")
    with naming(subject.row["image_id"] if isinstance(subject, OfRun) else target):
        return save(drawing(subject), output or default)


def _only(target: Path, kind: str, **options: str | None) -> None:
    """Raises ConfigError for options that have no effect on a target of this kind."""
    if given := [f"--{key}" for key, value in options.items() if value is not None]:
        raise ConfigError(f"{target} is {kind}, which does not go with {' and '.join(given)}")


def _shows_importance(scorer: str | None, what: str, shown: bool) -> None:
    """Raises ConfigError for scorers that the picture does not show: a stored trace has those it was looked with."""
    if scorer is not None and not shown:
        raise ConfigError(f"--what {what} draws no importance here, so --scorer would change nothing: leave it out")


def file_name(text: str) -> str:
    """A text as a file name; a long one is cut and ends in a hash of the whole."""
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)
    if len(name.encode()) <= MOST_NAME_BYTES:
        return name
    return f"{name.encode()[:MOST_NAME_BYTES].decode(errors='ignore')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


class OfExperiment(Subject):
    """Scores and tokens of every variant; no pixels."""

    instead = ". Draw --what rate-distortion of it, or one of its answers: --id QUESTION --variant WAY"

    def __init__(self, target: Path, results: Path) -> None:
        super().__init__(Episode())
        self.has = f"the experiment {target}"
        self.results = stored.results(results)

    @property
    def curves(self) -> tuple[Curve, ...]:
        """One curve per family of variants."""
        return of_results(self.results)


class OfRun(Subject):
    """One question of a run: its stored row, its page, and the page's encoding by the run's model."""

    def __init__(
        self, folder: Path, question_id: str | None, scorer: str | None = None, variant: str | None = None
    ) -> None:
        self.folder, self.row = folder, stored.row(folder, question_id, variant)
        self.run = stored.settings(folder)
        looked = (self.run.get("variants") or {}).get(self.row["variant"]) or self.run.get("episode") or {}
        super().__init__(_scored_by(looked, scorer))
        self.has = f"the run {folder}"

    @cached_property
    def sample(self) -> Sample:
        """The image with all its questions, from the run's data set."""
        return stored.sample(self.folder, self.run, self.row["image_id"])

    @property
    def picture(self) -> Picture:
        """The page, opened again from the data set."""
        return self.sample.picture

    @property
    def asked(self) -> Question:
        """The row's question, with its boxes."""
        return next(question for question in self.sample.questions if question.id == self.row["id"])

    @property
    def boxes_uv(self) -> tuple[tuple[float, float, float, float], ...]:  # type: ignore[override]
        """The answer boxes (x0, y0, x1, y1) in uv."""
        return self.asked.answer_boxes_uv

    @cached_property
    def view(self) -> TraceView:
        """The trace that the run stored."""
        return TraceView.from_row(self.row)

    @cached_property
    def scene(self) -> Scene:
        """The page as the run's model encodes it, in this process."""
        spec = choose_engine({**self.run.get("engine", {}), "device": "auto", "max_px": self.run.get("max_px")})
        self.settings.check_engine(spec)
        with spec.open() if self.settings.listens else spec.open_encoder() as encoder:
            whole = self.settings.with_settings(encoder="full")  # windows that no look asked for are shown too
            return scene_of(see(whole, encoder, self.picture, [self.asked]))

    @property
    def curves(self) -> tuple[Curve, ...]:
        """The run's one curve: what its answers would have scored after each look."""
        curve = None if self.settings.shared else of_looks(list(stored.rows(self.folder)))
        return () if curve is None else (curve,)


class OfImage(Subject):
    """An image, looked at in this process."""

    live = True

    def __init__(self, image: Path, question: str, scorer: str | None, model: str, page: int | None = None) -> None:
        super().__init__(_scored_by({}, scorer))
        self.has = f"the image {image}"
        self.question, self.model, self._picture = Question("show", question), model, Picture.open(image, page=page)

    @property
    def picture(self) -> Picture:
        """The image."""
        return self._picture

    @cached_property
    def _looked(self) -> tuple[Seen, Trace]:
        with choose_engine({"model": self.model}).open() as engine:
            seen = see(self.settings, engine, self.picture, [self.question])
            outcome = run(episodes(self.settings, seen), engine)[0]
        if not isinstance(outcome, Trace):
            raise outcome
        return seen, outcome

    @property
    def view(self) -> TraceView:
        """The trace of looking at the image."""
        seen, trace = self._looked
        return TraceView.from_trace(trace, seen.encoding.grid)

    @cached_property
    def scene(self) -> Scene:
        """The image as the model encodes it."""
        if "_looked" in self.__dict__:
            return scene_of(self._looked[0])
        with choose_engine({"model": self.model}).open() as engine:
            return scene_of(see(self.settings, engine, self.picture, [self.question]))


def scene_of(seen: Seen) -> Scene:
    """A batch of one, of the first question.

    Raises:
        SaccadeError: the question cannot be asked.
    """
    query = seen.asked[0][1]
    if isinstance(query, SaccadeError):
        raise query
    return Scene.of([(seen.picture, seen.encoding, query)])


def _scored_by(settings: Mapping[str, Any], scorer: str | None) -> Episode:
    """The settings of an episode, with other scorers where they are given."""
    return Episode(**{**settings, **({} if scorer is None else {"scorer": scorer})})
