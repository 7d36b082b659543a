"""Trains which tokens a vision tower drops on its way (`saccade train keep`), for the reduction `dynamicvit`.

The tower does not know the question: what is worth keeping is what any question of a page asks for, its answers and
their labels. After each stage a small network keeps or drops every token by a Gumbel-softmax draw; dropped tokens stay,
unseen by the others, so that the gradient says what they would have been worth. Reported on held-out pages: how much of
what is asked for is left, and what is answered, beside networks that have learned nothing and pages dropped at random
(untrained networks drop as randomly as their weights were drawn).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from saccade.api import Eye
from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines import Encoder
from saccade.engines.hf import HF
from saccade.episode import Outcome
from saccade.errors import ConfigError
from saccade.heads.files import save
from saccade.heads.keep import KeepScores
from saccade.metrics.bootstrap import dumped, gains, interval_text
from saccade.metrics.scoring import score, title
from saccade.settings import Settings
from saccade.training.reading import Reading
from saccade.training.reduction import TowerHalves, drawn, hidden_forward
from saccade.training.resumable import claim, course, picked
from saccade.training.stored import Page, frozen
from saccade.training.targets import by_boxes
from saccade.types import Trace

STRICT = 2.0
"""Weight of the squared difference between a stage's share and its target."""


class KeepSettings(Settings):
    """How it is trained."""

    panel = "How it is trained"

    keep: float = Field(0.7, gt=0, lt=1, description="Share of the tokens that a stage keeps.")
    stages: int = Field(2, ge=1, le=4, description="Stages of the tower at which tokens are dropped.")
    steps: int = Field(300, ge=0, description="Training steps, one page each.")
    rate: float = Field(3e-3, gt=0, description="Initial learning rate; it falls to 0.")
    seed: int = Field(0, ge=0, description="Seed of the weights, the draws and the order of pages.")
    labels: float = Field(0.5, ge=0, le=1, description="Share of the target on labels; the rest is on answers.")
    read: int = Field(96, ge=0, description="Held-out questions to read for the report; 0: none.")
    cache: Path = Field(Path("runs/encodings"), description="Folder of encoded pages, reused by later trainings.")


def asked_for(page: Page, labels: float) -> Tensor:
    """(N,) float32 that sums to 1: how much of what the questions of a page ask for lies in each token."""
    worth = torch.stack([by_boxes(page.encoding.grid, question, labels) for question, _ in page.asked]).sum(0)
    return worth / worth.sum().clamp(min=1e-9)


def entering(engine: Encoder) -> Callable[[Sequence[Any]], tuple[Any, Any, Tensor]]:
    """The family's function that returns a tower's blocks and the tokens that enter the first one.

    Raises:
        ConfigError: this family's tower takes no reduction.
    """
    entrance: Callable[[Sequence[Any]], tuple[Any, Any, Tensor]] | None = getattr(engine.family, "entering", None)
    if entrance is None:
        name = type(engine.family).__name__
        raise ConfigError(f"the tower of {name} drops nothing on its way; those of Qwen2-VL, Qwen2.5-VL, Qwen3-VL do")
    return entrance


def run_stages(engine: Encoder, scores: KeepScores, page: Page, decide: Any = drawn) -> tuple[list[Tensor], Tensor]:
    """Per stage the tokens left after it, (1, N) 0 or 1 with gradients; and each token's index on the page, (N,) int64.

    Raises:
        ConfigError: this family's tower takes no reduction.
    """
    with torch.no_grad():
        blocks, tokens, order = entering(engine)([engine.prepare(page.picture)])
    halves = [TowerHalves(blocks, layer, tokens.position, tokens.window) for layer in range(blocks.num_layers)]
    nothing = torch.zeros(len(page.encoding), dtype=torch.bool, device=tokens.states.device)
    states = tokens.states.detach().clone().unsqueeze(0)
    _, alive = hidden_forward(halves, scores, states, nothing, decide)
    return alive, order


