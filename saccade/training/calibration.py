"""Measures the size of print that a checkpoint needs, and calibrates its confidence: the contents of `saccade.json`.

Pages are read shrunk until their smallest print has one height after another: the lowest that is read as well as any,
within half a hundredth, is the checkpoint's critical print size. Two questions of a page are asked as one, and each by
itself: some checkpoints answer one thing only. Then every look of an episode counts as an answer (few
tokens and many), and so does the smaller page. Where the data set knows questions that a page does not answer, they are
asked too: whatever is read there is wrong. The map is fitted on all pages. How good it is, is measured with maps fitted
on three quarters of the pages, each judged on the quarter that it has not seen.
"""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.progress import track

from saccade.api import Eye
from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines.hf import HFEngine
from saccade.errors import ConfigError, SaccadeError
from saccade.geometry.print_size import legible_tok
from saccade.metrics.calibration import Calibration, expected_calibration_error, reliability
from saccade.metrics.scoring import score, title
from saccade.parts import JOIN
from saccade.picture import Picture
from saccade.tokens.clauses import are_questions, texts_of
from saccade.types import Question, Trace

NEVER_SURE = 1.01  # stop_at: every look is taken
WAYS: dict[str, dict[str, Any]] = {
    "ink": {},
    "looks": {"fixations": 3},
    "all": {"sampler": "full"},
    "small": {"effort": "low"},
}
PRINT_PX = (5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0, 15.0, 0.0)  # 0: as large as it is
AS_GOOD = 0.005  # of the score, below the best, that still counts as well read
WORSE = 0.01  # of the score, below that of pages as they are: at print this high they are read worse
CLEARLY = 0.05  # of the score, by which questions for two things must gain to be asked apart
FOREIGN = 4  # questions per page that it does not answer
SURE = 0.7  # where looking stops
LEAST_PAGES, LEAST_QUESTIONS = 4, 40
FOLDS = 4


@dataclass(frozen=True, slots=True)
class Page:
    """A picture and its questions. Those without answers are foreign: the picture does not answer them."""

    picture: Picture
    questions: tuple[Question, ...]

    @property
    def answered(self) -> tuple[Question, ...]:
        """The questions that have answers."""
        return tuple(question for question in self.questions if question.answers)


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """An answer other than "cannot read"."""

    view: str
    logprobs: tuple[float, ...]
    score: float
    foreign: bool  # the page does not answer the question


@dataclass(frozen=True, slots=True)
class CalibratedAnswer:
    """An answer, and its confidence by a calibration map that was fitted without its page."""

    answer: ReadAnswer
    confidence: float


def calibrate(engine: HFEngine, dataset: Dataset, rows: Sequence[Row]) -> dict[str, Any]:
    """The contents of `saccade.json`: critical print size, the scores that decided it, and the calibration map.

    Raises:
        ConfigError: there are too few pages or questions with answers to measure anything.
    """
    pages = pages_of(dataset, rows)
    questions = [question for page in pages for question in page.answered]
    if len(pages) < LEAST_PAGES or len(questions) < LEAST_QUESTIONS:
        raise ConfigError(
            f"calibration needs at least {LEAST_QUESTIONS} questions with answers on {LEAST_PAGES} images; there are "
            f"{len(questions)} on {len(pages)}"
        )
    engine.calibration = Calibration()  # what is fitted is the probability as it comes
    eye = Eye(engine, Episode(stop_at=NEVER_SURE))
    scores, shrunk = print_scores(eye, pages), print_shrunk(engine, pages)
    engine.family.print_px = critical(scores, shrunk)  # confidence is that of pages as they will be shown
    parts = parts_scores(eye, pages)
    return {
        "print_px": engine.family.print_px,
        "score_by_print_px": {f"{print_px:g}": round(mean, 4) for print_px, mean in scores.items()},
        "shrunk_by_print_px": {f"{print_px:g}": number for print_px, number in shrunk.items()},
        "score": title(question.metric for question in questions),
        "question_parts": better(parts),
        "score_by_question_parts": {way: round(mean, 4) for way, mean in parts.items()},
        "data": {**dataset.spec(), "questions": len(questions), "images": len(pages)},
        "confidence": confidence_of(eye, pages),
    }


