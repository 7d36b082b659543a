"""Trains a head by what the reader answers from the tokens that it chooses: no boxes, only answers.

For each question several sets of tokens are drawn by the head's logits (`saccade.training.plackett`), the reader
answers from each, and sets that were read better than the others become more likely:

    reward = score - cost * K / N,    loss = -advantage * log p(set) + sharpen * entropy of the head's softmax

With several budgets a small network draws K as well, for each question, and learns it from the same reward; with one K
is the same for all draws of a question, and its cost decides nothing. S draws of a question, N tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Self

import torch
from pydantic import Field, field_validator, model_validator
from torch import Tensor, nn

from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines import Engine
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.heads.budget import BudgetNet
from saccade.heads.files import load, save, weights_hash
from saccade.heads.scoring import KINDS, Head, kind_of
from saccade.metrics.bootstrap import dumped, gains
from saccade.settings import Option, Settings, Short
from saccade.training.importance import HeadSettings
from saccade.training.plackett import (
    clipped_loss,
    draw,
    entropy,
    leave_one_out,
    log_probability,
    outcome_loss,
)
from saccade.training.reading import best, read_answer, read_pages, text_of
from saccade.training.resumable import claim, course, generator, picked
from saccade.training.stored import Page, Pages, stored
from saccade.types import Scene

BUDGET = "budget"  # folder of the network that draws K, in the head's
RATE = 1e-4
"""Learning rate. Larger steps on outcomes unlearn what a head has learned from boxes."""


class RewardSettings(Settings):
    """How a head is trained by outcomes."""

    panel = "With --reward"

    reward: bool = Field(
        False, description="Train a trained head further, by the answers read from the tokens it chooses."
    )
    init: Path | None = Field(None, description="The head to start from; None: the checkpoint's own gaze.")
    draws: int = Field(4, ge=2, description="Sets of tokens to draw and read per question.")
    budgets: Annotated[
        tuple[int, ...],
        Option(
            spelled=Short(name="budgets", metavar="A,B,...", help="Budgets to choose from as well; none: --keep alone.")
        ),
    ] = Field((), description="Numbers of tokens among which it learns to choose, per question.")
    cost: float = Field(0.1, ge=0, description="Cost in the reward, times the share of the page's tokens shown.")
    sharpen: float = Field(0.0, ge=0, description="Weight of the entropy of the head's softmax.")
    temperature: float = Field(
        1.0, gt=0, description="Temperature of the draws; below 1 they are closer to the best tokens."
    )
    clip: float | None = Field(None, gt=0, lt=1, description="PPO's clipped ratio, as 0.2; None: REINFORCE.")
    epochs: int = Field(1, ge=1, description="Steps on the draws of one question; more than 1 needs --clip.")

    @field_validator("budgets", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        entries = value.split(",") if isinstance(value, str) else value or ()
        sizes = tuple(sorted({int(each) for each in entries}))
        if sizes and (len(sizes) < 2 or sizes[0] < 1):
            raise ValueError("budgets to choose from are two numbers of tokens or more, as in 73,273")
        return sizes

    @model_validator(mode="after")
    def _clipped(self) -> Self:
        if self.epochs > 1 and self.clip is None:
            raise ValueError(
                f"epochs = {self.epochs}: several steps on the same draws need clip, as 0.2 (--clip 0.2); REINFORCE "
                "is right for one step alone"
            )
        return self


@dataclass(frozen=True, slots=True)
class Drawn:
    """The draws of one question: the tokens shown, their log-probability, and their reward."""

    scene: Scene
    orders: tuple[Tensor, ...]  # S of (K,)
    levels: Tensor | None  # (S,) int64, which budget
    before: Tensor  # (S,) log-probability when it was drawn
    reward: Tensor  # (S,)
    score: Tensor  # (S,) by the question's own metric


class Policy:
    """A head, and for several budgets a network that draws one; together they give the probability of a set."""

    def __init__(self, head: Head, budget: BudgetNet | None, keep: int, temperature: float) -> None:
        self.head, self.budget, self.keep, self.temperature = head, budget, keep, temperature

    @property
    def modules(self) -> dict[str, nn.Module]:
        """The modules that are trained, by name."""
        return {"head": self.head} | ({} if self.budget is None else {BUDGET: self.budget})

    def logits(self, scene: Scene) -> Tensor:
        """(N,) logits of the tokens, for a scene of one question."""
        return self.head(scene)[0] / self.temperature  # type: ignore[no-any-return]

    def log_p(self, drawn: Drawn, logits: Tensor) -> Tensor:
        """(S,) log-probability of draws under the current policy."""
        present = drawn.scene.present[0]
        log_p = torch.cat([log_probability(logits, present, order[None]) for order in drawn.orders])
        if self.budget is None or drawn.levels is None:
            return log_p
        likely: Tensor = self.budget(self.budget.features(drawn.scene))[0]
        return log_p + likely.clamp(min=1e-9).log()[drawn.levels]

    @torch.no_grad()
    def draw(self, engine: Engine, page: Page, number: int, settings: RewardSettings, make: torch.Generator) -> Drawn:
        """Draws sets of tokens for a question, and reads the answer from each."""
        scene = page.some([number])
        logits, present = self.logits(scene), scene.present[0]
        widest = self.keep if self.budget is None else self.budget.levels[-1]
        orders, levels = list(draw(logits, present, widest, settings.draws, make)), None
        if self.budget is not None:
            p = self.budget(self.budget.features(scene))[0]
            levels = torch.multinomial(p, settings.draws, replacement=True, generator=make)
            sizes = [self.budget.levels[level] for level in levels.tolist()]
            orders = [order[:size] for order, size in zip(orders, sizes, strict=True)]  # the first K are a draw of K
        score = torch.tensor([read_answer(engine, page, number, order) for order in orders])
        shown = torch.tensor([len(order) / int(present.sum()) for order in orders])
        drawn = Drawn(scene, tuple(orders), levels, torch.zeros(len(orders)), score - settings.cost * shown, score)
        return replace(drawn, before=self.log_p(drawn, logits))

    def chosen(self, page: Page, number: int) -> Tensor:
        """(K,) int64: the tokens that one look shows after training, the best ones at the likeliest budget."""
        scene, keep = page.some([number]), self.keep
        if self.budget is not None:
            with torch.no_grad():
                keep = self.budget.levels[int(self.budget(self.budget.features(scene))[0].argmax())]
        return best(self.head, scene, keep)[0]


def loss(policy: Policy, drawn: Drawn, settings: RewardSettings) -> Tensor:
    """The loss () of one question's draws."""
    logits, advantage = policy.logits(drawn.scene), leave_one_out(drawn.reward)
    log_p = policy.log_p(drawn, logits)
    task = (
        outcome_loss(log_p, advantage)
        if settings.clip is None
        else clipped_loss(log_p, drawn.before, advantage, settings.clip)
    )
    return task + settings.sharpen * entropy(logits, drawn.scene.present[0])


