"""Trains the heads of learned scorers (`late`, `learned`, `cross`): where on a page a question should look.

An example is a scene (one page with its questions) and what each token is worth to each question: by the boxes of
answers and of their labels, by a map of where people looked, or by what the reader itself attends to. Pages are encoded
once (`saccade.training.stored`). Reported on pages that were not trained on: how much of what is worth looking at lies
in the best tokens, and what the reader answers from them; beside the head untrained, and two scorers that are not
trained at all.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from saccade.analysis.human_maps import auc, nss
from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines import Encoder, Engine
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.heads.files import save
from saccade.heads.scoring import KINDS, Head
from saccade.importance import Mix
from saccade.metrics.bootstrap import dumped
from saccade.settings import Settings
from saccade.training.losses import LOSSES
from saccade.training.losses import listwise as listwise
from saccade.training.maps import Maps
from saccade.training.reading import read_pages, text_of, top
from saccade.training.resumable import claim, course, generator, picked
from saccade.training.stored import Needs, Page, Pages, Teach, stored
from saccade.training.targets import Listened, WatchedReading, target_of
from saccade.types import Scene

Example = tuple[Scene, Tensor]
KEEP = 100  # tokens that are counted
MOST_QUESTIONS = 8  # of a page in one step
BYTES = 512  # a tokenizer with fewer entries spells: one token says little alone
SPELLED_SPAN = 9
RATE = 3e-3
SCORERS = {"query": "query", "query and edges": "query:0.3,edges:0.7"}
"""What a head is compared with: the first is its definition untrained, the second the default of looks."""


class HeadSettings(Settings):
    """How a head is trained."""

    panel = "How it is trained"

    kind: Literal["late", "mlp", "cross"] = Field(
        "late", description="The head of the scorer `late`, `learned` (mlp) or `cross`."
    )
    at: Literal["before", "after"] = Field(
        "after", description="Its input: features before the tower's merger, or tokens after it."
    )
    teacher: Literal["boxes", "maps", "attention", "reading"] = Field(
        "boxes",
        description="Who says what is worth looking at (answers' and labels' boxes, maps of where people looked in "
        "--data-path, the model's attention to a glimpse or while it reads)",
    )
    loss: Literal["listwise", "mse", "bce", "ranking"] = Field("listwise", description="The loss.")
    labels: float = Field(0.5, ge=0, le=1, description="Share of the target on labels; the rest is on answers.")
    steps: int = Field(400, ge=0, description="Training steps, one page with all its questions each.")
    rate: float | None = Field(None, gt=0, description="Initial learning rate; None: 0.003, with --reward 0.0001.")
    seed: int = Field(0, ge=0, description="Seed of the weights and of the order of pages.")
    channels: int = Field(8, ge=0, description="late: channels of the convolution over surrounding tokens; 0: none.")
    span: int | None = Field(None, ge=1, description="late: words projected together; None: 9 for bytes, else 1.")
    encoder: Literal["full", "ink"] = Field("full", description="Cells to encode: all, or all but blank ones.")
    levels: int = Field(1, ge=1, le=4, description="Number of sizes at which a page is encoded.")
    glimpse: int = Field(256, ge=16, description="Tokens of the glimpse of --teacher attention.")
    layer: int | None = Field(None, ge=0, description="Decoder layer of --teacher attention; None: the middle.")
    keep: int = Field(KEEP, ge=1, description="Tokens to count and read for the report.")
    read: int = Field(48, ge=0, description="Held-out questions to read for the report; 0: none.")
    cache: Path = Field(Path("runs/encodings"), description="Folder of encoded pages, reused by later trainings.")


@torch.no_grad()
def answer_share(score: Callable[[Scene], Tensor], examples: Sequence[Example], keep: int = KEEP) -> float:
    """Mean over questions of the share of the target in the `keep` best tokens. score: scene -> (B, N)."""
    shares: list[float] = []
    for scene, target in examples:
        ranked = score(scene).masked_fill(~scene.present, float("-inf"))
        best = ranked.topk(min(keep, ranked.shape[-1]), dim=-1).indices
        mass = target.sum(-1)
        shares += (target.gather(-1, best).sum(-1) / mass.clamp(min=1e-9))[mass > 0].tolist()
    return sum(shares) / max(1, len(shares))


def new_head(settings: HeadSettings, encoder: Encoder, page: Page) -> Head:
    """A head with untrained weights, for this model's widths of tokens and words."""
    scene = page.some([0])
    width = scene.features.shape[-1] if settings.at == "before" else scene.tokens.shape[-1]
    torch.manual_seed(settings.seed)
    sizes: dict[str, Any] = {}
    if settings.kind == "late":
        spells = len(encoder.family.tokenizer) <= BYTES
        sizes = {"channels": settings.channels, "span": settings.span or (SPELLED_SPAN if spells else 1)}
    elif settings.kind == "mlp":
        sizes = {"levels": settings.levels}
    return KINDS[settings.kind](settings.at, width, scene.query_tokens.shape[-1], **sizes)


