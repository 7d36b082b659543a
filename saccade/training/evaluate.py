"""How well a checkpoint reads synthdoc validation pages: greedy answers through transformers, one cache a canvas.

    python -m saccade.training.evaluate --checkpoint saccade/nano --page-px 512 --pages 40 --views all,ink

Views: `all` tokens; `ink`, only cells that hold ink are encoded and shown; `resize@K`, the page in at most K tokens;
`near@K`, the K tokens nearest to the answer (where a perfect eye would look) of the page encoded whole; `look@K`, the
same of inked cells, encoded alone; `away@K`, K random tokens of those that do not show the answer, where the only right
answer is "cannot read". With `:PX` behind it, a view is of the page shrunk until its smallest print has that x-height:
`ink:8` is what the checkpoint is shown without further settings. N cells of a page, K of a view, D width.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from torch import Tensor
from transformers import DynamicCache

from saccade.datasets import Row
from saccade.datasets.synthdoc import Box, Real, SynthDoc, render
from saccade.datasets.synthdoc_real import SynthDocReal
from saccade.geometry.ink import ink
from saccade.metrics.anls import anls
from saccade.training.dense import CLASSES, OWN, dense_head, page_labels
from saccade.training.loop import autocast
from saccade.training.model import (
    CANNOT_READ,
    END,
    PATCH_PX,
    TURN,
    VISION_END,
    VISION_START,
    encode,
    encode_cells,
    load_head,
    load_model,
    patchify,
)  # fmt: skip
from saccade.training.views import legible_cells, resized
from saccade.types import Question

MAX_ANSWER_TOK = 48
X_BINS = ((6, 8), (8, 11), (11, 15), (15, 31))  # x-height in px
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Encoded:
    """Cells of a picture as the reader gets them."""

    tokens: Tensor  # (K, D)
    place: Ints  # (K, 2) row, column
    rows: int
    cols: int

    def some(self, kept: Ints) -> "Encoded":
        """Those of its cells whose number in raster order is in `kept`, when all were encoded."""
        return Encoded(self.tokens[torch.from_numpy(kept)], self.place[kept], self.rows, self.cols)


@torch.inference_mode()
def encode_page(model: Any, image: NDArray[np.uint8], kept: Ints | None = None) -> Encoded:
    """(16 R, 16 C) grey; only the cells `kept`, by their number in raster order, if that is given."""
    rows, cols = (s // PATCH_PX for s in image.shape)
    kept = np.arange(rows * cols) if kept is None else kept
    place = np.stack(np.divmod(kept, cols), 1)
    pixels = patchify(torch.tensor(image)[None]).flatten(0, 2)[torch.from_numpy(kept)].to(model.device)
    where = torch.from_numpy(place).to(model.device)
    with autocast(model.device):
        tokens = encode_cells(model.model.visual, pixels, torch.zeros_like(where[:, 0]), where)
    return Encoded(tokens.float(), place, rows, cols)


@torch.inference_mode()
def answer_all(model: Any, page: Encoded, questions: list[str]) -> list[tuple[str, float]]:
    """Greedy answers ('' = cannot read) and mean log-probabilities to questions on one canvas of all that is given."""
    language, device = model.model.language_model, model.device
    row, col = page.place.T
    cells = torch.from_numpy(np.stack([np.ones_like(row), 1 + row, 1 + col])).to(device)
    after = 1 + max(page.rows, page.cols)
    ends = language.embed_tokens(torch.tensor([VISION_START, VISION_END], device=device))
    x = torch.cat([ends[:1], page.tokens, ends[1:]])[None]
    place = torch.cat([cells.new_zeros(3, 1), cells, cells.new_full((3, 1), after)], 1)[:, None]
    cache = DynamicCache(config=model.config.text_config)
    with autocast(device):
        language(inputs_embeds=x, position_ids=place, past_key_values=cache, use_cache=True)
        answers = []
        for question in questions:
            answers.append(_decode(model, cache, [*question.encode(), TURN], after + 1))
            cache.crop(x.shape[1] - cache.get_seq_length())  # negative: so many tokens off its end
    return answers


def _decode(model: Any, cache: Any, prompt: list[int], position: int) -> tuple[str, float]:
    ids, out, logprobs = torch.tensor([prompt], device=model.device), list[int](), []
    while len(out) < MAX_ANSWER_TOK:
        place = torch.arange(position, position + ids.shape[1], device=model.device).expand(3, 1, -1)
        hidden = model.model.language_model(
            input_ids=ids, position_ids=place, past_key_values=cache, use_cache=True
        ).last_hidden_state
        logprob, best = model.lm_head(hidden[0, -1]).float().log_softmax(-1).max(-1)
        logprobs.append(float(logprob))
        if int(best) in (END, CANNOT_READ):
            out += [CANNOT_READ] if int(best) == CANNOT_READ else []
            break
        out.append(int(best))
        position += ids.shape[1]
        ids = best.view(1, 1)
    if CANNOT_READ in out:
        return "", sum(logprobs) / len(logprobs)
    return bytes(i for i in out if i < 256).decode(errors="replace"), sum(logprobs) / len(logprobs)


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
    model: Any, image: NDArray[np.uint8], questions: tuple[Question, ...], view: str, seed: int
) -> Iterator[tuple[Encoded, list[Question]]]:
    """Canvases of a view, each with the questions that are asked of it."""
    view, _, print_px = view.partition(":")
    if print_px and (cells := legible_cells(image, float(print_px))) is not None:
        image = resized(image, cells)
    name, _, amount = view.partition("@")
    shape = image.shape[0] // PATCH_PX, image.shape[1] // PATCH_PX
    inked = ink(torch.tensor(image)[None], PATCH_PX)[0].flatten().numpy()
    if name in ("all", "resize"):
        yield encode_page(model, resized(image, int(amount)) if amount else image), list(questions)
    elif name == "ink":
        yield encode_page(model, image, np.flatnonzero(inked)), list(questions)
    else:
        whole = None if name == "look" else encode_page(model, image)
        for number, question in enumerate(questions):
            kept = _kept(view, shape, inked, question, np.random.default_rng([seed, number]))
            yield encode_page(model, image, kept) if whole is None else whole.some(kept), [question]


def evaluate_page(model: Any, image: NDArray[np.uint8], row: Row, view: str, seed: int) -> list[dict[str, Any]]:
    """One result per question."""
    results = []
    for canvas, asked in _views_of(model, image, row.questions, view, seed):
        for question, (text, logprob) in zip(asked, answer_all(model, canvas, [q.text for q in asked]), strict=True):
            about, boxes = question.metadata, (*question.answer_boxes_uv, question.metadata["key_box_uv"])
            shape, (at_row, at_col) = (canvas.rows, canvas.cols), canvas.place.T
            every = np.divmod(np.arange(canvas.rows * canvas.cols), canvas.cols)
            seen = [_covers(at_row, at_col, shape, box).sum() / _covers(*every, shape, box).sum() for box in boxes]
            results.append(
                {
                    "id": question.id, "view": view, "question": question.text, "gold": (question.answers or ("",))[0],
                    "answer": text, "anls": anls(text, question.answers),
                    "exact": float(text in (question.answers or ())), "cannot_read": float(not text),
                    "in_view": bool(min(seen) > 0.9), "visual_tok": len(canvas.place), "logprob": logprob,
                    "x_height_px": about["x_height_px"], "kind": about["kind"],
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
        mine = [(h, n) for x, h, n in hits if low <= x < high]
        if mine:
            total[f"char_x{low}_{high}"] = sum(h for h, _ in mine) / sum(n for _, n in mine)
    return total


def evaluate(model: Any, data: SynthDoc, views: list[str]) -> list[dict[str, Any]]:
    """All results on the pages of a data set."""
    results = []
    for row in track(list(data.rows()), f"{data.page_px} px", disable=not sys.stderr.isatty()):
        assert isinstance(row, Row)
        image = data.picture(row.source).rgb[..., 0]
        for view in views:
            results += evaluate_page(model, image, row, view, data.seed)
    return results


def summary(results: list[dict[str, Any]], view: str) -> dict[str, float]:
    """Means over the questions of a view, and ANLS by x-height."""
    mine = [r for r in results if r["view"] == view]
    means = {k: float(np.mean([r[k] for r in mine])) for k in ("anls", "exact", "cannot_read", "visual_tok")}
    inside = [r["cannot_read"] for r in mine if r["in_view"]]
    if inside:
        means["cannot_read_in_view"] = float(np.mean(inside))
    for low, high in X_BINS:
        scores = [r["anls"] for r in mine if low <= r["x_height_px"] < high]
        if scores:
            means[f"anls_x{low}_{high}"] = float(np.mean(scores))
    return {"n": len(mine), **means}


def main(argv: list[str] | None = None) -> None:
    """Prints a line a view; writes all results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("saccade/nano"))
    parser.add_argument("--page-px", type=int, default=512)
    parser.add_argument("--pages", type=int, default=40)
    parser.add_argument("--views", default="all,ink,resize@273,near@273,look@273,away@273")
    parser.add_argument("--real", action="store_true", help="worn pages (synthdoc_real) instead of clean ones")
    parser.add_argument("--fonts", default="", help="folder of fonts for worn pages")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(argv)
    model = load_model(given.checkpoint).eval().to("cuda" if torch.cuda.is_available() else "cpu")
    head = dense_head(model.config.text_config.hidden_size).to(model.device)
    load_head(head, given.checkpoint)
    report: dict[str, Any] = {"page_px": given.page_px, "pages": given.pages, "seed": given.seed}
    made = {"page_px": given.page_px, "num_pages": given.pages, "seed": given.seed}
    data = SynthDocReal(**made, fonts=given.fonts) if given.real else SynthDoc(**made)
    real = Real(given.fonts, held_out=bool(given.fonts)) if given.real else None
    report["characters"] = char_accuracy(model, head, 24, data.stored_seed, real)
    print(f"characters {report['characters']}", flush=True)
    views = given.views.split(",")
    results = evaluate(model, data, views)
    report["views"] = {view: summary(results, view) for view in views}
    for view, line in report["views"].items():
        print(view, " ".join(f"{k} {v:.3f}" for k, v in line.items()), flush=True)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps({**report, "results": results}, indent=1))


if __name__ == "__main__":
    main()