def pages_of(dataset: Dataset, rows: Sequence[Row]) -> list[Page]:
    """The pages that can be opened and have questions with answers, each with foreign questions added."""
    pages = []
    for row in rows:
        try:
            sample = dataset.sample(row)
        except SaccadeError:  # a run would write an error row; there is nothing to measure on it
            continue
        own = tuple(question for question in sample.questions if question.answers and question.error is None)
        strange = enumerate(dataset.strangers(row, FOREIGN))
        if own:
            pages.append(Page(sample.picture, (*own, *(Question(f"foreign-{i}", text) for i, text in strange))))
    return pages


def print_scores(eye: Eye, pages: Sequence[Page]) -> dict[float, float]:
    """Mean score of the questions with answers, by the x-height in px to which the pages' print is shrunk."""
    scores: dict[float, list[float]] = {print_px: [] for print_px in PRINT_PX}
    for page in track(pages, "print size"):
        for print_px, page_scores in scores.items():
            outcomes = eye.outcomes(page.picture, page.answered, print_px=print_px)
            for question, outcome in zip(page.answered, outcomes, strict=True):
                page_scores.append(_scored(outcome.answer.text if isinstance(outcome, Trace) else "", question))
    return {print_px: statistics.mean(page_scores) for print_px, page_scores in scores.items()}


def parts_scores(eye: Eye, pages: Sequence[Page]) -> dict[str, float]:
    """Mean score of a question for two things of a page, asked at once and each by itself; {} where no page has two."""
    scores: dict[str, list[float]] = {"together": [], "apart": []}
    for page in track(pages, "questions for two things"):
        if (question := two_of(page.answered)) is None:
            continue
        for way, of_way in scores.items():
            (outcome,) = eye.outcomes(page.picture, [question], question_parts=way)
            of_way.append(_scored(outcome.answer.text if isinstance(outcome, Trace) else "", question))
    return {way: statistics.mean(of_way) for way, of_way in scores.items() if of_way}


def two_of(questions: Sequence[Question]) -> Question | None:
    """A question for what the first two ask for, if both are questions of one part; answers are joined by a comma."""
    single = [each for each in questions if len(texts_of(each.text)) == 1 and are_questions([each.text])]
    if len(single) < 2:
        return None
    first, second = single[:2]
    text = f"{first.text.rstrip(' ?')} and {second.text[:1].lower()}{second.text[1:]}"
    answers = tuple(f"{a}{JOIN}{b}" for a in first.answers or () for b in second.answers or ())
    return Question("two", text, answers)


def better(scores: Mapping[str, float]) -> str:
    """Whether a checkpoint should be asked for several things apart: where that reads clearly more."""
    return "apart" if scores and scores["apart"] > scores["together"] + CLEARLY else "together"


def print_shrunk(engine: HFEngine, pages: Sequence[Page]) -> dict[float, int]:
    """How many pages each height of print shrinks; the other pages tell nothing about that height."""
    family, shrunk = engine.family, dict.fromkeys(PRINT_PX, 0)
    for page in pages:
        pixels, grid = Picture.open(page.picture, limit_px=family.limit_px).rgb, family.whole_grid(page.picture)
        for print_px in PRINT_PX:
            shrunk[print_px] += bool(print_px) and legible_tok(pixels, grid, print_px) is not None
    return shrunk


def critical(scores: Mapping[float, float], shrunk: Mapping[float, int]) -> float:
    """The lowest print in px that is read as well as any; 0: shrinking always costs score, or too few pages shrink.

    Heights below one that is read worse than unshrunk pages are ignored: a good score there is luck.
    """
    going_on, well = True, {}
    for print_px in sorted(filter(None, scores), reverse=True):
        going_on &= scores[print_px] >= scores[0.0] - WORSE
        if going_on and shrunk[print_px] >= LEAST_PAGES:
            well[print_px] = scores[print_px]
    return min((print_px for print_px, score in well.items() if score >= max(well.values()) - AS_GOOD), default=0.0)


