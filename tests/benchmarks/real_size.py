"""Seconds per page at real size: Qwen2.5-VL-3B or 7B with random weights, 4,096 tokens, every way to show a page.

    python -m tests.benchmarks.real_size                         # 3B on this machine's CPU or GPU
    python -m tests.benchmarks.real_size --size 7B --questions 8
    python -m tests.benchmarks.real_size --vision-layers 0 --language-layers 0   # all layers (a GPU, or patience)
    python -m tests.benchmarks.real_size --page-px 448           # does it run

Random weights cost what trained ones cost and answer nothing, so looks are never sure: each way takes all it may, and
16 tokens are written. Few layers stand for all: the vision tower's seconds are scaled by its depth (one layer in eight
sees the whole page, as in the model), the language model's are read off two depths and continued in a line. Beside the
seconds stands the floor: the operations of the way over the machine's own rate of matrix products, and the bytes of
the weights that 16 tokens read over its rate of reading memory, both measured in the same run. Writes
results/real_size-SIZE.json.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.config import Episode
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF, HFEngine
from saccade.episode import episodes, run, see
from saccade.machine import resolved_device
from saccade.picture import Picture
from saccade.types import Question, Trace
from tests import tiny

CELL_PX, PATCHES, WINDOW = 28, 4, 64  # a token's side, its patches, patches of one window
NEW_TOK = 16
VOCABULARY = 151_936
PARETO = Path(__file__).parent / "results" / "pareto.json"
STOPS = {
    "small page, 1 of ink": ("resize@273", "resize@819, then ink below 0.8"),
    "ink, print of 12 px, again": ("ink, print of 12 px", "ink, print of 8 px, again below 0.9"),
}
"""What a way costs who is sure after its first step, and the way of pareto.json that says how many are."""
VISION = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
TEXT = {
    "3B": {"num_hidden_layers": 36, "hidden_size": 2048, "intermediate_size": 11008, "num_attention_heads": 16,
           "num_key_value_heads": 2},
    "7B": {"num_hidden_layers": 28, "hidden_size": 3584, "intermediate_size": 18944, "num_attention_heads": 28,
           "num_key_value_heads": 4},
}  # fmt: skip
"""Widths and depths of Qwen2.5-VL as its configurations give them."""


def resized(tokens: int) -> Episode:
    return Episode(sampler="resize", fixations=1, budget={"name": "fixed", "tokens": tokens}, stop_at=2)


WAYS: dict[str, Episode] = {
    "full": Episode(sampler="full", stop_at=2),
    "ink": Episode(stop_at=2, print_px=0),
    "resize@273": resized(273),
    "resize@819": resized(819),
    "ink, print of 12 px": Episode(stop_at=2, print_px=12),
    "ink, print of 12 px, again": Episode(stop_at=2, print_px=12, reread=1.5),
    **{f"small page, {n} of ink": Episode(glimpse=273, fixations=n, encoder="ink", stop_at=2) for n in range(1, 6)},
}


def checkpoint(folder: Path, size: str, vision_layers: int, language_layers: int) -> Path:
    """Random bfloat16 weights of a size, with the tokenizer of the tests."""
    text = {**TEXT[size], "num_hidden_layers": language_layers, "max_position_embeddings": 32_768}
    head = text["hidden_size"] // text["num_attention_heads"]
    text["rope_parameters"] = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    assert head == 128, "the sections of its rotary embedding"
    full = [layer for layer in range(7, vision_layers, 8)] or [vision_layers - 1]
    vision = {**VISION, "depth": vision_layers, "fullatt_block_indexes": full, "out_hidden_size": text["hidden_size"]}
    torch.set_default_dtype(torch.bfloat16)
    try:
        return tiny.save_qwen2_5_vl(folder, text, vision, VOCABULARY)
    finally:
        torch.set_default_dtype(torch.float32)


def timed(engine: HFEngine, settings: Episode, picture: Picture, questions: list[Question]) -> dict[str, float]:
    """Seconds to encode, to plan and to read, of one page with its questions; and what was paid."""
    engine.forget()
    sync = torch.cuda.synchronize if engine.device.type == "cuda" else lambda: None
    sync()
    started = time.perf_counter()
    seen = see(settings, engine, picture, questions)
    traces = [trace for trace in run(episodes(settings, seen), engine) if isinstance(trace, Trace)]
    sync()
    total = time.perf_counter() - started
    assert len(traces) == len(questions), "every question has an answer"
    spent = {stage: sum(trace.cost.seconds.get(stage, 0.0) for trace in traces) for stage in ("encode", "plan", "read")}
    return {
        **spent,
        "total": total,
        "patches": seen.encoder_patches,
        "prefill_tok": sum(trace.cost.prefill_tok for trace in traces),
        "reads": sum(len(trace.steps) for trace in traces),
    }


def rates(device: torch.device) -> dict[str, float]:
    """Operations per second of a bfloat16 matrix product, and bytes read per second by a sum, the best of five."""
    sync = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    left, right = (torch.randn(4096, 2048, device=device).bfloat16() for _ in range(2))
    source = torch.ones(1 << 28, device=device)
    best = {"flops": 0.0, "bytes": 0.0}
    for _ in range(5):
        for name, work, amount in (
            ("flops", lambda: left @ right.T, 2 * 4096 * 4096 * 2048),
            ("bytes", source.sum, source.nbytes),
        ):
            sync()
            started = time.perf_counter()
            work()
            sync()
            best[name] = max(best[name], amount / (time.perf_counter() - started))
    return best


def floor(size: str, cost: Mapping[str, float], rate: Mapping[str, float]) -> dict[str, float]:
    """Seconds below which a way cannot stay: the products of the layers, and the weights read per written token."""
    d, m = VISION["hidden_size"], VISION["intermediate_size"]
    patches, depth = cost["patches"], VISION["depth"]
    seen = (7 * min(WINDOW, patches) + patches) / 8  # patches that one attends to: in seven layers of eight a window
    vision = patches * depth * (8 * d * d + 6 * d * m + 4 * d * seen) + patches / PATCHES * 2 * (4 * d) ** 2
    text = TEXT[size]
    d, m, layers = text["hidden_size"], text["intermediate_size"], text["num_hidden_layers"]
    narrow = d * text["num_key_value_heads"] / text["num_attention_heads"]
    weights = layers * (2 * d * d + 2 * d * narrow + 3 * d * m)
    prefill = cost["prefill_tok"] * 2 * weights
    written = cost["reads"] * NEW_TOK * 2 * (weights + VOCABULARY * d)  # bytes: two per weight
    return {"encode": vision / rate["flops"], "read": prefill / rate["flops"] + written / rate["bytes"]}


def measured(given: argparse.Namespace, layers: int, picture: Picture, repeats: int) -> dict[str, dict[str, float]]:
    """Every way's least seconds of some repeats, each way in turn, with so many layers of the language model."""
    questions = [Question(str(number), f"What is field {number}?") for number in range(given.questions)]
    with tempfile.TemporaryDirectory(dir=given.scratch) as folder:
        model = str(checkpoint(Path(folder), given.size, given.vision_layers, layers))
        limit = picture.width_px * picture.height_px
        with HF(model=model, dtype="bfloat16", max_new_tok=NEW_TOK, max_px=limit).open() as engine:
            timed(engine, resized(64), picture, questions)  # warm
            timings = [
                {name: timed(engine, way, picture, questions) for name, way in WAYS.items()} for _ in range(repeats)
            ]
    return {name: min((each[name] for each in timings), key=lambda cost: cost["total"]) for name in WAYS}


