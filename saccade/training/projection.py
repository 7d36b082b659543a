"""Train a projection from a foreign ViT's features to a model's tokens, for `engine.vit` and `engine.projection`.

    python -m saccade.training.projection --vit google/vit-base-patch16-224 --out heads/vit

No labels are needed: the projection learns to make the tokens that the model's own tower makes of the same cells of the
same pages. Measured on pages that were not trained on: the share of the tokens' variance that is missed, and with
`--read` what is answered. A ViT with random weights works, too: the little that its projection learns is a lower bound
for one that has seen pictures.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines import Encoder, checkpoint
from saccade.engines.hf import HF
from saccade.families import fingerprint
from saccade.families._foreign import Foreign
from saccade.heads.files import save
from saccade.heads.projection import Projection
from saccade.training.comparing import compared, reported, summary
from saccade.training.levels import page_sets
from saccade.training.parser import add_page_options, parser_of
from saccade.training.resumable import claim, course, picked

Pair = tuple[Tensor, Tensor]
"""A ViT's features of a page's cells (N, F), and their target tokens (N, D)."""


def pairs(own: Encoder, foreign: Foreign, dataset: SynthDoc) -> list[Pair]:
    """The pages of a data set, encoded by the foreign ViT and by the model's own tower."""
    examples = []
    for row in dataset.rows():
        if isinstance(row, Row):
            picture = dataset.sample(row).picture
            (encoding,) = own.encode([replace(own.prepare(picture), received=False)])
            features, _ = foreign.seen(replace(foreign.prepare(picture), received=False))
            examples.append((features.flatten(1).clone(), encoding.tokens.float().clone()))
    return examples


def missed(projection: Projection, page: Pair) -> Tensor:
    """() share of the tokens' variance that a projection misses on a page."""
    features, tokens = page
    away: Tensor = (projection(features) - tokens).square().mean()
    return away / (tokens - tokens.mean(0)).square().mean()


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains and writes the projection, prints its loss; returns the report and the folder."""
    parser = parser_of(__doc__)
    parser.add_argument("--vit", required=True, help="folder or hub name of a ViT (transformers' ViTModel)")
    parser.add_argument("--model", default="nano", help="model whose tokens it learns to make [nano]")
    parser.add_argument("--inner", type=int, default=256, help="width of the hidden layer [256]")
    add_page_options(parser)
    args = parser.parse_args(argv)
    origin = {key: value for key, value in vars(args).items() if key not in ("out", "read", "model", "vit")}
    claim(args.out, {**origin, "weights": fingerprint(checkpoint(args.model)), "vit": fingerprint(args.vit)})
    data = page_sets(args.page_px, args.pages)
    with HF(model=args.model).open_encoder() as own:
        foreign = Foreign.over(own.family, args.vit, None, torch.device("cpu"))
        trained, held_out = (pairs(own, foreign, dataset) for dataset in data)
    torch.manual_seed(0)
    projection = Projection(trained[0][0].shape[1], trained[0][1].shape[1], args.inner)
    save(projection, args.out / "untrained")

    @torch.no_grad()
    def lost() -> float:
        return float(torch.stack([missed(projection, page) for page in held_out]).mean())

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        measured = step % max(1, args.steps // 10) == 0 or step == args.steps - 1
        return missed(projection, trained[picked(len(trained), step, 0)]), {"held_out": lost()} if measured else {}

    report: dict[str, Any] = {"untrained": lost()}
    course({"module": projection}, loss_of, args.out, steps=args.steps, rate=3e-3, name="projection")
    report["trained"] = lost()
    notes = {"vit": args.vit, "model": args.model, "pages": args.pages, "steps": args.steps}
    save(projection, args.out, **notes, **report)
    print(
        f"{args.out}: {report['trained']:.3f} of the tokens' variance is missed on held-out pages, untrained "
        f"{report['untrained']:.3f}"
    )
    if args.read:
        looks, plain = Episode(sampler="full"), HF(model=args.model)
        ways = {"the model's own tower": (plain, looks)}
        for name, folder in (("untrained", args.out / "untrained"), ("trained", args.out)):
            ways[name] = (plain.with_settings(vit=args.vit, projection=str(folder)), looks)
        readings = compared(ways, data[1], args.read)
        report["answers"] = reported(readings)
        save(projection, args.out, **notes, **report)
        print(summary(readings))
    return {**report, "folder": str(args.out)}


if __name__ == "__main__":
    main()
