"""The episode: see -> read the glimpse -> [plan -> score -> select -> encode -> read]* -> integrate -> reread.

`episode` is a generator: it yields a canvas to be read and is sent the answer, or yields a view that has still to be
encoded. It knows neither engines, asyncio nor Ray; `run` and `arun` drive it. The questions of one image either look on
canvases of their own, or take turns on one canvas that all of them read.
"""

import math
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from saccade.config import Episode
from saccade.engines import Reader
from saccade.engines._constrained import after, fits
from saccade.errors import EngineDead, SaccadeError
from saccade.geometry.fovea import nearest, token_eccentricity_deg
from saccade.geometry.grid import shares_on
from saccade.parts import in_parts
from saccade.seen import Put
from saccade.seen import Seen as Seen
from saccade.seen import see as see
from saccade.types import (
    Answer,
    Canvas,
    Cost,
    Encoding,
    Gaze,
    Heard,
    Part,
    Query,
    Question,
    Scene,
    Selection,
    Step,
    Trace,
)

Outcome = Trace | SaccadeError  # what became of one question; an error costs that question only


@dataclass(frozen=True, slots=True)
class Look:
    """Where a question looked, and what that look adds to the canvas."""

    gaze: Gaze
    selection: Selection
    importance: Tensor | None = None  # (N,) in [0, 1], by which it chose; None: it chose by none


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to read a canvas, and the question's last look at it."""

    canvas: Canvas
    question: str
    look: Look
    choices: tuple[str, ...] = ()  # the answer is one of these; (): any text
    pattern: str | None = None  # the answer matches it


@dataclass(frozen=True, slots=True)
class More:
    """A request to encode what was put off until a question is unsure."""

    seen: Seen
    what: Put = "whole"

    def here(self) -> None:
        """Encodes it in this process."""
        self.seen.encode(self.what)


Flow = Generator[Ask | More, Answer | None, list[Outcome]]
"""An episode under way: it yields an `Ask` and is sent the answer, or yields a `More` and is sent nothing."""

GLIMPSE = "view: glimpse"
"""The reason of the step that reads the glimpse alone, before any look."""
REST = "view: the rest"
"""The reason of the look that shows all that is left."""
AGAIN = "view: the page again"
"""The reason of the step that reads the page at another size, on a canvas of its own."""


def episode(settings: Episode, seen: Seen, asked: Sequence[tuple[Question, Query | SaccadeError]]) -> Flow:
    """Looks at one image for questions that share one canvas; one outcome per question, in order.

    The encoding, which all questions of an image share, is charged to the first of them that ends after it was made.

    Throw a `SaccadeError` into it when a read failed: that question ends with it, the others go on.
    """
    canvas = Canvas(seen.grid.rows, seen.grid.cols)
    taken, shown = torch.zeros(2, 1, len(seen.grid), dtype=torch.bool)  # taken: not chosen again; shown: not merged
    lookers = [_Looker(settings, seen, question, query) for question, query in asked]
    if seen.glimpse is not None:
        canvas = canvas.add(Part.of(seen.glimpse))
        for looker in [looker for looker in lookers if looker.looking]:
            yield from looker.glimpse(canvas, shown)
    cap = settings.canvas_cap if settings.shared else len(seen.grid) + len(canvas)
    while any(looker.looking for looker in lookers):
        for looker in [looker for looker in lookers if looker.looking]:
            if seen.deferred("whole"):
                yield More(seen)
            look = looker.choose(taken, cap - len(canvas))
            if len(look.selection):
                taken[0, look.selection.index] = True
                shown[0, look.selection.sharp] = True
                canvas = canvas.add(Part.of((seen.lazy or seen).encoding, look.selection))
            yield from looker.read(canvas, shown, look)
    for looker in lookers:
        if not looker.sure and not looker.failed and looker.read_tok < len(canvas):
            yield from looker.catch_up(canvas, shown)  # others have added to the canvas since
    for looker in lookers:
        if seen.again is not None and not looker.sure and not looker.failed:
            if seen.deferred("again"):
                yield More(seen, "again")
            yield from looker.reread(seen.encode("again"))
    return [looker.outcome(seen) for looker in lookers]