def main() -> None:
    """Measures, prints, writes the results file (only with the default page)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=TEXT, default="3B")
    parser.add_argument("--questions", type=int, default=1, help="about the page")
    parser.add_argument("--page-px", type=int, default=64 * CELL_PX, help="side of the page; 1792: 4,096 tokens")
    parser.add_argument("--vision-layers", type=int, default=8, help="0: all")
    parser.add_argument("--language-layers", type=int, default=2, help="and twice as many; 0: all, measured once")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--scratch", type=Path, help="folder for the weights of the moment")
    given = parser.parse_args()
    given.vision_layers = given.vision_layers or VISION["depth"]
    all_layers = TEXT[given.size]["num_hidden_layers"]
    device = resolved_device("auto")
    data = SynthDoc(page_px=given.page_px, num_pages=1)
    pixels = data.picture("0").rgb
    side = given.page_px // CELL_PX * CELL_PX
    page = torch.nn.functional.pad(torch.from_numpy(pixels), (0, 0, 0, side), value=255)[:side]
    page = torch.nn.functional.pad(page, (0, 0, 0, side), value=255)[:, :side].contiguous().numpy()
    picture, few = Picture.open(page), given.language_layers or all_layers
    rate = rates(device)
    first = measured(given, few, picture, given.repeats)
    second = first if few == all_layers else measured(given, 2 * few, picture, given.repeats)
    ways = {}
    for name, one in first.items():
        more = (second[name]["read"] - one["read"]) / few if few < all_layers else 0.0
        seconds = {
            "encode": one["encode"] * VISION["depth"] / given.vision_layers,
            "plan": one["plan"],
            "read": one["read"] + more * (all_layers - few),
        }
        ways[name] = {
            "seconds": seconds,
            "total": sum(seconds.values()),
            "floor": floor(given.size, one, rate),
            **{key: one[key] for key in ("patches", "prefill_tok", "reads")},
            "measured": [one, second[name]],
        }
    result = {
        "size": given.size, "tokens": (side // CELL_PX) ** 2, "questions": given.questions, "device": str(device),
        "vision_layers": given.vision_layers, "language_layers": [few, 2 * few], "rate": rate, "ways": ways,
        "expected": expected(ways),
        **provenance(),
    }  # fmt: skip
    Console(width=120).print(table(result))
    if given.page_px == parser.get_default("page_px"):
        suffix = "" if given.questions == 1 else f"-{given.questions}"
        path = Path(__file__).parent / "results" / f"real_size-{given.size}{suffix}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")


def expected(ways: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Seconds of ways that stop after a first step, at the share of questions that the bundled model stops there."""
    stops = json.loads(PARETO.read_text())["one"]
    costs = {}
    for name, (first, like) in STOPS.items():
        sure = stops[like]["first_step"]
        total = sure * ways[first]["total"] + (1 - sure) * ways[name]["total"]
        costs[name] = {"first_step": sure, "total": total}
    return costs


def table(result: Mapping[str, Any]) -> Table:
    """Seconds and their floor, and how often full is as long."""
    printed = Table("way", "patches", "prefilled", "encode s", "floor", "read s", "floor", "total s", "full / it")
    whole = result["ways"]["full"]["total"]
    for name, way in result["ways"].items():
        seconds, least = way["seconds"], way["floor"]
        printed.add_row(
            name, f"{way['patches']:.0f}", f"{way['prefill_tok']:.0f}", f"{seconds['encode']:.2f}",
            f"{least['encode']:.2f}", f"{seconds['read']:.2f}", f"{least['read']:.2f}", f"{way['total']:.2f}",
            f"{whole / way['total']:.1f}",
        )  # fmt: skip
    for name, stopped in result["expected"].items():
        share, total = stopped["first_step"], stopped["total"]
        where = f"{name}, where {share:.0%} stop before"
        printed.add_row(where, *[""] * 6, f"{total:.2f}", f"{whole / total:.1f}")
    return printed


if __name__ == "__main__":
    main()
