"""Plain vLLM with saccade's plugin: a page and a question per request, images as any client sends them.

    python -m tests.benchmarks.plugin                    # the bundled model; quiet machine, a few minutes
    python -m tests.benchmarks.plugin --pages 4          # does it run; writes no file
    python -m tests.benchmarks.plugin --model Qwen/Qwen2.5-VL-7B-Instruct --page-px 1792   # on a GPU

All requests are given to vLLM at once, one way after the other; prefix and processor caches are off, so that every
request pays for its page. `resize` shrinks the page before it is sent, `after` chooses among the tower's tokens,
`before` and `ink` encode only what is kept. Writes results/plugin.json beside this file.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image
from rich.console import Console
from rich.table import Table

from pipelines.runs.provenance import provenance
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines import checkpoint
from saccade.engines._answers import open_outline
from saccade.engines.vllm_plugin import PREFIX, start
from saccade.families import Family, largest_grid
from saccade.metrics.anls import anls
from saccade.metrics.bootstrap import bootstrap_difference, bootstrap_mean
from saccade.types import Question

WAYS: dict[str, tuple[dict[str, Any] | None, int | None]] = {  # what a request asks for, tokens of the page it sends
    "whole": (None, None),
    "ink": ({"ink": True}, None),
    "ink, print of 8 px": ({"ink": True, "print_px": 8}, None),
    "819, after": ({"tokens": 819}, None),
    "819, before": ({"tokens": 819, "before": "tower"}, None),
    "resize@819": (None, 819),
    "resize@1638": (None, 1638),
}
NEW_TOK = 48


def shrunk(page: Image.Image, cell_px: int, max_tok: int | None) -> Image.Image:
    """The page in at most so many cells, its aspect kept."""
    if max_tok is None:
        return page
    rows, cols = largest_grid(page.height // cell_px, page.width // cell_px, max_tok)
    return page.resize((cols * cell_px, rows * cell_px), Image.Resampling.BICUBIC)


def prompt(family: Family, page: Image.Image, question: str, wanted: dict[str, Any] | None) -> dict[str, Any]:
    """One request."""
    prefix, suffix = family.prompt(question)
    image_token_id = int(family.model.config.image_token_id)
    return {
        "prompt_token_ids": [*prefix, image_token_id, *suffix],
        "multi_modal_data": {"image": page},
        **({"mm_processor_kwargs": {"saccade": wanted}} if wanted else {}),
    }


def measured(llm: Any, family: Family, cell_px: int, asked: Sequence[tuple[Image.Image, Question]]) -> dict[str, Any]:
    """Answers and seconds of each way."""
    from vllm import SamplingParams

    params = SamplingParams(temperature=0, max_tokens=NEW_TOK)
    measures: dict[str, Any] = {}
    for name, (wanted, max_tok) in WAYS.items():
        requests = [prompt(family, shrunk(page, cell_px, max_tok), item.text, wanted) for page, item in asked]
        llm.generate(requests[:2], params, use_tqdm=False)  # warm
        started = time.perf_counter()
        outputs = llm.generate(requests, params, use_tqdm=False)
        seconds = time.perf_counter() - started
        texts = [family.tokenizer.decode(output.outputs[0].token_ids, skip_special_tokens=True) for output in outputs]
        measures[name] = {
            "scores": [anls(text, item.answers) for text, (_, item) in zip(texts, asked, strict=True)],
            "requests_per_s": len(asked) / seconds,
            "prompt_tok": sum(len(output.prompt_token_ids) for output in outputs) / len(outputs),
        }
    return measures


def summed(ways: dict[str, Any], pages: Sequence[int]) -> dict[str, Any]:
    """Means with their intervals, and differences to the whole page."""
    whole, rows = ways["whole"]["scores"], {}
    for name, way in ways.items():
        mean = bootstrap_mean(way["scores"], pages)
        difference = bootstrap_difference(way["scores"], whole, pages)
        assert mean is not None and difference is not None
        rows[name] = {
            "anls": asdict(mean),
            "difference": None if name == "whole" else asdict(difference),
            "requests_per_s": way["requests_per_s"],
            "right_per_s": way["requests_per_s"] * mean.mean,
            "prompt_tok": way["prompt_tok"],
        }
    return rows


def markdown(result: dict[str, Any]) -> str:
    """The README's table."""
    whole = result["ways"]["whole"]["requests_per_s"]
    lines = ["| | ANLS | requests/s | right/s | times whole | tokens of a prompt |", "|---|---|---:|---:|---:|---:|"]
    for name, row in result["ways"].items():
        mean, rate = row["anls"], row["requests_per_s"]
        lines.append(
            f"| {name} | {mean['mean']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}] | {rate:.1f} | "
            f"{row['right_per_s']:.1f} | {rate / whole:.1f} | {row['prompt_tok']:.0f} |"
        )
    return "\n".join(lines)


def table(result: dict[str, Any]) -> Table:
    """ANLS and requests per second."""
    printed = Table("way", "ANLS", "requests/s", "right/s", "tokens of a prompt", title="plain vLLM")
    for name, row in result["ways"].items():
        mean = row["anls"]
        interval = f"{mean['mean']:.2f} [{mean['low']:.2f}, {mean['high']:.2f}]"
        printed.add_row(name, interval, f"{row['requests_per_s']:.1f}", f"{row['right_per_s']:.1f}",
                     f"{row['prompt_tok']:.0f}")  # fmt: skip
    return printed


def main() -> None:
    """Measures, prints, writes the results file of the bundled model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--pages", type=int, default=128)
    parser.add_argument("--page-px", type=int, default=1024)
    given = parser.parse_args()
    start.prepare()
    from transformers import AutoConfig
    from vllm import LLM

    path = checkpoint(given.model)
    config = AutoConfig.from_pretrained(path)
    family, vision = open_outline(path, config), config.vision_config
    data = SynthDoc(page_px=given.page_px, num_pages=given.pages, questions_per_page=1)
    rows = [row for row in data.rows() if isinstance(row, Row)]
    asked = [(Image.fromarray(data.picture(row.source).rgb), question) for row in rows for question in row.questions]
    options: dict[str, Any] = {"dtype": "float32", "enforce_eager": True} if start.on_cpu() else {}
    if start.on_cpu():
        options["kv_cache_memory_bytes"] = 1 << 30
    llm = LLM(
        model=path,
        hf_overrides={"architectures": [PREFIX + config.architectures[0]]},
        limit_mm_per_prompt={"image": 1, "video": 0},
        enable_prefix_caching=False,
        mm_processor_cache_gb=0,
        generation_config="vllm",
        **options,
    )
    cell_px = vision.patch_size * vision.spatial_merge_size
    ways = measured(llm, family, cell_px, asked)
    result = {
        "model": given.model, "page_px": given.page_px, "requests": len(asked),
        "ways": summed(ways, list(range(len(asked)))), **provenance(),
    }  # fmt: skip
    Console(width=100).print(table(result))
    if given.model == "nano" and given.pages == parser.get_default("pages"):
        path_out = Path(__file__).parent / "results" / "plugin.json"
        path_out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