def train(
    settings: KeepSettings, spec: HF, dataset: Dataset, rows: Sequence[Row], output: Path, origin: dict[str, Any]
) -> dict[str, Any]:
    """Trains keep scores into `output`, or resumes; returns the share of asked-for tokens kept, and answers' scores.

    Raises:
        ConfigError: the model's tower cannot drop tokens, or `output` holds another training.
        KeyboardInterrupt: interrupted; the same call resumes.
    """
    claim(output, {**origin, "training": settings.dump()})
    torch.manual_seed(settings.seed)
    looks = Episode(sampler="topk", fixations=1)
    with frozen(spec.open_encoder(), settings.cache, looks, dataset, rows, needs="boxes") as (engine, pages):
        training_pages, held_out = pages.split()
        scores = KeepScores(pages[0].encoding.features.shape[-1], stages=settings.stages).to(engine.family.model.device)
        save(scores, output / "untrained", model=spec.model)

        def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
            torch.manual_seed(settings.seed * 1_000_003 + step)  # of the Gumbel draws
            page = training_pages[picked(len(training_pages), step, settings.seed)]
            alive_after, order = run_stages(engine, scores, page)
            worth = asked_for(page, settings.labels).to(order.device)[order]
            shares = torch.stack([mask.mean() for mask in alive_after])
            targets = settings.keep ** torch.arange(1, len(alive_after) + 1, device=shares.device)
            kept = (alive_after[-1][0] * worth).sum()
            facts = {"kept": float(kept.detach()), "share": float(shares[-1].detach())}
            return 1 - kept + STRICT * (shares - targets).square().mean(), facts

        course({"scores": scores}, loss_of, output, steps=settings.steps, rate=settings.rate, name="keep scores")
    save(scores, output, model=spec.model, **settings.dump() | {"cache": None})
    folders = {"untrained": output / "untrained", "trained": output}
    report: dict[str, Any] = {name: _judged(settings, spec, folder, held_out) for name, folder in folders.items()}
    readings = {name: report[name].pop("reading") for name in folders}
    report["gain"] = dumped(readings["trained"].over(readings["untrained"]))
    report["metric"] = readings["trained"].metric
    save(scores, output, model=spec.model, **settings.dump() | {"cache": None}, report=report)
    return report


def read_whole(spec: HF, pages: Sequence[Page], most: int) -> Reading:
    """What is read of the first pages, shown whole, until at least `most` questions are read; 0: none.

    Questions whose answers are hidden are not asked: they have no score.
    """
    scores, names = list[float](), list[str]()
    metric = title(question.metric for page in pages for question, _ in page.asked)
    if not most:
        return Reading((), (), metric)
    with spec.open() as engine:
        eye = Eye(engine, Episode(sampler="full"))
        for page in pages:
            if len(scores) >= most:
                break
            questions = [question for question, _ in page.asked if question.answers]
            if not questions:
                continue
            outcomes: list[Outcome] = eye.outcomes(page.picture, questions)
            for question, outcome in zip(questions, outcomes, strict=True):
                text = outcome.answer.text if isinstance(outcome, Trace) else ""
                value = score(text, question)
                assert value is not None  # the answers are known
                scores.append(value)
                names.append(page.image_id)
    return Reading(tuple(scores), tuple(names), metric)


def _judged(settings: KeepSettings, spec: HF, folder: Path, pages: Sequence[Page]) -> dict[str, Any]:
    """With the reduction in `folder`: the share of asked-for tokens that is left, what is read, and its mean score."""
    reduction = {"name": "dynamicvit", "weights": str(folder), "keep": settings.keep}
    shares, tower = [], spec.with_settings(reduction=reduction)
    with tower.open_encoder() as engine:
        for page in pages:
            (encoding,) = engine.encode([engine.prepare(page.picture)])
            worth = asked_for(page, settings.labels)
            cells = encoding.grid.row * encoding.grid.cols + encoding.grid.col
            shares.append(float(worth[cells].sum()))
    reading = read_whole(tower, pages, settings.read)
    return {"kept": round(sum(shares) / len(shares), 4), "score": dumped(reading.mean()), "reading": reading}


def summary(report: dict[str, Any], settings: KeepSettings, output: Path) -> str:
    """The report as lines of text, for the command."""
    share = settings.keep**settings.stages
    lines = [f"held-out pages, {share:.2f} of the tokens left at the end of the tower:"]
    for name in ("untrained", "trained"):
        each, metric = report[name], report["metric"]
        read = interval_text(each["score"])
        lines.append(f"  {name:10s} keeps {each['kept']:.3f} of what is asked for; {metric} {read}")
    gain = report["gain"]
    lines.append(f"  gain {interval_text(gain, sign=True)}")
    if not gains(gain):
        lines.append("no gain that the interval bears out")
    return "\n".join([*lines, f"{output}"])