def start_of(init: Path | None, gaze: str | None) -> tuple[Head, Path]:
    """The head to start from, and its folder.

    Raises:
        ConfigError: there is no such head.
    """
    folder = init or (Path(gaze) if gaze else None)
    if folder is None:
        raise ConfigError(
            "this training starts from a trained head, and this checkpoint brings none: train one with "
            "`saccade train head --output heads/late`, then give --init heads/late"
        )
    return load(KINDS[kind_of(folder)], folder), folder


def train(
    settings: HeadSettings, outcome: RewardSettings, spec: HF, dataset: Dataset, rows: Sequence[Row], output: Path,
    origin: dict[str, Any],
) -> dict[str, Any]:  # fmt: skip
    """Trains a head by outcomes into `output`, or resumes; returns the report, which its card holds as well.

    Raises:
        ConfigError: no question has answers, or `output` holds another training.
        KeyboardInterrupt: interrupted; the same call resumes.
    """
    begun = {"training": settings.dump(), "outcome": outcome.dump(), "init": weights_hash(outcome.init)}
    claim(output, {**origin, **begun})
    looks = Episode(sampler="topk", fixations=1, encoder=settings.encoder, levels=settings.levels)
    with spec.open() as engine:
        head, folder = start_of(outcome.init, engine.family.gaze)
        training_pages, held_out = stored(settings.cache, looks, engine, dataset, rows, needs="answers").split()
        budget = None
        if outcome.budgets:
            torch.manual_seed(settings.seed)
            budget = BudgetNet(training_pages[0].some([0]).query_tokens.shape[-1], outcome.budgets)
        policy = Policy(head, budget, settings.keep, outcome.temperature)
        before = Policy(start_of(outcome.init, engine.family.gaze)[0], None, settings.keep, outcome.temperature)
        questions = asked_in(training_pages)
        last: dict[int, Drawn] = {}  # the draws that the steps of one question share

        def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
            visit = step // outcome.epochs
            if visit not in last:
                last.clear()
                at, number = questions[picked(len(questions), visit, settings.seed)]
                last[visit] = policy.draw(engine, training_pages[at], number, outcome, generator(settings.seed, visit))
            drawn = last[visit]
            tokens = sum(len(order) for order in drawn.orders) / len(drawn.orders)
            facts = {"reward": float(drawn.reward.mean()), "score": float(drawn.score.mean()), "tokens": tokens}
            return loss(policy, drawn, outcome), facts

        steps, rate = settings.steps * outcome.epochs, settings.rate or RATE
        course(policy.modules, loss_of, output, steps=steps, rate=rate, unit=outcome.epochs, name="outcomes")
        report = _gain(engine, policy, before, held_out, settings.read)
    notes = {**settings.dump(), **outcome.dump(), "cache": None, "init": str(folder)}
    save(head, output, model=spec.model, **notes, report=report)
    if budget is not None:
        save(budget, output / BUDGET, model=spec.model, report=report)
    return report