def pages_of(settings: HeadSettings, engine: Encoder, dataset: Dataset, rows: Sequence[Row]) -> Pages:
    """The pages to train and judge on, encoded or read from the cache.

    Raises:
        ConfigError: none of the pages can be used.
    """
    teach: Teach | None = None
    taught: dict[str, Any] = {}
    if settings.teacher == "maps":
        if not isinstance(dataset, Maps):
            raise ConfigError("--teacher maps needs a folder of images and maps: give --data-path FOLDER")
        teach = lambda source, picture, encoding, asked: dataset.worth(source, encoding.grid)[None]  # noqa: E731
        taught = {"teacher": "maps"}
    elif settings.teacher == "attention":
        assert isinstance(engine, Engine)
        teach = Listened(engine, settings.glimpse, settings.layer)
        taught = {"teacher": "attention", "glimpse": settings.glimpse, "layer": settings.layer}
    elif settings.teacher == "reading":
        assert isinstance(engine, Engine)
        teach, taught = WatchedReading(engine), {"teacher": "reading"}
    looks = Episode(sampler="topk", fixations=1, encoder=settings.encoder, levels=settings.levels)
    needs: Needs = "boxes" if teach is None else "nothing"
    return stored(settings.cache, looks, engine, dataset, rows, needs=needs, teach=teach, taught=taught)


def train(
    settings: HeadSettings, spec: HF, dataset: Dataset, rows: Sequence[Row], output: Path, origin: dict[str, Any]
) -> dict[str, Any]:
    """Trains one head into `output`, or resumes; returns the report, which the card beside its weights holds as well.

    Raises:
        ConfigError: the data hold nothing to learn from, or `output` holds another training.
        KeyboardInterrupt: interrupted; the same call resumes.
    """
    claim(output, {**origin, "training": settings.dump()})
    listens = settings.teacher in ("attention", "reading") or settings.read
    with spec.open() if listens else spec.open_encoder() as engine:
        training_pages, held_out = pages_of(settings, engine, dataset, rows).split()
        head = new_head(settings, engine, training_pages[0])
        report: dict[str, Any] = {"pages": len(training_pages), "held_out": len(held_out), "keep": settings.keep}
        report["untrained"] = judged(settings, head, held_out)

        def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
            page = training_pages[picked(len(training_pages), step, settings.seed)]
            order = torch.randperm(len(page.asked), generator=generator(settings.seed, step))[:MOST_QUESTIONS]
            scene, target = page.some(order.tolist()), target_of(page, settings.labels)[order]
            return LOSSES[settings.loss](head(scene), target, scene.present), {}

        course(
            {"head": head},
            loss_of,
            output,
            steps=settings.steps,
            rate=settings.rate or RATE,
            name=f"{settings.kind} head",
        )
        report["trained"] = judged(settings, head, held_out)
        for name, scorer in SCORERS.items():
            report[name] = judged(settings, Mix.parse(scorer), held_out)
        if settings.read and isinstance(engine, Engine):
            report |= _read(settings, head, engine, held_out)
    save(head, output, model=spec.model, **settings.dump() | {"cache": None}, report=report)
    return report


def judged(settings: HeadSettings, score: Callable[[Scene], Tensor], pages: Sequence[Page]) -> dict[str, float]:
    """Agreement of scores with the teacher: the target's share in the best tokens; for maps also NSS and AUC."""
    examples = [(page.scene, target_of(page, settings.labels)) for page in pages]
    measures = {"share": round(answer_share(score, examples, settings.keep), 4)}
    if settings.teacher == "maps":
        with torch.no_grad():
            for name, measure in (("nss", nss), ("auc", auc)):
                values = [measure(score(scene), target, scene.present) for scene, target in examples]
                measures[name] = round(float(torch.cat(values).mean()), 4)
    return measures


def _read(settings: HeadSettings, head: Head, engine: Engine, pages: Sequence[Page]) -> dict[str, Any]:
    """Scores from the best tokens by the head and by the default scorers, the difference, with intervals over pages."""
    default = Mix.parse(SCORERS["query and edges"])
    ways: dict[str, Callable[[Scene], Tensor]] = {"by the head": head, "by query and edges": default}
    read = {
        name: read_pages(engine, pages, top(score, settings.keep), settings.read, f"reading {name}")
        for name, score in ways.items()
    }
    if not read["by the head"].scores:
        return {}
    gain = read["by the head"].over(read["by query and edges"])
    return {
        "metric": read["by the head"].metric,
        "read": {name: dumped(each.mean()) for name, each in read.items()},
        "gain": dumped(gain),
        "said": {name: text_of(each.mean()) for name, each in read.items()} | {"gain": text_of(gain, sign=True)},
    }


def summary(report: dict[str, Any], output: Path) -> str:
    """The report as lines of text, for the command."""
    ways = [name for name in ("trained", "untrained", *SCORERS) if name in report]
    lines = [
        f"share of what is worth looking at in the best {report['keep']} tokens, {report['held_out']} held-out pages:"
    ]
    lines += [
        f"  {name:16s} " + "  ".join(f"{key} {value:.3f}" for key, value in report[name].items()) for name in ways
    ]
    if readings := report.get("said"):
        lines += [f"read from the best {report['keep']} tokens ({report['metric']}):"]
        lines += [f"  {name:20s} {text}" for name, text in readings.items()]
    return "\n".join([*lines, f"{output}"])
