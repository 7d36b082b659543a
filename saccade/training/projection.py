"""Train what makes tokens of a foreign ViT's features, for `engine.vit` and `engine.projection`.

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
from saccade.training.comparing import compared, reported, told
from saccade.training.course import claim, course, picked
from saccade.training.levels import page_sets
from saccade.training.parser import add_page_options, parser_of

Pair = tuple[Tensor, Tensor]
"""What a ViT says of a page's cells (N, F), and the tokens they are to be (N, D)."""


def pairs(own: Encoder, foreign: Foreign, dataset: SynthDoc) -> list[Pair]:
    """The pages of a data set, encoded by both."""
    made = []
    for row in dataset.rows():
        if isinstance(row, Row):
            picture = dataset.sample(row).picture
            (encoding,) = own.encode([replace(own.prepare(picture), received=False)])
            features, _ = foreign.seen(replace(foreign.prepare(picture), received=False))
            made.append((features.flatten(1).clone(), encoding.tokens.float().clone()))
    return made


def missed(projection: Projection, page: Pair) -> Tensor:
    """() share of the tokens' variance that a projection misses on a page."""
    features, tokens = page
    away: Tensor = (projection(features) - tokens).square().mean()
    return away / (tokens - tokens.mean(0)).square().mean()


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains it, writes it, prints what it learned; returns its report and its folder."""
    parser = parser_of(__doc__)
    parser.add_argument("--vit", required=True, help="folder or hub name of a ViT (transformers' ViTModel)")
    parser.add_argument("--model", default="nano", help="whose tokens they become [nano]")
    parser.add_argument("--inner", type=int, default=256, help="width of the layer between [256]")
    add_page_options(parser)
    given = parser.parse_args(argv)
    origin = {key: value for key, value in vars(given).items() if key not in ("out", "read", "model", "vit")}
    claim(given.out, {**origin, "weights": fingerprint(checkpoint(given.model)), "vit": fingerprint(given.vit)})
    data = page_sets(given.page_px, given.pages)
    with HF(model=given.model).open_encoder() as own:
        foreign = Foreign.over(own.family, given.vit, None, torch.device("cpu"))
        trained, held_out = (pairs(own, foreign, dataset) for dataset in data)
    torch.manual_seed(0)
    projection = Projection(trained[0][0].shape[1], trained[0][1].shape[1], given.inner)
    save(projection, given.out / "untrained")

    @torch.no_grad()
    def lost() -> float:
        return float(torch.stack([missed(projection, page) for page in held_out]).mean())

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        measured = step % max(1, given.steps // 10) == 0 or step == given.steps - 1
        return missed(projection, trained[picked(len(trained), step, 0)]), {"held_out": lost()} if measured else {}

    report: dict[str, Any] = {"untrained": lost()}
    course({"module": projection}, loss_of, given.out, steps=given.steps, rate=3e-3, name="projection")
    report["trained"] = lost()
    notes = {"vit": given.vit, "model": given.model, "pages": given.pages, "steps": given.steps}
    save(projection, given.out, **notes, **report)
    print(
        f"{given.out}: {report['trained']:.3f} of the tokens' variance is missed on held-out pages, untrained "
        f"{report['untrained']:.3f}"
    )
    if given.read:
        looks, plain = Episode(sampler="full"), HF(model=given.model)
        ways = {"the model's own tower": (plain, looks)}
        for name, folder in (("untrained", given.out / "untrained"), ("trained", given.out)):
            ways[name] = (plain.with_settings(vit=given.vit, projection=str(folder)), looks)
        readings = compared(ways, data[1], given.read)
        report["answers"] = reported(readings)
        save(projection, given.out, **notes, **report)
        print(told(readings))
    return {**report, "folder": str(given.out)}


if __name__ == "__main__":
    main()
