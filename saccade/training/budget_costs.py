"""Measures what each budget reads of each question, and trains the learned budget on it (`saccade train budget`).

Every question is read at every budget, with the best tokens by a scorer: 1 - its score is the loss of that budget. From
page and question a small network then predicts which budget is worth its tokens (`saccade.training.budget`). What is
reported is of held-out pages: the network's choice beside each fixed budget.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, field_validator
from rich.progress import track
from torch import Tensor

from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines import Engine
from saccade.engines.hf import HF
from saccade.heads.budget import LEVELS, BudgetNet
from saccade.heads.files import save
from saccade.metrics.bootstrap import bootstrap_difference, bootstrap_mean, dumped, gains, interval_text
from saccade.metrics.scoring import title
from saccade.settings import Option, Settings, Short
from saccade.training.budget import loss as budget_loss
from saccade.training.reading import Score, read_answer, taken
from saccade.training.resumable import claim, course, generator, kept_lines
from saccade.training.stored import Page, Pages, frozen

Asked = tuple[str, str]
"""A picture's hash and a question's id."""
MEASURED = "measured.jsonl"
BATCH = 64
RATE, STRICT = 3e-3, 1.0


class SpendingSettings(Settings):
    """What is measured, and how the network is trained on it."""

    panel = "How it is trained"

    budgets: Annotated[
        tuple[int, ...],
        Option(
            spelled=Short(name="budgets", metavar="A,B,...", help="Budgets to choose from. [default: 73,111,273,421]")
        ),
    ] = Field(LEVELS, min_length=2, description="Numbers of tokens to choose from.")
    scorer: str = Field("late", description="NAME[:weight],...: scorers that choose the tokens of a budget.")
    target: int = Field(150, ge=1, description="Tokens that a question should cost on average.")
    encoder: str = Field("full", pattern="^(full|ink)$", description="Cells to encode: full or ink.")
    steps: int = Field(300, ge=0, description="Batches of 64 questions.")
    seed: int = Field(0, ge=0, description="Seed of the weights and of the batches.")
    cache: Path = Field(Path("runs/encodings"), description="Folder of encoded pages, reused by later trainings.")

    @field_validator("budgets", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(sorted({int(each) for each in (value.split(",") if isinstance(value, str) else value)}))


def measured(engine: Engine, pages: Pages, score: Score, levels: Sequence[int], file: Path) -> dict[Asked, list[float]]:
    """The scores of every question at each budget. Those missing in `file` are measured and appended.

    An image that was replaced has another hash: what was measured of the earlier one stays in the file, unused.
    """
    lines = kept_lines(file, lambda line: line.keys() >= {"picture", "question", "scores"})
    done = {(line["picture"], line["question"]): line["scores"] for line in lines}
    scores: dict[Asked, list[float]] = {}
    with file.open("a") as out:
        for page in track(pages, "reading at every budget", disable=not sys.stderr.isatty()):
            for number in range(len(page.asked)):
                asked = asked_of(page, number)
                if asked not in done:
                    scene = page.some([number])
                    with torch.no_grad():
                        worth = score(scene)
                    shown = [taken(worth, scene, level)[0] for level in levels]
                    done[asked] = [read_answer(engine, page, number, index) for index in shown]
                    out.write(json.dumps({"picture": asked[0], "question": asked[1], "scores": done[asked]}) + "\n")
                    out.flush()
                scores[asked] = done[asked]
    return scores


def asked_of(page: Page, number: int) -> Asked:
    """What a measurement is of: the picture's hash and the question's id."""
    return page.encoding.picture_hash, page.asked[number][0].id


def train(
    settings: SpendingSettings, spec: HF, dataset: Dataset, rows: Sequence[Row], output: Path, origin: dict[str, Any]
) -> dict[str, Any]:
    """Trains a budget into `output`, or resumes; returns its tokens and scores beside those of fixed budgets.

    Raises:
        ConfigError: no question has answers, or `output` holds another training.
        KeyboardInterrupt: interrupted; the same call resumes.
    """
    claim(output, {**origin, "training": settings.dump()})
    looks = Episode(sampler="topk", fixations=1, encoder=settings.encoder, scorer=settings.scorer)
    with frozen(spec.open(), settings.cache, looks, dataset, rows, needs="answers") as (engine, pages):
        score = looks.with_gaze(engine.family.gaze).strategies.score
        training_pages, held_out = pages.split()
        measurements = measured(engine, pages, score, settings.budgets, output / MEASURED)
        torch.manual_seed(settings.seed)
        net = BudgetNet(pages[0].asked[0][1].tokens.shape[-1], settings.budgets)
        features, scores, _ = _table(net, training_pages, measurements)

        def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
            some = torch.randperm(len(features), generator=generator(settings.seed, step))[:BATCH]
            expected = float(net.expected_tok(net(features[some])).mean().detach())
            return budget_loss(net, features[some], 1 - scores[some], settings.target, STRICT), {"tokens": expected}

        course({"budget": net}, loss_of, output, steps=settings.steps, rate=RATE, name="budget")
        report = judged(net, *_table(net, held_out, measurements))
        report["metric"] = title(question.metric for page in held_out for question, _ in page.asked)
    save(net, output, model=spec.model, **settings.dump() | {"cache": None}, report=report)
    return report


def _table(
    net: BudgetNet, pages: Pages, measurements: Mapping[Asked, Sequence[float]]
) -> tuple[Tensor, Tensor, list[str]]:
    """Features (n, F), scores (n, levels) and the image id of each question of these pages."""
    features, scores, image_ids = [], [], []
    for page in pages:
        for number in range(len(page.asked)):
            features.append(net.features(page.some([number]))[0])
            scores.append(torch.tensor(measurements[asked_of(page, number)]))
            image_ids.append(page.image_id)
    return torch.stack(features).detach(), torch.stack(scores), image_ids


@torch.no_grad()
def judged(net: BudgetNet, features: Tensor, scores: Tensor, pages: Sequence[str]) -> dict[str, Any]:
    """Score and tokens of the network's choice and of each fixed budget; the gain over what as many tokens read.

    As many tokens: the two fixed budgets around the choice's mean, mixed so that they cost as much.
    """
    place = net(features).argmax(-1)
    own, levels = scores.gather(1, place[:, None])[:, 0], torch.tensor(net.levels).float()
    mean_tok = float(levels[place].mean())
    above = next((i for i, level in enumerate(net.levels) if level >= mean_tok), len(net.levels) - 1)
    below = max(0, above - 1)
    share = (mean_tok - net.levels[below]) / max(1, net.levels[above] - net.levels[below])
    even = (1 - share) * scores[:, below] + share * scores[:, above]
    readings = {
        "chosen": bootstrap_mean(own.tolist(), pages),
        **{f"{level} tokens": bootstrap_mean(scores[:, i].tolist(), pages) for i, level in enumerate(net.levels)},
        "gain": bootstrap_difference(own.tolist(), even.tolist(), pages),
    }
    report: dict[str, Any] = {name: dumped(each) for name, each in readings.items()}
    used = {str(level): int((place == i).sum()) for i, level in enumerate(net.levels)}
    return {**report, "tokens": round(mean_tok, 1), "used": used}


def summary(report: dict[str, Any], output: Path) -> str:
    """The report as lines of text, for the command."""
    chosen = f"  chosen       {interval_text(report['chosen'])}  {report['tokens']} tokens"
    lines = [f"held-out pages ({report['metric']}):", chosen]
    lines += [f"  {name:12s} {interval_text(each)}" for name, each in report.items() if name.endswith(" tokens")]
    gain = report["gain"]
    lines.append(f"  gain over fixed budgets of as many tokens {interval_text(gain, sign=True)}")
    lines.append(f"  chosen so often: {', '.join(f'{tokens} {times}' for tokens, times in report['used'].items())}")
    nothing = "no gain that the interval bears out: a fixed budget is as good"
    lines.append("it pays on these pages" if gains(gain) else nothing)
    return "\n".join([*lines, f"{output}"])