def asked_in(pages: Pages) -> list[tuple[int, int]]:
    """(page index, question index) of every question."""
    return [(at, number) for at, page in enumerate(pages) for number in range(len(page.asked))]


def _gain(engine: Engine, policy: Policy, before: Policy, pages: Pages, most: int) -> dict[str, Any]:
    """Scores on held-out pages before and after, their difference, with intervals over pages, and the tokens shown."""
    shown: list[int] = []

    def counted(page: Page, number: int) -> Tensor:
        index = policy.chosen(page, number)
        shown.append(len(index))
        return index

    first = read_pages(engine, pages, before.chosen, most, "reading before")
    then = read_pages(engine, pages, counted, most, "reading after")
    gain, means = then.over(first), (first.mean(), then.mean())
    return {
        "before": dumped(means[0]),
        "after": dumped(means[1]),
        "gain": dumped(gain),
        "metric": first.metric,
        "tokens": round(sum(shown) / max(1, len(shown)), 1),
        "said": {"before": text_of(means[0]), "after": text_of(means[1]), "gain": text_of(gain, sign=True)},
    }


def summary(report: dict[str, Any], output: Path) -> str:
    """The report as lines of text, for the command."""
    scores = report["said"]
    number = report["after"]["num_questions"] if report["after"] else 0
    nothing = "no gain that the interval bears out: keep the head it started from"
    return "\n".join(
        [
            f"answers on {number} held-out questions ({report['metric']}):",
            *(f"  {name:8s} {scores[name]}" for name in ("before", "after", "gain")),
            f"  {report['tokens']} tokens per look",
            "it pays on these pages" if gains(report["gain"]) else nothing,
            f"{output}",
        ]
    )
