"""Trains what to show end to end: the levels' shares and a scorer together, by the reader's own loss.

    L = L_task + weight * L_efficiency

L_task is minus the log-probability of the right answer, per token; L_efficiency the share of the page's tokens that are
shown. A look starts at `most` tokens and ends at `least` (800 to 73): first all that matters is seen, then the best of
it has to be told from the rest. The allocator may leave tokens unspent, so that L_efficiency has something to decide.

The gradient is straight-through: forward, exactly the tokens are there that the sampler `pyramid` would show; backward,
every other token stands beside them with weight 0 (`HFEngine.answer_loss`), and its gradient says what it would add.
One pass of the reader thus speaks of all tokens at once, where outcomes of drawn sets (`saccade.training.reward`) speak
of a few sets; the price is a bias, that a token's worth is judged at the border of being shown. Soft weights forward,
too, would train a reader's view that no look ever has.

Large looks teach a scorer little, since next to everything is shown, and single questions are noise: steps of one
question at ten times the rate unlearned what boxes had taught (0.67 to 0.31 at 70 tokens per look).
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, field_validator
from torch import Tensor

from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines.hf import HF, HFEngine
from saccade.files import write_text
from saccade.geometry.levels import soft_selection
from saccade.heads.allocator import LevelNet, whole_tok
from saccade.heads.files import save, weights_hash
from saccade.heads.scoring import Head
from saccade.metrics.bootstrap import dumped, gains
from saccade.settings import Option, Settings, Short
from saccade.training.reading import Reading, read_pages, text_of
from saccade.training.resumable import claim, course, picked
from saccade.training.reward import asked_in, start_of
from saccade.training.stored import Page, Pages, frozen
from saccade.types import Canvas, Part

SCORER, ALLOCATOR, RESULTS = "scorer", "allocator", "results.json"
SETTLED = 0.8  # of the steps: then a look has its smallest size
SPARE = 0.05  # of a look's tokens that are left unspent to begin with
WIDTH, WIDTH_TOK = 1.0, 8.0  # of the sigmoids that gradients pass: in logits, in tokens of 273


class JointSettings(Settings):
    """How allocator and scorer are trained together."""

    panel = "How it is trained"

    init: Path | None = Field(None, description="The scorer to start from; None: the checkpoint's own gaze.")
    weights: Annotated[
        tuple[float, ...],
        Option(
            spelled=Short(
                name="weights",
                metavar="A,B,...",
                help="Weights of efficiency, one training each. [default: 0.01,0.03,0.1]",
            )
        ),
    ] = Field((0.01, 0.03, 0.1), min_length=1, description="Weights of efficiency, one training each.")
    most: int = Field(800, ge=1, description="Tokens per look at the beginning.")
    least: int = Field(73, ge=1, description="Tokens per look at the end, and in the report.")
    levels: int = Field(3, ge=2, le=4, description="Number of sizes at which a page is encoded.")
    encoder: str = Field("ink", pattern="^(full|ink)$", description="Cells to encode: full or ink.")
    steps: int = Field(300, ge=0, description="Steps of each training.")
    batch: int = Field(4, ge=1, description="Questions per step; the gradient of a single one is mostly noise.")
    rate: float = Field(3e-5, gt=0, description="Initial learning rate; it falls to 0.")
    seed: int = Field(0, ge=0, description="Seed of the order of questions.")
    read: int = Field(96, ge=0, description="Held-out questions to read for the report.")
    cache: Path = Field(Path("runs/encodings"), description="Folder of encoded pages, reused by later trainings.")

    @field_validator("weights", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        weights = tuple(float(each) for each in (value.split(",") if isinstance(value, str) else value))
        if any(weight < 0 for weight in weights):
            raise ValueError("weights of efficiency are 0 or more, as in 0.01,0.1")
        return weights


def size_of(settings: JointSettings, step: int) -> int:
    """Tokens per look in a step: from `most` down to `least`, by equal factors."""
    done = min(1.0, step / max(1, SETTLED * settings.steps))
    return round(math.exp((1 - done) * math.log(settings.most) + done * math.log(settings.least)))


@dataclass(frozen=True, slots=True)
class Chooser:
    """A scorer and an allocator: which tokens of a page one look shows."""

    head: Head
    net: LevelNet

    def chosen(self, page: Page, number: int, keep: int) -> Tensor:
        """(K,) int64: the tokens that the sampler `pyramid` shows, the best of each level."""
        scene = page.some([number])
        with torch.no_grad():
            shares = self.net(scene)
            spent = whole_tok(shares.sum(-1), keep).double()
            selected = soft_selection(self.head(scene), scene.level, scene.valid, shares, spent, 1.0, 1.0)
        return selected[0].nonzero().flatten()


def task(
    engine: HFEngine, chooser: Chooser, page: Page, number: int, keep: int, weight: float
) -> tuple[Tensor, dict[str, float]]:
    """The loss () of one question at `keep` tokens per look, and its terms."""
    scene, question = page.some([number]), page.asked[number][0]
    logits, shares = chooser.head(scene), chooser.net(scene)
    spent = keep * shares.sum(-1).double()  # (1,)
    width_tok = max(1.0, WIDTH_TOK * keep / 273)
    selected = soft_selection(logits, scene.level, scene.valid, shares, spent, width_tok, WIDTH)[0]
    canvas = Canvas(page.encoding.grid.rows, page.encoding.grid.cols, (Part.of(page.encoding),))
    assert question.answers
    nats = engine.answer_loss(canvas, question.text, question.answers[0], selected)
    shown = spent[0].clamp(max=len(selected)).float() / len(selected)
    facts = {"nats": float(nats.detach()), "tokens": float(selected.detach().sum()), "size": float(keep)}
    return nats + weight * shown.to(nats.device), facts


def train(
    settings: JointSettings, spec: HF, dataset: Dataset, rows: Sequence[Row], output: Path, origin: dict[str, Any]
) -> dict[str, Any]:
    """Trains one allocator and scorer per weight into `output`, or resumes; returns the report, also in `output`.

    Raises:
        ConfigError: no question has answers, or `output` holds another training.
        KeyboardInterrupt: interrupted; the same call resumes.
    """
    claim(output, {**origin, "training": settings.dump(), "init": weights_hash(settings.init)})
    looks = Episode(sampler="pyramid", fixations=1, levels=settings.levels, encoder=settings.encoder)
    with frozen(spec.open(), settings.cache, looks, dataset, rows, needs="answers") as (engine, pages):
        training_pages, held_out = pages.split()
        questions = asked_in(training_pages)
        before, first = _read(settings, engine, held_out, _start(settings, engine, pages[0]), "untrained")
        report: dict[str, Any] = {"untrained": first}
        for weight in settings.weights:
            chooser, name = _start(settings, engine, pages[0]), f"weight {weight:g}"
            folder, modules = output / f"weight-{weight:g}", {SCORER: chooser.head, ALLOCATOR: chooser.net}
            loss_of = _loss(settings, engine, chooser, training_pages, questions, weight)
            course(modules, loss_of, folder, steps=settings.steps, rate=settings.rate, name=name)
            after, held_out_facts = _read(settings, engine, held_out, chooser, name)
            gain = after.over(before)
            report[name] = {
                **held_out_facts,
                "gain": dumped(gain),
                "gain_said": text_of(gain, sign=True),
            }
            notes = {**settings.dump(), "cache": None, "weight": weight, "report": report[name]}
            for part, module in modules.items():
                save(module, folder / part, model=spec.model, **notes)
    write_text(output / RESULTS, json.dumps({**report, "settings": settings.dump()}, indent=1) + "\n")
    return report


def _loss(
    settings: JointSettings, engine: HFEngine, chooser: Chooser, pages: Pages, questions: Sequence[tuple[int, int]],
    weight: float,
) -> Callable[[int], tuple[Tensor, dict[str, float]]]:  # fmt: skip
    """A function from the step to the mean loss of its questions and the means of its terms."""

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        losses = []
        for turn in range(step * settings.batch, (step + 1) * settings.batch):
            at, number = questions[picked(len(questions), turn, settings.seed)]
            losses.append(task(engine, chooser, pages[at], number, size_of(settings, step), weight))
        mean = {name: sum(facts[name] for _, facts in losses) / len(losses) for name in losses[0][1]}
        return torch.stack([loss for loss, _ in losses]).mean(), mean

    return loss_of


def _read(
    settings: JointSettings, engine: HFEngine, pages: Pages, chooser: Chooser, name: str
) -> tuple[Reading, dict[str, Any]]:
    """Scores of held-out questions at the smallest look, and facts about them: score, and tokens shown."""
    shown: list[int] = []

    def chosen(page: Page, number: int) -> Tensor:
        index = chooser.chosen(page, number, settings.least)
        shown.append(len(index))
        return index

    reading = read_pages(engine, pages, chosen, settings.read, f"reading {name}")
    mean = reading.mean()
    return reading, {
        "tokens": round(sum(shown) / max(1, len(shown)), 1),
        "score": dumped(mean),
        "metric": reading.metric,
        "said": text_of(mean),
    }


def _start(settings: JointSettings, engine: HFEngine, page: Page) -> Chooser:
    """A trained scorer, and an untrained allocator that gives finer levels larger shares."""
    head, _ = start_of(settings.init, engine.family.gaze)
    torch.manual_seed(settings.seed)
    shares = tuple((level + 1) / 10 for level in range(settings.levels))[::-1]
    return Chooser(head, LevelNet(page.asked[0][1].tokens.shape[-1], settings.levels, start=shares, spare=SPARE))


def summary(report: dict[str, Any], settings: JointSettings, output: Path) -> str:
    """What each weight gained, as lines of text for the command."""
    metric = report["untrained"]["metric"]
    lines = [f"answers on held-out pages at {settings.least} tokens per look at most ({metric}):"]
    for name, each in report.items():
        gain = f"  gain {each['gain_said']}" if "gain_said" in each else ""
        lines.append(f"  {name:12s} {each['said']:22s} {each['tokens']:6.1f} tokens{gain}")
    if not any(gains(each.get("gain")) for each in report.values()):
        lines.append("no gain that the intervals bear out: keep the scorer it started from")
    return "\n".join([*lines, f"{output}"])
