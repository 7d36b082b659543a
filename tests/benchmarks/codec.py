"""What a trained codec saves where encodings are stored and sent, and what it costs in answers.

    saccade train codec autoencoder --out heads/codec
    python -m tests.benchmarks.codec heads/codec

For some pages, bytes as they are pickled between processes (what an encoder sends: everything; what a reader gets: the
tokens) and as a training's cache has them on disk, with the reduction `autoencoder` and without; and what is answered.
Writes results/codec.json beside this file.
"""

import argparse
import json
import pickle
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipelines.execute.serialization import freeze
from pipelines.runs.provenance import provenance
from saccade.config import Episode
from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines.hf import HF
from saccade.seen import see
from saccade.training.comparing import compared, reported, summary
from saccade.training.stored import stored
from saccade.types import Part

SEED = 4242  # pages that no table and no training knows
LOOKS = Episode(sampler="full")


def weighed(spec: HF, dataset: SynthDoc) -> dict[str, float]:
    """Bytes a page, means over the pages of a data set."""
    rows = [row for row in dataset.rows() if isinstance(row, Row)]
    sent = read = 0
    with spec.open_encoder() as encoder, tempfile.TemporaryDirectory() as cache:
        for row in rows:
            sample = dataset.sample(row)
            seen = see(LOOKS, encoder, sample.picture, sample.questions[:1])
            sent += len(pickle.dumps(freeze(replace(seen, picture=None))))  # type: ignore[arg-type]
            read += len(pickle.dumps(freeze(Part.of(seen.encoding))))
        files = stored(Path(cache), LOOKS, encoder, dataset, rows).files
        disk = sum(file.stat().st_size for file in files)
    return {"encoder_sends": sent / len(rows), "reader_gets": read / len(rows), "disk": disk / len(rows)}


def main(argv: Sequence[str] | None = None) -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codec", type=Path)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--pages", type=int, default=24)
    parser.add_argument("--page-px", type=int, default=512)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "codec.json")
    given = parser.parse_args(argv)
    dataset = SynthDoc(page_px=given.page_px, num_pages=given.pages, seed=SEED)
    plain = HF(model=given.model)
    specs = {
        "as they are": plain,
        "coded": plain.with_settings(reduction={"name": "autoencoder", "weights": str(given.codec)}),
    }
    bytes_page = {name: weighed(spec, dataset) for name, spec in specs.items()}
    readings = compared({name: (spec, LOOKS) for name, spec in specs.items()}, dataset, 8 * given.pages)
    result: dict[str, Any] = {
        "questions": len(readings["coded"].scores),
        "pages": given.pages,
        "page_px": given.page_px,
        "bytes_page": bytes_page,
        "answers": reported(readings),
        "codec": json.loads((given.codec / "module.json").read_text()),
        "provenance": provenance(),
    }
    given.output.write_text(json.dumps(result, indent=1) + "\n")
    for what in bytes_page["coded"]:
        before, after = (bytes_page[name][what] for name in specs)
        print(f"{what:14s} {before:12,.0f} bytes a page, coded {after:12,.0f} ({after / before:.2f})")
    print(summary(readings))


if __name__ == "__main__":
    main()
