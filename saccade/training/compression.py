"""Train a resampler or an autoencoder on any supported model's own tokens, on pages generated here.

    python -m saccade.training.compression autoencoder --code 64 --out runs/codec
    python -m saccade.training.compression resampler --queries 273 --out runs/few

and then, with either, `saccade ask page.png "..." --sampler full --set engine.reduction.name=autoencoder
--set engine.reduction.weights=runs/codec`. The module learns to rebuild the tokens. It is judged on held-out pages by
the share of the tokens' variance that is lost, and with `--read` by the score of the answers.
"""

import argparse
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines import Encoder
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.heads.codec import Codec
from saccade.heads.files import save
from saccade.heads.queries import Queries
from saccade.training.comparing import compared, reported, summary
from saccade.training.parser import parser_of
from saccade.training.reduction import rebuilding_loss, train_autoencoder, train_resampler
from saccade.training.resumable import CURVE
from saccade.types import Encoding

AUTOENCODER, RESAMPLER = "autoencoder", "resampler"
Trained = Codec | Queries
BATCH_TOK = 4096  # tokens an autoencoder sees in one step


def encodings(encoder: Encoder, num_pages: int, page_px: int, split: Literal["train", "validation"]) -> list[Encoding]:
    """Encodings of generated pages; the two splits share no page."""
    dataset = _dataset(num_pages, page_px, split, 1)
    samples = [dataset.sample(row) for row in dataset.rows() if isinstance(row, Row)]
    whole = [encoder.encode([encoder.prepare(sample.picture)])[0] for sample in samples]
    return [replace(page, tokens=page.tokens.clone()) for page in whole]  # the tower's own cannot be trained on


def _dataset(num_pages: int, page_px: int, split: Literal["train", "validation"], questions: int) -> SynthDoc:
    return SynthDoc(page_px=page_px, num_pages=num_pages, questions_per_page=questions, split=split)


def train(kind: str, pages: list[Encoding], steps: int, size: int, seed: int = 0) -> tuple[Trained, list[float]]:
    """A codec of `size` numbers per token, or a resampler of `size` queries, trained on these pages; each step's loss.

    0 steps leave the resampler as it was drawn and the codec at the principal components, the best that is linear.

    Raises:
        ConfigError: `kind` is neither.
    """
    torch.manual_seed(seed)
    width = pages[0].tokens.shape[-1]
    if kind == AUTOENCODER:
        codec, tokens = Codec(width, size), torch.cat([page.tokens for page in pages])
        return codec, train_autoencoder(codec, _drawn(tokens), steps)
    if kind == RESAMPLER:
        module = Queries(width, size)
        batches = ((page.tokens[None], page.grid.centre_uv[None]) for page in itertools.cycle(pages))
        return module, train_resampler(module, batches, steps)
    raise ConfigError(f"{kind!r} is neither {AUTOENCODER} nor {RESAMPLER}")


def _drawn(tokens: Tensor) -> Iterator[Tensor]:
    """All tokens first, for the principal components; then random ones."""
    yield tokens
    while True:
        yield tokens[torch.randint(len(tokens), (BATCH_TOK,))]


@torch.no_grad()
def lost(module: Trained, pages: list[Encoding]) -> float:
    """Share of the tokens' variance that is lost by compressing and rebuilding, mean over pages."""
    shares = []
    for page in pages:
        tokens = page.tokens.float()
        if isinstance(module, Queries):
            codes, attention = module(tokens[None], page.grid.centre_uv[None])
            error = rebuilding_loss(codes, attention, tokens[None])
        else:
            error = (module(tokens) - tokens).square().mean()
        shares.append(float(error / (tokens - tokens.mean(0)).square().mean()))
    return sum(shares) / len(shares)


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command; returns the notes that it wrote beside the weights."""
    parser = parser_of(__doc__)
    parser.add_argument("kind", choices=[AUTOENCODER, RESAMPLER])
    parser.add_argument("--out", type=Path, required=True, help="folder of the result")
    parser.add_argument("--model", default="nano", help="model whose tokens are compressed [nano]")
    parser.add_argument("--code", type=int, default=64, help="autoencoder: numbers per token [64]")
    parser.add_argument("--queries", type=int, default=273, help="resampler: tokens per page [273]")
    parser.add_argument("--steps", type=int, default=500, help="steps of the optimizer [500]")
    parser.add_argument("--pages", type=int, default=64, help="training pages; a quarter as many are held out [64]")
    parser.add_argument("--page-px", type=int, default=512, help="longest side of the pages [512]")
    parser.add_argument("--read", type=int, default=0, help="held-out questions to read with and without it [0]")
    args = parser.parse_args(argv)
    with HF(model=args.model).open_encoder() as encoder:
        pages = encodings(encoder, args.pages, args.page_px, "train")
        unseen = encodings(encoder, max(1, args.pages // 4), args.page_px, "validation")
    size = args.code if args.kind == AUTOENCODER else args.queries
    before, _ = train(args.kind, pages, 0, size)
    module, losses = train(args.kind, pages, args.steps, size)
    notes = {"model": args.model, "steps": args.steps, "pages": args.pages, "page_px": args.page_px}
    notes |= {"lost_untrained": lost(before, unseen), "lost": lost(module, unseen)}
    save(before, args.out / "untrained", model=args.model)
    save(module, args.out, **notes)
    lines = (json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in enumerate(losses))
    (args.out / CURVE).write_text("".join(lines))
    print(f"{args.kind}: {notes['lost']:.3f} of the variance is lost, untrained {notes['lost_untrained']:.3f}")
    if args.read:
        held_out = _dataset(max(1, args.pages // 4), args.page_px, "validation", 8)
        readings = compared(_ways(args), held_out, args.read)
        notes["answers"] = reported(readings)
        save(module, args.out, **notes)
        print(summary(readings))
    return {**notes, "folder": str(args.out)}


def _ways(args: argparse.Namespace) -> dict[str, tuple[HF, Episode]]:
    """All tokens of a page, unchanged, and through the module before and after training."""
    looks = Episode(sampler="full")
    ways: dict[str, Any] = {"as they are": None}
    for name, folder in (("untrained", args.out / "untrained"), ("trained", args.out)):
        ways[name] = {"name": args.kind, "weights": str(folder)}
    return {name: (HF(model=args.model, reduction=reduction), looks) for name, reduction in ways.items()}


if __name__ == "__main__":
    main()
