"""Train what a pyramid can learn on generated pages, and say what it gained over its untrained self.

    python -m saccade.training.levels --what allocator --out heads/allocator    # shares by level
    python -m saccade.training.levels --what crosslevel --out heads/crosslevel  # across levels
    python -m saccade.training.levels --what filters --out heads/filters        # down-sampling
    python -m saccade.training.levels --what filters --read 64 --out heads/filters
    saccade ask page.png "What is the total?" --levels 3 --sampler pyramid \\
        --set budget.name=allocator --set budget.weights=heads/allocator

A token is useful when an answer box lies under it and the print there can be read at its level: an x-height of
`READABLE_PX` and more. Its worth is the area it covers, so that a readable answer is worth as much on every level.
Pages are synthdoc's, under random seeds of their own; figures are of held-out pages.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.progress import track
from torch import Tensor, nn

from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines import Encoder, checkpoint
from saccade.engines.hf import HF
from saccade.episode import see
from saccade.families import fingerprint
from saccade.geometry.grid import in_boxes
from saccade.geometry.levels import soft_keep
from saccade.heads.allocator import LevelNet
from saccade.heads.crosslevel import CrossLevel
from saccade.heads.files import save
from saccade.heads.pyramid import LearnedPyramid
from saccade.training.comparing import compared, reported, summary
from saccade.training.importance import answer_share, listwise
from saccade.training.parser import add_page_options, parser_of
from saccade.training.pyramid import RATE, LevelExample, allocator_loss, lost_detail, useful_loss
from saccade.training.resumable import claim, course, picked
from saccade.types import Grid, Query, Question, Scene

SEED = 600  # of the pages; tables use 0
READABLE_PX = 6.0
"""The smallest x-height of a generated page: nothing smaller is ever asked to be read."""
CROP_PX = 256


def page_sets(page_px: int, num_pages: int) -> tuple[SynthDoc, SynthDoc]:
    """Pages to train on, and a quarter as many that are held out."""
    trained = SynthDoc(page_px=page_px, num_pages=num_pages, seed=SEED)
    return trained, SynthDoc(page_px=page_px, num_pages=max(1, num_pages // 4), seed=SEED + 1)


def usefulness(grid: Grid, question: Question) -> Tensor:
    """(N,) float32: the area of each token under the answer's boxes, 0 at levels too coarse for its print."""
    height = float(question.metadata.get("x_height_px", READABLE_PX)) / 2.0**grid.level
    under = in_boxes(grid, question.answer_boxes_uv) & (height >= READABLE_PX)
    return under * grid.extent_uv.prod(-1)


def level_examples(settings: Episode, encoder: Encoder, dataset: SynthDoc) -> list[LevelExample]:
    """One example per page: the scene of all its questions with boxes, the scorer's importance, and `usefulness`."""
    examples = []
    for row in track([row for row in dataset.rows() if isinstance(row, Row)], "encoding"):
        sample = dataset.sample(row)
        questions = [question for question in sample.questions if question.answer_boxes_uv and question.error is None]
        seen = see(settings, encoder, sample.picture, questions)
        asked = [(question, query) for question, query in seen.asked if isinstance(query, Query)]
        if asked:
            scene = Scene.of([(sample.picture, seen.encoding, query) for _, query in asked])
            useful = torch.stack([usefulness(seen.encoding.grid, question) for question, _ in asked])
            examples.append((scene, settings.strategies.score(scene), useful))
    return examples


@torch.no_grad()
def useful_share(net: LevelNet, examples: Sequence[LevelExample], keep: int) -> float:
    """Share of the usefulness in the `keep` tokens that the net's shares choose, mean over pages."""
    lost = [useful_loss(soft_keep(i, s.level, s.valid, net(s), keep), s, u) for s, i, u in examples]
    return 1 - float(torch.stack(lost).mean())


