"""What fewer tokens save a LLaVA in the transformers engine: prefill and encoder seconds, same model, pages and run.

    python -m tests.benchmarks.llava

A random model of LLaVA-1.5's shape (24 x 24 = 576 tokens of a CLIP tower, a Llama with 1-D positions), small enough for
a CPU: its answers mean nothing, its times do. Every page is asked one question with all tokens, with 273 in one look,
and with 2 looks of 144 on a growing canvas. A read is a prefill and one generated token. The ways take turns page by
page, so that what else the machine does falls on all of them; a page's time is the median of `REPEATS` turns. Writes
results/llava.json beside this file.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF, HFEngine, quiet
from saccade.episode import episodes, run, see
from saccade.types import Sample, Trace

PAGES, REPEATS, PAGE_PX = 6, 3, 512
LAYERS, WIDTH, HEADS = 8, 512, 8
TOWER_LAYERS, TOWER_WIDTH = 12, 256  # LLaVA-1.5: 24 and 1024
SIDE_PX, PATCH_PX = 336, 14
EPISODE = Episode(stop_at=2)
WAYS = {
    "all 576": EPISODE.with_settings(sampler="full", fixations=1),
    "1 x 273": EPISODE.with_settings(fixations=1, budget={"name": "fixed", "tokens": 273}),
    "2 x 144, growing canvas": EPISODE.with_settings(fixations=2, budget={"name": "fixed", "tokens": 144}),
}


def checkpoint(folder: Path) -> Path:
    """A random LLaVA with the tokenizer of the tests."""
    import transformers  # behind saccade's, which mend its imports where torchvision is broken
    from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil

    from tests import tiny

    words = tiny.tokenizer()
    vision = {"hidden_size": TOWER_WIDTH, "intermediate_size": 4 * TOWER_WIDTH, "num_hidden_layers": TOWER_LAYERS}
    vision |= {"num_attention_heads": TOWER_WIDTH // 64, "image_size": SIDE_PX, "patch_size": PATCH_PX}
    text = {"hidden_size": WIDTH, "intermediate_size": 11 * WIDTH // 4, "num_hidden_layers": LAYERS}
    text |= {"num_attention_heads": HEADS, "num_key_value_heads": HEADS, "max_position_embeddings": 2048}
    config = transformers.LlavaConfig(
        vision_config={**vision, "projection_dim": 64},
        text_config={**text, "model_type": "llama", **tiny._ids(words)},
        image_token_index=words.convert_tokens_to_ids("<|image_pad|>"),
        image_seq_length=(SIDE_PX // PATCH_PX) ** 2,
    )
    crop = {"height": SIDE_PX, "width": SIDE_PX}
    processor = LlavaImageProcessorPil(size={"shortest_edge": SIDE_PX}, crop_size=crop)
    with quiet():
        return tiny._save(folder, 0, transformers.LlavaForConditionalGeneration, config, words, processor)


def looked(engine: HFEngine, sample: Sample, settings: Episode) -> Trace:
    """One question, by an engine that has read nothing before."""
    engine.forget()
    seen = see(settings, engine, sample.picture, sample.questions[:1])
    (trace,) = run(episodes(settings, seen), engine)
    assert isinstance(trace, Trace), trace
    return trace


def measure(engine: HFEngine, samples: Sequence[Sample], repeats: int) -> dict[str, dict[str, float]]:
    """Each way's mean over the pages."""
    for settings in WAYS.values():
        looked(engine, samples[0], settings)  # warm
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for sample in samples:
        turns: dict[str, list[Trace]] = {name: [] for name in WAYS}
        for _ in range(repeats):
            for name, settings in WAYS.items():
                turns[name].append(looked(engine, sample, settings))
        for name, traces in turns.items():
            rows[name].append(line(traces))
    return {name: {key: statistics.fmean(row[key] for row in runs) for key in runs[0]} for name, runs in rows.items()}


def line(traces: Sequence[Trace]) -> dict[str, float]:
    """Tokens and the median seconds of one page's turns."""
    cost = traces[0].cost
    encoder_s = statistics.median(trace.cost.seconds["encode"] for trace in traces)
    prefill_s = statistics.median(sum(step.answer.seconds for step in trace.steps) for trace in traces)
    tokens = {"visual_tok": cost.visual_tok, "prefill_tok": cost.prefill_tok, "cached_tok": cost.cached_tok}
    return {**tokens, "prefill_s": prefill_s, "encoder_s": encoder_s, "together_s": prefill_s + encoder_s}


def main() -> None:
    """Measures, prints, writes the results file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=PAGES)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "llava.json")
    given = parser.parse_args()
    dataset = SynthDoc(page_px=PAGE_PX, num_pages=given.pages, seed=3)
    samples = [dataset.sample(row) for row in dataset.rows() if isinstance(row, Row)]
    with tempfile.TemporaryDirectory() as folder:
        spec = HF(model=str(checkpoint(Path(folder))), device="cpu", max_new_tok=1)
        with quiet(), spec.open() as engine:
            table = measure(engine, samples, given.repeats)
    model = {"layers": LAYERS, "width": WIDTH, "tower_layers": TOWER_LAYERS, "tower_width": TOWER_WIDTH}
    result = {"pages": len(samples), "repeats": given.repeats, "model": model, "ways": table, **provenance()}
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    full = table["all 576"]
    shown = Table("way", "tokens", "prefilled", "prefill s", "of all", "encoder s", "together, of all")
    for name, row in table.items():
        counts = (f"{row['visual_tok']:.0f}", f"{row['prefill_tok']:.0f}", f"{row['prefill_s']:.3f}")
        ratio = f"{row['prefill_s'] / full['prefill_s']:.2f}"
        shown.add_row(name, *counts, ratio, f"{row['encoder_s']:.3f}", f"{row['together_s'] / full['together_s']:.2f}")
    Console().print(shown)


if __name__ == "__main__":
    main()
