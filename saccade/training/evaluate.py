"""How well a checkpoint reads synthdoc validation pages: greedy answers through transformers, one cache a canvas.

    python -m saccade.training.evaluate --checkpoint saccade/nano --page-px 512 --pages 40 --views all

Views: `all` tokens; `resize@K`, the page in at most K tokens; `near@K`, the K tokens nearest to the answer (where a
perfect eye would look); `away@K`, K random tokens of those that do not show the answer, where the only right answer is
"cannot read". N tokens of a page, K of a view, D width.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import DynamicCache

from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.families import largest_grid
from saccade.metrics.anls import anls
from saccade.training.dense import CLASSES, OWN, SLOTS, Crops, dense_head
from saccade.training.loop import autocast
from saccade.training.model import (
    CANNOT_READ,
    END,
    PATCH_PX,
    TURN,
    VISION_END,
    VISION_START,
    WINDOW_TOK,
    encode,
    load_head,
    load_model,
    patchify,
)  # fmt: skip
from saccade.types import Question

MAX_ANSWER_TOK = 48


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as the reader gets it: tokens (N, D) in raster order, rows, columns."""

    tokens: Tensor
    rows: int
    cols: int


@torch.inference_mode()
def encode_page(model: Any, image: np.ndarray[Any, Any], max_tok: int | None = None) -> Encoded:
    """(16 H, 16 W) grey, resized to at most max_tok tokens if that is given."""
    rows, cols = (s // PATCH_PX for s in image.shape)
    if max_tok is not None and max_tok < rows * cols:
        rows, cols = largest_grid(rows, cols, max_tok)
        small = Image.fromarray(image).resize((cols * PATCH_PX, rows * PATCH_PX), Image.Resampling.BICUBIC)
        image = np.asarray(small)
    full = [-(-s // WINDOW_TOK) * WINDOW_TOK for s in (rows, cols)]
    padded = np.zeros((1, full[0] * PATCH_PX, full[1] * PATCH_PX), np.uint8)
    padded[0, : rows * PATCH_PX, : cols * PATCH_PX] = image
    device = model.device
    with autocast(device):
        seen = encode(model.model.visual, patchify(torch.from_numpy(padded).to(device)), [(rows, cols)])
    return Encoded(seen[0, :rows, :cols].flatten(0, 1).float(), rows, cols)


@torch.inference_mode()
def answer_all(model: Any, page: Encoded, keep: np.ndarray[Any, Any], questions: list[str]) -> list[tuple[str, float]]:
    """Greedy answers ('' = cannot read) and mean log-probabilities to questions on one canvas of tokens `keep` (K,)."""
    language, device = model.model.language_model, model.device
    row, col = np.divmod(keep, page.cols)
    cells = torch.from_numpy(np.stack([np.ones_like(row), 1 + row, 1 + col])).to(device)
    after = 1 + max(page.rows, page.cols)
    ends = language.embed_tokens(torch.tensor([VISION_START, VISION_END], device=device))
    x = torch.cat([ends[:1], page.tokens[torch.from_numpy(keep).to(device)], ends[1:]])[None]
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


def _kept(view: str, page: Encoded, question: Question, draw: np.random.Generator) -> np.ndarray[Any, Any]:
    """The tokens of a view that depends on the question: near@K, away@K."""
    name, _, amount = view.partition("@")
    row, col = np.divmod(np.arange(page.rows * page.cols), page.cols)
    x0, y0, x1, y1 = question.answer_boxes_uv[0]
    if name == "near":
        far = np.hypot(row + 0.5 - (y0 + y1) / 2 * page.rows, col + 0.5 - (x0 + x1) / 2 * page.cols)
        return np.sort(np.argsort(far, kind="stable")[: int(amount)])
    clear = (row + 1 < y0 * page.rows) | (row > y1 * page.rows) | (col + 1 < x0 * page.cols) | (col > x1 * page.cols)
    free = np.flatnonzero(clear)
    return np.sort(draw.permutation(free)[: int(amount)])


def evaluate_page(model: Any, image: np.ndarray[Any, Any], row: Row, view: str, seed: int) -> list[dict[str, Any]]:
    """One result a question."""
    name, _, amount = view.partition("@")
    page = encode_page(model, image, int(amount) if name == "resize" else None)
    everything = np.arange(page.rows * page.cols)
    if name in ("all", "resize"):
        given = answer_all(model, page, everything, [q.text for q in row.questions])
        kept = [len(everything)] * len(given)
    else:
        draws = [np.random.default_rng([seed, i]) for i in range(len(row.questions))]
        keeps = [_kept(view, page, q, d) for q, d in zip(row.questions, draws, strict=True)]
        given = [answer_all(model, page, k, [q.text])[0] for k, q in zip(keeps, row.questions, strict=True)]
        kept = [len(k) for k in keeps]
    return [
        {
            "id": q.id, "view": view, "question": q.text, "gold": (q.answers or ("",))[0], "answer": text,
            "anls": anls(text, q.answers), "exact": float(text in (q.answers or ())), "cannot_read": float(not text),
            "visual_tok": k, "logprob": logprob, "x_height_px": q.metadata["x_height_px"], "kind": q.metadata["kind"],
        }
        for q, (text, logprob), k in zip(row.questions, given, kept, strict=True)
    ]  # fmt: skip


@torch.inference_mode()
def char_accuracy(model: Any, head: Any, sheets: int, seed: int) -> dict[str, float]:
    """Share of characters (and of whole tokens that hold text) that the dense head gets right on held-out crops."""
    data, right, slots, tokens, whole = Crops(seed, sheets), 0, 0, 0, 0
    for i in range(sheets):
        item = data[i]
        with autocast(model.device):
            logits = head(encode(model.model.visual, patchify(item["image"].to(model.device))))
        label = item["label"].to(model.device).long()
        hit = (logits.view(*label.shape[:-1], SLOTS, CLASSES).argmax(-1) == label)[..., :OWN]
        label = label[..., :OWN]
        text = (label > 0).any(-1)
        right, slots = right + int(hit[label > 0].sum()), slots + int((label > 0).sum())
        whole, tokens = whole + int(hit.all(-1)[text].sum()), tokens + int(text.sum())
    return {"char": right / slots, "token": whole / tokens, "num_char": slots}


def evaluate(model: Any, page_px: int, pages: int, views: list[str], seed: int = 0) -> list[dict[str, Any]]:
    """All results on the first pages of synthdoc validation."""
    data = SynthDoc(page_px=page_px, num_pages=pages, seed=seed)
    results = []
    for row in data.rows():
        assert isinstance(row, Row)
        image = data.picture(row.source).rgb[..., 0]
        for view in views:
            results += evaluate_page(model, image, row, view, seed)
    return results


def summary(results: list[dict[str, Any]], view: str) -> dict[str, float]:
    """Means over the questions of a view, and ANLS by x-height."""
    mine = [r for r in results if r["view"] == view]
    means = {k: float(np.mean([r[k] for r in mine])) for k in ("anls", "exact", "cannot_read", "visual_tok")}
    bins = [(6, 8), (8, 11), (11, 15), (15, 31)]
    for low, high in bins:
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
    parser.add_argument("--views", default="all,resize@273,near@273,away@273")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args(argv)
    model = load_model(given.checkpoint).eval().to("cuda" if torch.cuda.is_available() else "cpu")
    head = dense_head(model.config.text_config.hidden_size).to(model.device)
    load_head(head, given.checkpoint)
    report: dict[str, Any] = {"page_px": given.page_px, "pages": given.pages, "seed": given.seed}
    report["characters"] = char_accuracy(model, head, 16, SynthDoc(seed=given.seed).stored_seed)
    print(f"characters {report['characters']}", flush=True)
    views = given.views.split(",")
    results = evaluate(model, given.page_px, given.pages, views, given.seed)
    report["views"] = {view: summary(results, view) for view in views}
    for view, line in report["views"].items():
        print(view, " ".join(f"{k} {v:.3f}" for k, v in line.items()), flush=True)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps({**report, "results": results}, indent=1))


if __name__ == "__main__":
    main()
