"""The library's front door: `load` a model, `look` at a picture."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Self

from saccade.config import Episode, refuse_idle
from saccade.engines import Engine, EngineSpec, choose_engine
from saccade.episode import Outcome, episodes, run, see
from saccade.errors import EngineError, QuestionError, SaccadeError
from saccade.picture import Picture, Source
from saccade.registry import checked, named
from saccade.types import Question, Trace

KNOWN = ("tokens", *Episode.model_fields)
"""Settings that `load` and `look_many` take."""


class Eye:
    """A loaded model and the settings it looks with. Made by `saccade.load`; closed by `close` or the end of `with`."""

    def __init__(self, engine: Engine, settings: Episode, opened: ExitStack | None = None) -> None:
        self.engine, self.settings = engine, settings
        self._opened, self._closed = opened or ExitStack(), False

    def close(self) -> None:
        """Frees the model. Nothing can be looked at then."""
        self._closed = True
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def look(self, picture: Source | Picture, question: str) -> Trace:
        """Answers one question about one image.

        Raises:
            PictureError: the image cannot be used.
            QuestionError: the question cannot be asked.
        """
        if not isinstance(question, str):
            raise QuestionError(
                f"look asks one question, a text; got {type(question).__name__}: look_many takes several"
            )
        return self.look_many(picture, [question])[0]

    def look_many(self, picture: Source | Picture, questions: Sequence[str], **settings: Any) -> list[Trace]:
        """Answers several questions about one image, which is encoded once. `settings` override the eye's own.

        Raises:
            ConfigError: a setting is unknown, out of range, or changes nothing beside the others.
            PictureError: the image cannot be used.
            QuestionError: the questions are no list of texts.
            SaccadeError: the first question that failed.
        """
        if isinstance(questions, str):
            raise QuestionError("look_many asks a list of questions; got one text: look takes one")
        if not isinstance(questions, Iterable):
            raise QuestionError(f"look_many asks a list of questions; got {type(questions).__name__}")
        asked: list[Any] = list(questions)
        for number, question in enumerate(asked, start=1):
            if not isinstance(question, str):
                kind = type(question).__name__
                raise QuestionError(f"question {number} must be a text; got {kind}: {question!r:.60}")
        chosen = self._with(settings)
        own = set[str]() if self.settings.encoder == "full" else {"encoder"}  # of which another is a change
        refuse_idle({name: value for name, value in settings.items() if name not in own}, chosen)
        numbered = [Question(str(number), text) for number, text in enumerate(asked)]
        outcomes = self._looked(chosen, Picture.open(picture), numbered)
        for outcome in outcomes:
            if isinstance(outcome, SaccadeError):
                raise outcome
        return [outcome for outcome in outcomes if isinstance(outcome, Trace)]

    def outcomes(self, picture: Picture, questions: Sequence[Question], **settings: Any) -> list[Outcome]:
        """Like `look_many`, with what failed in the place of its trace: an error costs one question.

        Raises:
            PictureError: the image cannot be used, so no question can.
            ConfigError: a setting is unknown or out of range.
            EngineError: the eye is closed.
        """
        return self._looked(self._with(settings), picture, questions)

    def _with(self, settings: Mapping[str, Any]) -> Episode:
        return checked(self.settings.with_settings, settings, KNOWN) if settings else self.settings

    def _looked(self, chosen: Episode, picture: Picture, questions: Sequence[Question]) -> list[Outcome]:
        if self._closed:
            raise EngineError("this eye is closed, and its model freed: saccade.load opens another")
        seen = see(chosen, self.engine, picture, questions)
        return run(episodes(chosen, seen), self.engine)


def load(model: str = "nano", *, engine: str | Mapping[str, Any] | EngineSpec = "auto", **settings: Any) -> Eye:
    """Opens a model to look with; `with` closes it at the end of the block, `close` elsewhere.

        with saccade.load() as eye:
            trace = eye.look("page.png", "What is the total?")
            print(trace.answer.text, trace.answer.confidence)

    `engine` is a name (auto, hf, vllm), `{"name": ..., settings}`, or an engine's own settings, which then name the
    model. `settings` are those of `saccade.Episode`, by the names that the command line has: effort, sampler, scorer,
    planner, tokens, fixations, ...

    Raises:
        ConfigError: a setting or the model is wrong, or a setting changes nothing beside the others.
    """
    chosen = checked(Episode, settings, KNOWN)
    refuse_idle(settings, chosen)
    spec = engine if isinstance(engine, EngineSpec) else choose_engine({"model": model, **named("engines", engine)})
    chosen.check_engine(spec)
    opened = ExitStack()
    return Eye(opened.enter_context(spec.open()), chosen, opened)


def look(picture: Source | Picture, question: str, model: str = "nano", **settings: Any) -> Trace:
    """One question about one image; loads the model for it. Use `load` for more than one."""
    with load(model, **settings) as eye:
        return eye.look(picture, question)


def look_many(picture: Source | Picture, questions: Sequence[str], model: str = "nano", **settings: Any) -> list[Trace]:
    """Several questions about one image; loads the model for them. Use `load` for more than one image."""
    with load(model, **settings) as eye:
        return eye.look_many(picture, questions)