def confidence_of(eye: Eye, pages: Sequence[Page]) -> dict[str, Any]:
    """The calibration map fitted on all pages, and its error before and after, measured on held-out pages."""
    lot = np.random.default_rng(0).permutation(len(pages))  # a mixed data set alternates: folds must not
    answers_by_page = [answers_of(eye, pages[number]) for number in track(lot, "confidence")]
    fitted = _fit(answers_by_page)
    held_out = [
        CalibratedAnswer(each, unseen(each.logprobs))
        for fold in range(FOLDS)
        for unseen in [_fit([answers for n, answers in enumerate(answers_by_page) if n % FOLDS != fold])]
        for answers in answers_by_page[fold::FOLDS]
        for each in answers
    ]
    bins = reliability([sure.confidence for sure in held_out], [sure.answer.score for sure in held_out])
    before = [CalibratedAnswer(sure.answer, Calibration()(sure.answer.logprobs)) for sure in held_out]
    return {
        "mean": fitted.mean,
        "least": fitted.least,
        "intercept": fitted.intercept,
        "num_fitted": len(held_out),
        "error_before": _error(before),
        "error_after": _error(held_out),
        "error_after_by_view": {view: _error([sure for sure in held_out if sure.answer.view == view]) for view in WAYS},
        "foreign": {
            "asked": len(WAYS) * sum(len(page.questions) - len(page.answered) for page in pages),
            "answered": sum(sure.answer.foreign for sure in held_out),
            "sure": sum(sure.answer.foreign and sure.confidence >= SURE for sure in held_out),
        },
        "bins_after": [[round(b.confidence, 3), round(b.score, 3), b.num_answers] for b in bins],
    }


def answers_of(eye: Eye, page: Page) -> list[ReadAnswer]:
    """Answers to the questions of one page by all ways of looking; every look of an episode counts as one."""
    answers = []
    for view, way in WAYS.items():
        for question, outcome in zip(page.questions, eye.outcomes(page.picture, page.questions, **way), strict=True):
            if isinstance(outcome, Trace):
                answers += [
                    ReadAnswer(view, step.answer.logprobs, _scored(step.answer.text, question), not question.answers)
                    for step in outcome.steps
                    if step.answer.readable
                ]
    return answers


def as_json(report: Mapping[str, Any], indent: str = "") -> str:
    """The report as JSON: one line per entry, nested entries indented."""
    lines = (
        f"{indent} {json.dumps(key)}: {as_json(fact, indent + ' ') if key == 'confidence' else json.dumps(fact)}"
        for key, fact in report.items()
    )
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def summary(report: Mapping[str, Any]) -> str:
    """The measurements as lines of text, for the command."""
    scores, sure = report["score_by_print_px"], report["confidence"]
    table = "  ".join(f"{'as it is' if px == '0' else px + ' px'} {mean:.3f}" for px, mean in scores.items())
    lines = [
        f"{report['score']} by the height of the smallest print: {table}",
        f"critical print size: {report['print_px']:g} px" if report["print_px"] else "pages are best read as they are",
        f"calibration error on held-out pages: {sure['error_before']:.3f} before, {sure['error_after']:.3f} after",
    ]
    if of_parts := report["score_by_question_parts"]:
        both = "  ".join(f"{way} {mean:.3f}" for way, mean in of_parts.items())
        lines.insert(2, f"ANLS of questions for two things: {both}; so they are asked {report['question_parts']}")
    if sure["foreign"]["asked"]:
        foreign = "{asked} asked, {answered} answered all the same, {sure} of them surely".format(**sure["foreign"])
        lines.append(f"questions that the page does not answer: {foreign}")
    return "\n".join(lines)


def _scored(text: str, question: Question) -> float:
    """The score of a text; 0 if the answers are hidden, or if there are none."""
    return score(text, question) or 0.0


def _fit(pages: Sequence[Sequence[ReadAnswer]]) -> Calibration:
    answers = [each for page in pages for each in page]
    return Calibration.fit([each.logprobs for each in answers], [each.score for each in answers])


def _error(answers: list[CalibratedAnswer]) -> float:
    confidence = [sure.confidence for sure in answers]
    return round(expected_calibration_error(confidence, [sure.answer.score for sure in answers]), 4)