def crops(dataset: SynthDoc) -> list[Tensor]:
    """(1, 3, 256, 256) float32 in [0, 1] per page: its middle."""
    images = []
    for row in dataset.rows():
        if isinstance(row, Row):
            pixels = torch.from_numpy(dataset.sample(row).picture.rgb).permute(2, 0, 1).unsqueeze(0) / 255
            top, left = ((size - CROP_PX) // 2 for size in pixels.shape[-2:])
            images.append(pixels[..., max(0, top) :, max(0, left) :][..., :CROP_PX, :CROP_PX])
    return images


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains and writes the module, prints its score; returns the report and the folder."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--what",
        choices=("allocator", "crosslevel", "filters"),
        default="allocator",
        help="the module to train [allocator]",
    )
    parser.add_argument("--model", default="nano", help="model whose tokens are used [nano]")
    parser.add_argument("--levels", type=int, default=3, help="number of sizes of a page [3]")
    parser.add_argument("--keep", type=int, default=273, help="tokens per look [273]")
    parser.add_argument(
        "--scorer", default="query:0.3,edges:0.7", help="importance within a level (allocator, filters)"
    )
    parser.add_argument("--separate", action="store_true", help="one encoder per level (crosslevel)")
    add_page_options(parser)
    args = parser.parse_args(argv)
    origin = {key: value for key, value in vars(args).items() if key not in ("out", "read", "model")}
    claim(args.out, {**origin, "weights": fingerprint(checkpoint(args.model))})
    pages = page_sets(args.page_px, args.pages)
    torch.manual_seed(0)
    lesson = _filters(args, pages) if args.what == "filters" else _of_tokens(args, pages)
    save(lesson.module, args.out / "untrained")
    report: dict[str, Any] = {"untrained": lesson.held_out()}
    every = max(1, args.steps // 10)

    def loss_of(step: int) -> tuple[Tensor, dict[str, float]]:
        measured = step % every == 0 or step == args.steps - 1
        facts = {"held_out": lesson.held_out()} if measured else {}
        return lesson.loss(picked(lesson.num, step, 0)), facts

    course({"module": lesson.module}, loss_of, args.out, steps=args.steps, rate=lesson.rate, name=args.what)
    report["trained"] = lesson.held_out()
    what = "detail lost" if args.what == "filters" else "share of the answer's tokens kept"
    print(f"{args.out}: {what} on held-out pages, untrained {report['untrained']:.4g}, trained {report['trained']:.4g}")
    notes = {key: str(value) for key, value in vars(args).items() if key != "read"}
    save(lesson.module, args.out, **notes, **report)
    if args.read:
        readings = compared(_ways(args), pages[1], args.read)
        report["read"] = reported(readings)
        save(lesson.module, args.out, **notes, **report)
        print(summary(readings))
    return {**report, "folder": str(args.out)}


@dataclass(frozen=True, slots=True)
class Lesson:
    """A module to train, its loss, and its score on held-out pages."""

    module: nn.Module
    num: int  # examples
    loss: Callable[[int], Tensor]  # of one of them
    held_out: Callable[[], float]
    rate: float


def _filters(args: argparse.Namespace, pages: Sequence[SynthDoc]) -> Lesson:
    trained, held_out = map(crops, pages)
    pyramid = LearnedPyramid(args.levels)

    @torch.no_grad()
    def lost() -> float:
        return float(torch.stack([lost_detail(pyramid(image)) for image in held_out]).mean())

    return Lesson(pyramid, len(trained), lambda number: lost_detail(pyramid(trained[number])), lost, 1e-2)


def _of_tokens(args: argparse.Namespace, pages: Sequence[SynthDoc]) -> Lesson:
    settings = Episode(sampler="pyramid", levels=args.levels, scorer=args.scorer)
    with HF(model=args.model).open_encoder() as encoder:
        trained, held_out = (level_examples(settings, encoder, dataset) for dataset in pages)
    width, word_width = trained[0][0].tokens.shape[-1], trained[0][0].query_tokens.shape[-1]
    if args.what == "allocator":
        start = tuple((level + 1) / 10 for level in range(args.levels))  # 10/20/30/40, scaled by the softmax
        net = LevelNet(word_width, levels=args.levels, start=start)

        def of_shares(number: int) -> Tensor:
            scene, importance, useful = trained[number]
            return allocator_loss(net, scene, importance, useful, args.keep, args.keep / 8)

        return Lesson(net, len(trained), of_shares, lambda: useful_share(net, held_out, args.keep), RATE)
    cross = CrossLevel(width, word_width, levels=args.levels, separate=args.separate)
    held = [(scene, useful) for scene, _, useful in held_out]

    def of_worth(number: int) -> Tensor:
        scene, _, useful = trained[number]
        return listwise(cross(scene), useful, scene.present)

    return Lesson(cross, len(trained), of_worth, lambda: answer_share(cross, held, args.keep), RATE)


def _ways(args: argparse.Namespace) -> dict[str, tuple[HF, Episode]]:
    """The variants to read with: the module untrained and trained, and one look at the page without levels."""
    engine, budget = HF(model=args.model), {"name": "fixed", "tokens": args.keep}
    one_level = Episode(sampler="topk", fixations=1, budget=budget, scorer=args.scorer)
    levels = one_level.with_settings(sampler="topk" if args.what == "crosslevel" else "pyramid", levels=args.levels)
    before, after = str(args.out / "untrained"), str(args.out)
    if args.what == "filters":
        ways = {
            "Gaussian, untrained": levels.with_settings(pyramid=before),
            "trained": levels.with_settings(pyramid=after),
            "resized": levels,
        }
    elif args.what == "crosslevel":
        ways = {
            name: levels.with_settings(scorer=[{"name": "crosslevel", "weights": folder}])
            for name, folder in (("untrained", before), ("trained", after))
        }
        ways["without attention"] = levels
    else:
        ways = {
            name: levels.with_settings(budget={"name": "allocator", "weights": folder, "tokens": args.keep})
            for name, folder in (("untrained", before), ("trained", after))
        }
        ways["40/30/20/10"] = levels
    ways["one level"] = one_level
    return {name: (engine, looks) for name, looks in ways.items()}


if __name__ == "__main__":
    main()
