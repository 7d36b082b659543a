"""How well a checkpoint reads synthdoc validation pages: greedy answers of the engine hf, by view.

    python -m saccade.training.evaluate --checkpoint saccade/nano --page-px 512 --views all,ink

Views: `all` tokens; `ink`, only cells that hold ink are encoded and shown; `resize@K`, the page in at most K tokens;
`near@K`, the K tokens nearest to the answer (where a perfect eye would look) of the page encoded whole; `look@K`, the
same of inked cells, encoded alone; `away@K`, K random tokens of those that do not show the answer, where the only right
answer is "cannot read". A view with `:PX` at its end is of the page shrunk until its smallest print has that x-height:
`ink:8` is what the checkpoint is shown without further settings.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from saccade.datasets import Row
from saccade.datasets.synthdoc import Box, Real, SynthDoc, render
from saccade.datasets.synthdoc_real import SynthDocReal
from saccade.engines.hf import HF, HFEngine
from saccade.errors import SaccadeError
from saccade.geometry.ink import ink_cells
from saccade.geometry.print_size import legible_tok
from saccade.metrics.anls import anls
from saccade.picture import Picture
from saccade.training.dense import CLASSES, OWN, dense_head, page_labels
from saccade.training.loop import autocast
from saccade.training.model import encode, load_head, patchify
from saccade.training.parser import parser_of
from saccade.types import Canvas, Encoding, Part, Question, Selection

VIEWS = "all,ink,resize@273,near@273,look@273,away@273"
SHEETS = 24  # of text, whose characters are counted
X_BINS = ((6, 8), (8, 11), (11, 15), (15, 31))  # x-height in px
Ints = NDArray[np.int64]


def _canvas(encoding: Encoding, index: Ints | None = None) -> Canvas:
    """The canvas that shows an encoding, or of its cells those in `index`."""
    chosen = None if index is None else Selection.keep(torch.from_numpy(index), len(encoding))
    return Canvas(encoding.grid.rows, encoding.grid.cols, (Part.of(encoding, chosen),))


def _covers(row: Ints, col: Ints, shape: tuple[int, int], box: Box) -> NDArray[np.bool_]:
    """Which cells of a grid a box in uv touches."""
    (rows, cols), (x0, y0, x1, y1) = shape, box
    return (row + 1 > y0 * rows) & (row < y1 * rows) & (col + 1 > x0 * cols) & (col < x1 * cols)


def _kept(
    view: str, shape: tuple[int, int], free: NDArray[np.bool_], question: Question, draw: np.random.Generator
) -> Ints:
    """Cells of a view that depends on the question: near@K, look@K (of the `free` ones), away@K."""
    name, _, amount = view.partition("@")
    row, col = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    x0, y0, x1, y1 = question.answer_boxes_uv[0]
    if name == "away":
        clear = np.flatnonzero(~_covers(row, col, shape, (x0, y0, x1, y1)))
        return np.sort(draw.permutation(clear)[: int(amount)])
    far = np.hypot(row + 0.5 - (y0 + y1) / 2 * shape[0], col + 0.5 - (x0 + x1) / 2 * shape[1])
    order = np.argsort(np.where(free, far, np.inf) if name == "look" else far, kind="stable")
    return np.sort(order[: min(int(amount), int(free.sum()) if name == "look" else len(far))])


def _views_of(
    engine: HFEngine, picture: Picture, questions: Sequence[Question], view: str, seed: int
) -> Iterator[tuple[Canvas, Sequence[Question]]]:
    """Canvases of a view, each with the questions that are asked of it."""
    view, _, print_px = view.partition(":")
    name, _, amount = view.partition("@")
    max_tok = int(amount) if name == "resize" else None
    if print_px:
        max_tok = legible_tok(picture.rgb, engine.family.whole_grid(picture), float(print_px))
    page = engine.prepare(picture, max_tok)
    inked = ink_cells(picture.rgb, page.grid)
    if name in ("all", "resize"):
        yield _canvas(engine.encode([page])[0]), questions
    elif name == "ink":
        yield _canvas(engine.encode([page.some(inked, "ink")])[0]), questions
    else:
        free = np.isin(np.arange(len(page.grid)), inked.numpy())
        whole = None if name == "look" else engine.encode([page])[0]
        for number, question in enumerate(questions):
            draw = np.random.default_rng([seed, number])
            cells = _kept(view, (page.grid.rows, page.grid.cols), free, question, draw)
            if whole is None:
                yield _canvas(engine.encode([page.some(torch.from_numpy(cells), "look")])[0]), [question]
            else:
                yield _canvas(whole, cells), [question]


def evaluate_page(engine: HFEngine, picture: Picture, row: Row, view: str, seed: int) -> list[dict[str, Any]]:
    """One result per question."""
    results = []
    for canvas, asked in _views_of(engine, picture, row.questions, view, seed):
        for question, answer in zip(asked, engine.read_many([(canvas, q.text) for q in asked]), strict=True):
            if isinstance(answer, SaccadeError):
                raise answer
            about, boxes = question.metadata, (*question.answer_boxes_uv, question.metadata["key_box_uv"])
            shape, (part,) = (canvas.rows, canvas.cols), canvas.parts
            every = np.divmod(np.arange(canvas.rows * canvas.cols), canvas.cols)
            at = part.row.numpy(), part.col.numpy()
            covered = [_covers(*at, shape, box).sum() / _covers(*every, shape, box).sum() for box in boxes]
            results.append(
                {
                    "id": question.id, "view": view, "question": question.text, "gold": (question.answers or ("",))[0],
                    "answer": answer.text, "anls": anls(answer.text, question.answers),
                    "exact": float(answer.text in (question.answers or ())), "cannot_read": float(not answer.text),
                    "in_view": bool(min(covered) > 0.9), "visual_tok": len(canvas),
                    "logprob": float(np.mean(answer.logprobs)), "x_height_px": about["x_height_px"],
                    "kind": about["kind"],
                }
            )  # fmt: skip
    return results


@torch.inference_mode()
def char_accuracy(model: Any, head: Any, sheets: int, seed: int, real: Real | None = None) -> dict[str, float]:
    """Share of characters that the dense head gets right on held-out sheets of x-height 6 to 20 px, by size too."""
    hits: list[tuple[float, int, int]] = []
    for index in range(sheets):
        x_height_px = float(np.exp(np.random.default_rng([seed, index]).uniform(*np.log((6, 20)))))
        page = render(seed, index, 512, "sheet", x_height_px, real)
        with autocast(model.device):
            logits = head(encode(model.model.visual, patchify(torch.tensor(page.image)[None].to(model.device))))[0]
        label = torch.from_numpy(page_labels(page)).to(model.device).long()
        hit = (logits.view(*label.shape, CLASSES).argmax(-1) == label)[..., :OWN] & (label[..., :OWN] > 0)
        hits.append((x_height_px, int(hit.sum()), int((label[..., :OWN] > 0).sum())))
    total = {"char": sum(h for _, h, _ in hits) / sum(n for *_, n in hits), "num_char": sum(n for *_, n in hits)}
    for low, high in X_BINS[:-1]:
        in_bin = [(h, n) for x, h, n in hits if low <= x < high]
        if in_bin:
            total[f"char_x{low}_{high}"] = sum(h for h, _ in in_bin) / sum(n for _, n in in_bin)
    return total


def evaluate(engine: HFEngine, data: SynthDoc, views: list[str]) -> list[dict[str, Any]]:
    """All results on the pages of a data set."""
    results = []
    for row in track(list(data.rows()), f"{data.page_px} px", disable=not sys.stderr.isatty()):
        assert isinstance(row, Row)
        picture = data.picture(row.source)
        for view in views:
            results += evaluate_page(engine, picture, row, view, data.seed)
    return results


def summary(results: list[dict[str, Any]], view: str) -> dict[str, float]:
    """Means over the questions of a view, and ANLS by x-height."""
    of_view = [r for r in results if r["view"] == view]
    means = {k: float(np.mean([r[k] for r in of_view])) for k in ("anls", "exact", "cannot_read", "visual_tok")}
    inside = [r["cannot_read"] for r in of_view if r["in_view"]]
    if inside:
        means["cannot_read_in_view"] = float(np.mean(inside))
    for low, high in X_BINS:
        scores = [r["anls"] for r in of_view if low <= r["x_height_px"] < high]
        if scores:
            means[f"anls_x{low}_{high}"] = float(np.mean(scores))
    return {"n": len(of_view), **means}


def measure(checkpoint: Path, data: SynthDoc, views: list[str]) -> dict[str, Any]:
    """Opens a checkpoint: the share of characters it gets right, a summary per view, and all results."""
    real = Real(data.fonts, data.words, held_out=True) if isinstance(data, SynthDocReal) else None
    with HF(model=str(checkpoint)).open() as engine:
        model = engine.family.model
        head = dense_head(model.config.text_config.hidden_size).to(model.device)
        load_head(head, checkpoint)
        characters = char_accuracy(model, head, SHEETS, data.stored_seed, real)
        results = evaluate(engine, data, views)
    return {
        "page_px": data.page_px, "pages": data.num_pages, "seed": data.seed, "characters": characters,
        "views": {view: summary(results, view) for view in views}, "results": results,
    }  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Prints a line per view; writes all results."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--checkpoint", type=Path, default=Path("saccade/nano"), help="folder of the checkpoint [saccade/nano]"
    )
    parser.add_argument("--page-px", type=int, default=512, help="longest side of the pages [512]")
    parser.add_argument("--pages", type=int, default=40, help="number of pages [40]")
    parser.add_argument("--views", default=VIEWS, help=f"views, as above [{VIEWS}]")
    parser.add_argument("--real", action="store_true", help="worn pages (synthdoc_real) instead of clean ones")
    parser.add_argument("--fonts", default="", help="folder of fonts for worn pages")
    parser.add_argument("--words", default="", help="folder of word lists for worn pages")
    parser.add_argument("--seed", type=int, default=0, help="seed of the pages [0]")
    parser.add_argument("--out", type=Path, help="JSON file for all answers")
    args = parser.parse_args(argv)
    pages: dict[str, Any] = {"page_px": args.page_px, "num_pages": args.pages, "seed": args.seed}
    data = SynthDocReal(**pages, fonts=args.fonts, words=args.words) if args.real else SynthDoc(**pages)
    report = measure(args.checkpoint, data, args.views.split(","))
    print(f"characters {report['characters']}", flush=True)
    for view, line in report["views"].items():
        print(view, " ".join(f"{k} {v:.3f}" for k, v in line.items()), flush=True)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