class _Looker:
    """One question's side of an episode: its planner, its steps, whether it goes on looking."""

    def __init__(self, settings: Episode, seen: Seen, question: Question, query: Query | SaccadeError) -> None:
        self.settings, self.question, self.seen, self.query = settings, question, seen, query
        self.strategies, self.lazy, self.num_tok = settings.strategies, seen.lazy, len(seen.grid)
        self.looking, self.sure, self.num_looks = True, False, settings.fixations
        self.looks = 0  # taken so far
        self.failed: SaccadeError | None = None
        self.steps: list[Step] = []
        self.answers: list[Answer] = []
        self.again: Answer | None = None  # from the page at another size
        self.shown = torch.zeros(self.num_tok, dtype=torch.bool)
        self.plan_s = 0.0
        self.heard: list[Heard] = []  # what was read for the scorer, before the first look
        if isinstance(query, SaccadeError):
            self.failed, self.looking = query, False
            return
        self.heard = [query.heard] if query.heard is not None else []

    def _start(self) -> None:
        """Prepares the first look: the scene that the strategies see, encoded now unless it is already."""
        assert isinstance(self.query, Query)
        encoding, started = self.seen.encoding, time.perf_counter()
        self.scene = Scene.of([(self.seen.picture, encoding, self.query)])
        self.keep_tok = self.strategies.budget(self.scene)[0]
        self.scene = replace(self.scene, shares=self.strategies.budget.shares(self.scene))
        sampler = self.strategies.sampler
        if sampler is None:  # a view: all of its tokens at once
            self.keep_tok, self.num_looks = self.num_tok, 1
        elif sampler.blind:
            self.keep_tok, self.num_looks = self.keep_tok * self.num_looks, min(1, self.num_looks)
        self.importance: Tensor | None = None  # by the scorer alone; computed for a planner without its own
        self.flow: Generator[Gaze, Step, None] | None = None
        if sampler is not None and not sampler.blind:
            self.flow = self.strategies.planner.flow(self.scene, self.strategies.score)
        self.plan_s += time.perf_counter() - started

    def choose(self, taken: Tensor, room_tok: int) -> Look:
        """The next look. It adds no token that was taken before; one that was merged into another may come again."""
        if not self.looks:
            self._start()
        started = time.perf_counter()
        keep = max(0, min(self.keep_tok, room_tok))
        sampler = self.strategies.sampler
        if sampler is None or self.looks >= self.num_looks:
            reason = f"view: {self.settings.view}" if sampler is None else REST
            gaze = Gaze((0.5, 0.5), reason, 0.0, extent_uv=1.0)
            if self.lazy is not None:  # nothing may stand in for what is shown
                started += self.lazy.look(self.scene, gaze)[1]
            fresh = (~taken[0]).nonzero().flatten()[: max(0, room_tok)]
            look = Look(gaze, Selection.keep(fresh, self.num_tok))
        else:
            gaze, importance = self._aim(sampler.name())
            weighed = torch.zeros(1, self.num_tok) if importance is None else importance.unsqueeze(0)
            scene = self.scene
            if self.lazy is not None:  # the windows that this look touches
                scene, encode_s = self.lazy.look(scene, gaze)
                started += encode_s
            scene = scene.without(taken)
            if self.settings.fovea and self.flow is not None:
                scene = scene.without(~self._near(scene, gaze, keep))
            chosen = sampler(scene, weighed, torch.tensor([gaze.uv]), keep)[0]
            look = Look(gaze, chosen, importance)
        self.plan_s += time.perf_counter() - started
        return look

    def _near(self, scene: Scene, gaze: Gaze, keep: int) -> Tensor:
        """(1, N) bool: the tokens that this look chooses among."""
        far = token_eccentricity_deg(scene.centre_uv, torch.tensor([gaze.uv]), scene.grids)
        return nearest(far, scene.valid, math.ceil(max(1.0, self.settings.fovea) * keep))

    def _aim(self, sampler: str) -> tuple[Gaze, Tensor | None]:
        """The next gaze and the importance (N,) of its look: the planner's, else the scorer's; blind: none."""
        if self.flow is None:
            return Gaze((0.5, 0.5), f"blind: {sampler}", 0.0, extent_uv=1.0), None
        gaze = next(self.flow) if not self.looks else self.flow.send(self.steps[-1])
        if gaze.importance is not None:
            return gaze, gaze.importance
        if self.importance is None:
            self.importance = self.strategies.score(self.scene)[0]
        return gaze, self.importance

    def read(self, canvas: Canvas, shown: Tensor, look: Look) -> Generator[Ask, Answer | None, None]:
        """Asks about the canvas as it is now; decides whether to look again."""
        empty = len(look.selection) == 0
        if empty and self.steps:  # everything is shown or the canvas is full: there is nothing to add
            self.looking = False
            return
        answer = yield from self._ask(canvas, shown, look)
        if answer is not None:
            self.looks += 1
            self._took(Step(look.gaze, look.selection, answer))
            self.looking &= not empty

    def glimpse(self, canvas: Canvas, shown: Tensor) -> Generator[Ask, Answer | None, None]:
        """Asks about the glimpse alone; a question that is sure of it never looks."""
        answer = yield from self._ask(canvas, shown, look := self._overall(GLIMPSE))
        if answer is not None:
            self._took(Step(look.gaze, look.selection, answer))

    def _took(self, step: Step) -> None:
        """Decides, after a step, whether to look again."""
        self.steps.append(step)
        self.sure = step.answer.confidence >= self.settings.stop_at
        rests = self.settings.rest == "all" and step.gaze.reason != REST
        self.looking = not self.sure and (self.looks < self.num_looks or rests)

    def catch_up(self, canvas: Canvas, shown: Tensor) -> Generator[Ask, Answer | None, None]:
        """Reads the last step again, on a canvas to which other questions have added since."""
        last = self.steps[-1]
        answer = yield from self._ask(canvas, shown, Look(last.gaze, last.selection))
        if answer is not None:
            self.steps[-1] = replace(last, answer=answer)
            self.sure = answer.confidence >= self.settings.stop_at

    def reread(self, page: Encoding) -> Generator[Ask, Answer | None, None]:
        """Asks about the page at another size, on a canvas of its own."""
        canvas = Canvas(page.grid.rows, page.grid.cols).add(Part.of(page))
        self.again = yield from self._read(canvas, look := self._overall(AGAIN))
        if self.again is not None:
            self.again = replace(self.again, attended=shares_on(self.seen.grid, canvas, self.again.attended))
            self.steps.append(Step(look.gaze, look.selection, self.again))

    def _overall(self, reason: str) -> Look:
        """A look at the whole image that adds no token to the canvas."""
        nothing = Selection.keep(torch.empty(0, dtype=torch.int64), self.num_tok)
        return Look(Gaze((0.5, 0.5), reason, 0.0, extent_uv=1.0), nothing)

    def _ask(self, canvas: Canvas, shown: Tensor, look: Look) -> Generator[Ask, Answer | None, Answer | None]:
        answer = yield from self._read(canvas, look)
        if answer is not None:
            self.answers.append(answer)
            self.shown = shown[0].clone()
        return answer

    def _read(self, canvas: Canvas, look: Look) -> Generator[Ask, Answer | None, Answer | None]:
        try:
            answer = yield Ask(canvas, self.question.text, look, self.question.choices, self.question.pattern)
        except SaccadeError as error:
            self.failed, self.looking = error, False
            return None
        assert answer is not None
        return answer

    @property
    def read_tok(self) -> int:
        """Tokens on the canvas when this question was last read."""
        return self.answers[-1].visual_tok if self.answers else 0

    def outcome(self, seen: Seen) -> Outcome:
        """The trace; or the error that ended it, and then the next question pays for what they share."""
        if self.failed is not None:
            return self.failed
        again = [] if self.again is None else [self.again]
        looked = self.strategies.integrate(self.steps[: len(self.steps) - len(again)])
        answer = max([looked, *again], key=lambda each: (each.readable, each.confidence))
        patches, encode_s = seen.bill()
        read: list[Answer | Heard] = [*self.answers, *again, *self.heard]
        cost = Cost(
            visual_tok=max(each.visual_tok for each in self.answers) + sum(each.visual_tok for each in again),
            prefill_tok=sum(each.prefill_tok for each in read),
            cached_tok=sum(each.cached_tok for each in read),
            encoder_patches=patches,
            encoder_passes=patches / seen.full_patches,
            seconds={
                "encode": encode_s,
                "plan": self.plan_s + sum(heard.seconds for heard in self.heard),
                "read": sum(each.seconds for each in [*self.answers, *again]),
            },
        )
        return Trace(self.question.id, self.question.text, tuple(self.steps), answer, cost, self.shown)


