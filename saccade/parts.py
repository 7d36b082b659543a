"""A question for several things, asked part by part: each part has looks, an answer and a confidence of its own.

A reader says how sure it is of an answer, not of which part of it. Here the parts look and are read one by one on the
same canvas, each one's answers are integrated by themselves, and looking goes on for those that are still unsure.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import Any

from saccade.errors import SaccadeError
from saccade.tokens.clauses import are_questions, texts_of
from saccade.types import Answer, Cost, Query, Question, Step, Trace

Asked = tuple[Question, Query | SaccadeError]
Starts = Callable[[Sequence[Asked]], Generator[Any, Any, list[Trace | SaccadeError]]]
JOIN, UNREAD = ", ", "?"
"""Between the answers of the parts, as data sets join several; and in the place of one that could not be read."""


def in_parts(episode: Starts, wanted: str, known: str) -> Starts:
    """The episode of some questions, or that of their parts.

    `wanted`: together, apart, or auto, which is what is `known` of the checkpoint (together or apart), but leaves alone
    what might be one thing: only parts that are questions by themselves are asked apart.
    """
    if (known if wanted == "auto" else wanted) == "together":
        return episode
    return partial(apart, episode=episode, questions_only=wanted == "auto")


def apart(
    asked: Sequence[Asked], episode: Starts, questions_only: bool = False
) -> Generator[Any, Any, list[Trace | SaccadeError]]:
    """An episode of the parts of all questions; one outcome per question, in order."""
    parted = [split(question, query, questions_only) for question, query in asked]
    outcomes = iter((yield from episode([each for parts in parted for each in parts])))
    return [
        joined(question, [next(outcomes) for _ in parts]) for (question, _), parts in zip(asked, parted, strict=True)
    ]


def split(question: Question, query: Query | SaccadeError, questions_only: bool = False) -> list[Asked]:
    """The parts of a question, in its own words, with their tokens; a question of one part as it is.

    So is one whose answer must be one of several or match a pattern, for its parts would not; and with
    `questions_only` one of which a part is no question by itself.
    """
    if isinstance(query, SaccadeError) or question.choices or question.pattern:
        return [(question, query)]
    texts, found = texts_of(question.text), list[Asked]()
    if len(query.parts) < 2 or len(texts) != len(query.parts):  # a tokenizer may drop one
        return [(question, query)]
    if questions_only and not are_questions(texts):
        return [(question, query)]
    for text, (first, last) in zip(texts, query.parts, strict=True):
        part = replace(query, text=text, tokens=query.tokens[first:last], weight=query.weight[first:last], parts=())
        if found:  # what was heard before the looks was read once, and is charged to the first
            part = replace(part, heard=query.heard and replace(query.heard, prefill_tok=0, cached_tok=0, seconds=0.0))
        found.append((replace(question, text=text), part))
    return found


def joined(question: Question, outcomes: Sequence[Trace | SaccadeError]) -> Trace | SaccadeError:
    """One outcome of those of the parts; the first error where one of them failed.

    The whole is as sure as its least sure part. Where it was read is said of the surest.
    """
    traces = [outcome for outcome in outcomes if isinstance(outcome, Trace)]
    if len(traces) < len(outcomes):
        return next(outcome for outcome in outcomes if isinstance(outcome, SaccadeError))
    if len(traces) == 1:
        return traces[0]
    answers, costs = [trace.answer for trace in traces], [trace.cost for trace in traces]
    answer = Answer(
        text=JOIN.join(each.text or UNREAD for each in answers) if any(each.text for each in answers) else "",
        logprobs=tuple(logprob for each in answers for logprob in each.logprobs),
        confidence=min(each.confidence for each in answers),
        visual_tok=max(each.visual_tok for each in answers),
        cached_tok=sum(each.cached_tok for each in answers),
        prefill_tok=sum(each.prefill_tok for each in answers),
        seconds=sum(each.seconds for each in answers),
        readable=any(each.readable for each in answers),
        attended=max(answers, key=lambda each: each.confidence).attended,
    )
    cost = Cost(
        visual_tok=max(each.visual_tok for each in costs),
        prefill_tok=sum(each.prefill_tok for each in costs),
        cached_tok=sum(each.cached_tok for each in costs),
        encoder_patches=sum(each.encoder_patches for each in costs),
        encoder_passes=sum(each.encoder_passes for each in costs),
        seconds={name: sum(each.seconds[name] for each in costs) for name in costs[0].seconds},
    )
    numbered = [[_of_part(step, number, len(traces)) for step in trace.steps] for number, trace in enumerate(traces, 1)]
    steps = tuple(step for turn in zip_longest(*numbered) for step in turn if step is not None)
    shown = max((trace.shown for trace in traces), key=lambda each: int(each.sum()))
    return Trace(question.id, question.text, steps, answer, cost, shown, parts=tuple(traces))


def _of_part(step: Step, number: int, count: int) -> Step:
    """The step, saying whose look it was."""
    if step.gaze.reason.startswith(("view:", "blind:")):  # of nobody: it shows the same to all parts
        return step
    return replace(step, gaze=replace(step.gaze, reason=f"{step.gaze.reason}, part {number} of {count}"))
