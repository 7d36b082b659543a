"""Trains whether tokens that are alike are pruned or merged in each block of the vision tower (`saccade train gates`),
for the reduction `fusion`.

No labels are needed: each token that leaves the tower stands for those that went into it, and should equal what they
are without fusion. Reported on held-out pages: how far tokens are from that, and what is answered, beside untrained
gates (the first half of the blocks prunes, the second merges).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity

from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines import Encoder
from saccade.engines.hf import HF
from saccade.families._walk import walk
from saccade.files import write_text
from saccade.metrics.bootstrap import dumped, gains, interval_text
from saccade.reduction.fusion import Fusion
from saccade.settings import Settings
from saccade.training.keep import entering, read_whole
from saccade.training.reduction import Gates
from saccade.training.resumable import claim, course, picked
from saccade.training.stored import Page, frozen

FILE = "fusion.yaml"


class GateSettings(Settings):
    """How it is trained."""

    panel = "How it is trained"

    r: int = Field(32, ge=1, description="Most tokens that leave per block and image.")
    steps: int = Field(60, ge=0, description="Training steps, one page each.")
    rate: float = Field(0.1, gt=0, description="Initial learning rate; it falls to 0.")
    seed: int = Field(0, ge=0, description="Seed of the order of pages.")
    read: int = Field(96, ge=0, description="Held-out questions to read for the report; 0: none.")
    cache: Path = Field(Path("runs/encodings"), description="Folder of encoded pages, reused by later trainings.")


def away(engine: Encoder, fusion: Fusion, page: Page) -> Tensor:
    """() float32: mean 1 - cosine between a page's tokens with fusion and without.

    A pruned token counts 1: the reader gets nothing of it.
    """
    with torch.no_grad():
        blocks, tokens, order = entering(engine)([engine.prepare(page.picture)])
    walked = walk(blocks, tokens, fusion, listen=False)
    fused = blocks.tower.merger(walked.states.flatten(0, 1)).float()
    kept, whole = walked.into >= 0, page.encoding.tokens.to(fused.device)[order].float()
    near = cosine_similarity(fused[walked.into[kept]], whole[kept], dim=-1)
    return 1 - near.sum() / len(whole)


def train(
    settings: GateSettings, spec: HF, dataset: Dataset, rows: Sequence[Row], output: Path, origin: dict[str, Any]
) -> dict[str, Any]:
    """Trains gates into `output`, or resumes; returns how far they move tokens, and the scores of answers.

    Raises:
        ConfigError: the model's tower cannot merge, or `output` holds another training.
        KeyboardInterrupt: interrupted; the same call resumes.
    """
    claim(output, {**origin, "training": settings.dump()})
    start = Fusion(r=settings.r)
    looks = Episode(sampler="topk", fixations=1)
    with frozen(spec.open_encoder(), settings.cache, looks, dataset, rows, needs="nothing") as (engine, pages):
        training_pages, held_out = pages.split()
        gates = Gates(start, entering(engine)([engine.prepare(pages[0].picture)])[0].num_layers)

        def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
            return away(engine, gates.learning(), training_pages[picked(len(training_pages), step, settings.seed)]), {}

        course({"gates": gates}, loss_of, output, steps=settings.steps, rate=settings.rate, name="gates")
        ways = {"untrained": start, "trained": gates.settled()}
        with torch.no_grad():
            report: dict[str, Any] = {
                name: {"away": round(sum(float(away(engine, way, page)) for page in held_out) / len(held_out), 4)}
                for name, way in ways.items()
            }
    readings = {}
    for name, way in ways.items():
        readings[name] = read_whole(spec.with_settings(reduction=way.spec()), held_out, settings.read)
        report[name]["score"] = dumped(readings[name].mean())
    gain = dumped(readings["trained"].over(readings["untrained"]))
    report |= {"gain": gain, "gates": list(ways["trained"].gates or ()), "metric": readings["trained"].metric}
    config = {"engine": {"name": "hf", "reduction": ways["trained"].dump() | {"name": "fusion"}}}
    write_text(output / FILE, yaml.safe_dump(config, sort_keys=False))
    return report


def summary(report: dict[str, Any], output: Path) -> str:
    """The report as lines of text, for the command."""
    lines = ["held-out pages, distance from the tokens without fusion (1 - cosine), and what is read:"]
    for name in ("untrained", "trained"):
        each = report[name]
        lines.append(f"  {name:10s} {each['away']:.3f}  {report['metric']} {interval_text(each['score'])}")
    gain = report["gain"]
    lines.append(f"  gain {interval_text(gain, sign=True)}")
    lines.append(
        "gates, block by block, 0 prunes and 1 merges: " + ", ".join(f"{gate:.2f}" for gate in report["gates"])
    )
    if not gains(gain):
        lines.append("no gain in answers that the interval bears out")
    return "\n".join([*lines, f"{output / FILE}"])