def run(flows: Sequence[Flow], reader: Reader) -> list[Outcome]:
    """Drives the episodes of one image with a reader in this process. Returns their outcomes, end to end.

    Several episodes are read at once, as many together as the reader takes.
    """
    outcomes: list[Outcome] = []
    for at in range(0, len(flows), reader.together):
        outcomes += _run_together(flows[at : at + reader.together], reader)
    return outcomes


def _run_together(flows: Sequence[Flow], reader: Reader) -> list[Outcome]:
    asks: dict[int, Ask] = {}
    outcomes: dict[int, list[Outcome]] = {}

    def advance(number: int, go: Callable[[], Ask | More]) -> None:
        try:
            ask = go()
            while isinstance(ask, More):
                ask.here()
                ask = next(flows[number])
            asks[number] = ask
        except StopIteration as stop:
            asks.pop(number, None)
            outcomes[number] = stop.value

    for number, flow in enumerate(flows):
        advance(number, partial(next, flow))
    while asks:
        wanted = list(asks)
        answers = _read(reader, [asks[number] for number in wanted])
        for number, answer in zip(wanted, answers, strict=True):
            tell = flows[number].throw if isinstance(answer, SaccadeError) else flows[number].send
            advance(number, partial(tell, answer))  # type: ignore[arg-type]
    return [outcome for number in range(len(flows)) for outcome in outcomes[number]]


