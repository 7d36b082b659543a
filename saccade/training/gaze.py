"""Train the gaze of a nano checkpoint: where on a page the answer to a question, or its label, is printed.

    python -m saccade.training.gaze --checkpoint saccade/nano --fonts /usr/share/fonts

A late-interaction head (`--scorer late`) over the frozen tower, fitted to the cells of answers *and* of their labels:
a gaze on either shows the reader what it needs. Pages are synthdoc's, clean and worn, seen whole, by their ink, or
shrunk to a glimpse. The head is written to `CHECKPOINT/gaze`, where the scorer finds it; nothing else is changed.

N cells of a view, Q questions of its page, T bytes of a question.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from saccade.datasets.synthdoc import PLAIN, VALIDATION_SEED, Real, render
from saccade.geometry.ink import ink
from saccade.heads.files import save
from saccade.heads.scoring import Late
from saccade.training.dense import REAL_SHARE, token_of
from saccade.training.fit import fit
from saccade.training.importance import listwise
from saccade.training.loop import autocast
from saccade.training.model import PATCH_PX, encode_cells, load_model
from saccade.training.parser import parser_of
from saccade.training.views import MOST_PX, drawn_size, resized
from saccade.types import Scene

FOLDER = "gaze"  # in a checkpoint's
SEED = 700
LOOK_TOK = 273


@dataclass(frozen=True, slots=True)
class Pointed:
    """A view of a page with all its questions."""

    scene: Scene
    target: Tensor  # (Q, N) share of each cell: half of it on the answer, half on its label
    answer: Tensor  # (Q, N) bool
    near: Tensor  # (Q, N) bool: cells of the answer or its label, and those beside them


@torch.no_grad()
def pointed(model: Any, seed: int, index: int, real: Real = PLAIN, page_px: int | None = None) -> Pointed:
    """Example `index` of `seed`; with page_px a clean page of that size seen whole, as in the tables."""
    draw = np.random.default_rng([seed, index, 5])
    printed = real if page_px is None and draw.random() < REAL_SHARE else None
    page = render(seed, index, page_px or drawn_size(draw), real=printed, most_px=MOST_PX)
    image, way = page.image, "whole" if page_px else str(draw.choice(["whole", "ink", "glimpse"], p=[0.3, 0.4, 0.3]))
    if way == "glimpse":
        image = resized(image, round(np.exp(draw.uniform(*np.log((200, 900))))))
    rows, cols = (s // PATCH_PX for s in image.shape)
    scale = rows * PATCH_PX / page.image.shape[0], cols * PATCH_PX / page.image.shape[1]
    at = token_of(page.chars, rows, cols, scale)
    inked = ink(torch.tensor(image)[None], PATCH_PX)[0].flatten() if way == "ink" else torch.ones(rows * cols).bool()
    shown = inked.nonzero()[:, 0]
    patches = torch.tensor(image).view(rows, PATCH_PX, cols, PATCH_PX).transpose(1, 2).reshape(rows * cols, -1)
    place = torch.stack([shown // cols, shown % cols], 1)
    with autocast(torch.device("cpu")):
        tokens = encode_cells(
            model.model.visual, patches[shown].float() / 127.5 - 1, torch.zeros_like(shown), place
        ).float()
    masks = np.stack([_cells(at, spans, rows * cols) for spans in (page.chars.answer_span, page.chars.key_span)])
    grown = torch.nn.functional.max_pool2d(torch.tensor(masks).float().view(2, -1, rows, cols), 3, 1, 1).flatten(2)
    answer, key = torch.tensor(masks)[:, :, shown]
    words = [torch.tensor(list(field.question.encode())) for field in page.fields]
    half = [mask.float() / mask.sum(-1, keepdim=True).clamp(min=1) for mask in (answer, key)]
    return Pointed(_scene(model, tokens, place, words), (half[0] + half[1]) / 2, answer, (grown.amax(0) > 0)[:, shown])


def _cells(at: NDArray[np.int64], spans: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    """(F, N) the cells that characters of each span stand in."""
    masks = np.zeros((len(spans), count), np.bool_)
    for mask, span in zip(masks, spans, strict=True):
        inside = at[slice(*span)]
        mask[inside[inside >= 0]] = True
    return masks


def _scene(model: Any, tokens: Tensor, place: Tensor, words: list[Tensor]) -> Scene:
    """One page with all its questions. Parts of the scene that the head does not read are empty."""
    count, length = len(words), max(len(w) for w in words)
    ids = torch.stack([torch.nn.functional.pad(w, (0, length - len(w))) for w in words])
    weight = torch.stack([(torch.arange(length) < len(w)).float() for w in words])
    every = tokens.new_ones(count, len(tokens)).bool()
    row, col = (p.expand(count, -1) for p in place.T)
    return Scene(
        pictures=(), grids=(), queries=(), valid=every, present=every, tokens=tokens.expand(count, -1, -1),
        features=tokens.new_zeros(count, len(tokens), 1, 0), received=tokens.new_zeros(count, len(tokens)),
        centre_uv=tokens.new_zeros(count, len(tokens), 2), row=row, col=col, level=torch.zeros_like(row),
        query_tokens=model.model.language_model.embed_tokens(ids).detach().float() * weight[..., None],
        query_weight=weight,
    )  # fmt: skip


def losses(head: Late, model: Any, seed: int, real: Real) -> Iterator[Tensor]:
    """Endless losses, one per page; pages without a question in view are skipped."""
    index = 0
    while True:
        example = pointed(model, seed, index, real)
        index += 1
        if bool(example.answer.any()):
            yield listwise(head(example.scene), example.target, example.scene.present)


@torch.no_grad()
def evaluate(head: Late, model: Any, page_px: int, pages: int) -> dict[str, float]:
    """On clean validation pages: share of questions whose first gaze lies on the answer or its label (grown by one
    cell), on the answer alone, and whose answer is covered by the cells nearest to that gaze, or of the best score."""
    hits: list[list[float]] = []
    for index in range(pages):
        example = pointed(model, VALIDATION_SEED + 1, index, page_px=page_px)
        scene, logits = example.scene, head(example.scene)
        gaze = logits.argmax(-1)
        place = torch.stack([scene.row, scene.col], -1).float()
        far = (place - place.gather(1, gaze[:, None, None].expand(-1, 1, 2))).norm(dim=-1)
        for q, first in enumerate(gaze.tolist()):
            total = example.answer[q].sum().clamp(min=1)
            around = far[q].topk(min(LOOK_TOK, far.shape[1]), largest=False).indices
            best = logits[q].topk(min(LOOK_TOK, far.shape[1])).indices
            covers = [float(example.answer[q, part].sum() / total) for part in (around, best)]
            hits.append([float(example.near[q, first]), float(example.answer[q, first]), *covers])
    names = ("gaze_on_answer_or_label", "gaze_on_answer", "covered_around_gaze", "covered_by_best")
    return {"n": len(hits), **dict(zip(names, np.mean(hits, 0).round(4).tolist(), strict=True))}


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Trains the head, writes it into the checkpoint's folder, prints its scores."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--checkpoint", type=Path, default=Path("saccade/nano"), help="folder of the checkpoint [saccade/nano]"
    )
    parser.add_argument("--out", type=Path, help="folder of the head [CHECKPOINT/gaze]")
    parser.add_argument("--steps", type=int, default=2500, help="training pages, each with all its questions [2500]")
    parser.add_argument("--rate", type=float, default=3e-3, help="learning rate [0.003]")
    parser.add_argument("--pages", type=int, default=20, help="held-out pages per size [20]")
    parser.add_argument("--fonts", default="", help="folder of fonts for worn pages")
    parser.add_argument("--words", default="", help="folder of word lists for worn pages")
    args = parser.parse_args(argv)
    model: Any = load_model(args.checkpoint).eval().requires_grad_(False)
    width = model.config.text_config.hidden_size
    torch.manual_seed(SEED)
    head = Late("after", width, width, span=9, channels=8)
    report: dict[str, Any] = {"untrained": evaluate(head, model, 1024, args.pages)}
    curve = fit(head, losses(head, model, SEED, Real(args.fonts, args.words)), args.steps, args.rate, weight_decay=0.01)
    for px in (512, 1024):
        report[f"{px} px"] = evaluate(head, model, px, args.pages)
    notes = {"steps": args.steps, "loss": round(float(np.mean(curve[-50:])), 3), "scores": report}
    save(head, args.out or args.checkpoint / FOLDER, model=args.checkpoint.name, **notes)
    print(json.dumps(notes, indent=1))
    return report


if __name__ == "__main__":
    main()
