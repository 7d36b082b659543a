"""Trains the heads of learned scorers (I2 late, I13 learned, I16 cross) on tokens that lie under answer boxes.

    python -m saccade.training.importance --kind late --at before --pages 64 --out heads/late
    saccade ask page.png "What is the total?" --set scorer='[{name: late, head: heads/late}]'

An example is a scene (one image with its questions) and, for each token, how much of the target it is: 1 where an
answer box lies, or any human map of attention. Pages are synthdoc's under a seed of their own; it prints the share of
the answer's tokens among the best 100 before and after training, on pages it has not seen, beside the query cosine's.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.progress import track
from torch import Tensor

from saccade.datasets import Dataset, Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines import Encoder
from saccade.engines.hf import HF
from saccade.errors import SaccadeError
from saccade.geometry.grid import in_boxes
from saccade.heads.files import save
from saccade.heads.scoring import KINDS, Head
from saccade.importance.query import QueryCosine
from saccade.training.fit import drawn, fit
from saccade.types import Query, Scene

Example = tuple[Scene, Tensor]
SEED = 500  # of the pages; tables use 0, calibration 1000
KEEP = 100  # tokens that are counted


def listwise(logits: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of the softmax over an image's tokens to its target (B, N) >= 0, mean over images that have one.

    ListNet's top-one loss (Cao et al. 2007): it ranks tokens of one image, and no image against another.
    """
    log_p = logits.masked_fill(~present, float("-inf")).log_softmax(-1)
    target = target.float().masked_fill(~present, 0.0)
    mass = target.sum(-1)
    loss = -(target * log_p.masked_fill(~present, 0.0)).sum(-1) / mass.clamp(min=1e-9)
    return (loss * (mass > 0)).sum() / (mass > 0).sum().clamp(min=1)


def train_head(
    head: Head, examples: Sequence[Example], *, steps: int, rate: float = 3e-3, seed: int = 0
) -> list[float]:
    """Fits a head in place with AdamW, one example a step in an order drawn from `seed`; the loss of each step."""
    losses = (listwise(head(scene), target, scene.present) for scene, target in drawn(examples, seed))
    return fit(head, losses, steps, rate, weight_decay=0.01)


def examples_of(encoder: Encoder, dataset: Dataset) -> list[Example]:
    """One example an image: its questions that have answer boxes, with the tokens that a box overlaps.

    Encoded once each, whole; images and questions that cannot be used are left out.
    """
    found = []
    for row in track([row for row in dataset.rows() if isinstance(row, Row)], "encoding"):
        try:
            sample = dataset.sample(row)
            (encoding,) = encoder.encode([encoder.prepare(sample.picture)])
        except SaccadeError:
            continue
        boxed = [question for question in sample.questions if question.answer_boxes_uv and question.error is None]
        asked: list[tuple[Query, Tensor]] = []
        for question in boxed:
            asked.append((encoder.query(question.text), in_boxes(encoding.grid, question.answer_boxes_uv).float()))
        if asked:
            scene = Scene.of([(sample.picture, encoding, query) for query, _ in asked])
            found.append((scene, torch.stack([target for _, target in asked])))
    return found


@torch.no_grad()
def answer_share(score: Callable[[Scene], Tensor], examples: Sequence[Example], keep: int = KEEP) -> float:
    """Share of the target that lies in the `keep` best tokens by (scene) -> (B, N), mean over questions."""
    shares: list[float] = []
    for scene, target in examples:
        ranked = score(scene).masked_fill(~scene.present, float("-inf"))
        best = ranked.topk(min(keep, ranked.shape[-1]), dim=-1).indices
        mass = target.sum(-1)
        shares += (target.gather(-1, best).sum(-1) / mass.clamp(min=1e-9))[mass > 0].tolist()
    return sum(shares) / max(1, len(shares))


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Trains one head, writes it, prints what it learned."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=sorted(KINDS), default="late")
    parser.add_argument("--at", choices=("before", "after"), default="before", help="the merger")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--pages", type=int, default=64, help="trained on; a quarter as many are held out")
    parser.add_argument("--page-px", type=int, default=512)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--out", type=Path, required=True, help="folder of the head")
    given = parser.parse_args(argv)
    with HF(model=given.model).open_encoder() as encoder:
        trained, held_out = (
            examples_of(encoder, SynthDoc(page_px=given.page_px, num_pages=pages, seed=seed))
            for seed, pages in ((SEED, given.pages), (SEED + 1, max(1, given.pages // 4)))
        )
    scene = trained[0][0]
    width = scene.features.shape[-1] if given.at == "before" else scene.tokens.shape[-1]
    torch.manual_seed(0)
    head = KINDS[given.kind](given.at, width, scene.query_tokens.shape[-1])  # type: ignore[call-arg]
    report = {"query": answer_share(QueryCosine(), held_out), "untrained": answer_share(head, held_out)}
    train_head(head, trained, steps=given.steps, rate=given.rate)
    report["trained"] = answer_share(head, held_out)
    save(head, given.out, model=given.model, pages=given.pages, page_px=given.page_px, steps=given.steps, **report)
    print(f"{given.out}: share of the answer's tokens in the best {KEEP} on {len(held_out)} held-out pages: {report}")
    return report


if __name__ == "__main__":
    main()