def _read(reader: Reader, asks: Sequence[Ask]) -> list[Answer | SaccadeError]:
    """Answers in the order of the asks. Those with choices are read together, and so are those without."""
    free = [number for number, ask in enumerate(asks) if not ask.choices]
    chosen = [number for number, ask in enumerate(asks) if ask.choices]
    read: dict[int, Answer | SaccadeError] = {}
    if free:
        read |= zip(free, reader.read_many([(asks[n].canvas, asks[n].question) for n in free]), strict=True)
    if chosen:
        held = [(asks[n].canvas, asks[n].question, asks[n].choices) for n in chosen]
        read |= zip(chosen, reader.choose_many(held), strict=True)
    return [_matched(reader, ask, read[number]) for number, ask in enumerate(asks)]


def _matched(reader: Reader, ask: Ask, answer: Answer | SaccadeError) -> Answer | SaccadeError:
    """The answer; written again where it does not match the ask's pattern."""
    if ask.pattern is None or isinstance(answer, SaccadeError) or fits(answer, ask.pattern):
        return answer
    try:
        return after(answer, reader.match(ask.canvas, ask.question, ask.pattern), ask.pattern)
    except EngineDead:
        raise
    except SaccadeError as error:
        return error


async def encode_here(more: More) -> None:
    """Encodes, in this process, what was put off."""
    more.here()


async def arun(
    flow: Flow,
    read: Callable[[Ask], Awaitable[Answer]],
    encode: Callable[[More], Awaitable[None]] = encode_here,
) -> list[Outcome]:
    """Drives an episode with a reader elsewhere; `encode` encodes what was put off. Many may run at once."""
    try:
        ask = next(flow)
        while True:
            if isinstance(ask, More):
                await encode(ask)
                ask = next(flow)
                continue
            try:
                answer = await read(ask)
            except EngineDead:
                raise
            except SaccadeError as error:
                ask = flow.throw(error)
            else:
                ask = flow.send(answer)
    except StopIteration as stop:
        return stop.value  # type: ignore[no-any-return]


def episodes(settings: Episode, seen: Seen) -> list[Flow]:
    """The episodes of one image: one per question, or one in which all questions share a canvas.

    Their outcomes, laid end to end, are in the order of the questions.
    """
    settings = settings.with_gaze(seen.gaze)
    groups = [seen.asked] if settings.shared else [(item,) for item in seen.asked]
    look = in_parts(partial(episode, settings, seen), settings.question_parts, seen.question_parts)
    return [look(group) for group in groups]
