"""Parity: do vLLM and transformers read the same canvases alike, on this machine, with this model?

One generated page, read with all its tokens and with one, two and three fixations that grow one canvas. A wrong
position in a model's code still gives plausible text but other numbers, so log-probabilities are compared. Beside them
stands what the page gives when it is moved by one column: a difference as large as that means a wrong position.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from rich.console import Console
from rich.table import Table

from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc
from saccade.engines import Reader, choose_engine
from saccade.types import Answer, Canvas, Encoding, Part, Selection
from saccade.wording import counted

TOLERANCE = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 1e-2}
"""Largest relative difference of log-probabilities that rounding explains."""
FIXATION_TOK = 273


@dataclass(frozen=True, slots=True)
class Check:
    """One canvas in both engines."""

    name: str
    expected: Answer
    found: Answer

    @property
    def difference(self) -> float:
        """Between the log-probabilities."""
        return difference(self.expected, self.found)


def difference(a: Answer, b: Answer) -> float:
    """Largest relative difference of two answers' log-probabilities; of the first ones, where the texts differ.

    Below one nat it is the difference itself: probabilities near 1 have logarithms near 0.
    """
    pairs = list(zip(a.logprobs, b.logprobs, strict=False))
    return max(abs(x - y) / max(1.0, abs(x)) for x, y in (pairs if a.text == b.text else pairs[:1]))


def canvases(encoding: Encoding) -> dict[str, Canvas]:
    """The whole page, and a canvas that grows three times by tokens drawn at random."""
    empty = Canvas(encoding.grid.rows, encoding.grid.cols)
    by_name = {"all tokens": empty.add(Part.of(encoding))}
    order = torch.randperm(len(encoding), generator=torch.Generator().manual_seed(0))
    grown = empty
    size = min(FIXATION_TOK, -(-len(encoding) // 4))
    for number, index in enumerate(torch.split(order, size)[:3], start=1):
        grown = grown.add(Part.of(encoding, Selection.keep(index, len(encoding))))
        by_name[counted(number, "fixation")] = grown
    return by_name


def shifted(canvas: Canvas) -> Canvas:
    """The canvas with every token one column to the right; those of the last column come to the first."""
    moved = (replace(part, col=(part.col + 1) % canvas.cols, key=part.key + "-shifted") for part in canvas.parts)
    return replace(canvas, parts=tuple(moved))


def answers(reader: Reader, asked: Sequence[Canvas], question: str) -> list[Answer]:
    """Of one reader that has read nothing before; what it keeps on the way is part of the check."""
    reader.forget()
    return [reader.read(canvas, question) for canvas in asked]


def verify(model: str, console: Console) -> int:
    """Prints a table; 0 when vLLM's answers are those of transformers, 1 when they are not.

    Raises:
        ConfigError: vLLM is not installed, or does not read this model.
        EngineDead: vLLM did not start.
    """
    vllm = choose_engine({"name": "vllm", "model": model})
    data = SynthDoc(page_px=512, num_pages=1)
    row = next(iter(data.rows()))
    assert isinstance(row, Row)
    question, page = row.questions[0].text, data.picture(row.source)
    console.print("reading with transformers")
    with choose_engine({"name": "hf", "model": model}).open() as hf:
        asked = canvases(hf.encode([hf.prepare(page)])[0])
        expected = answers(hf, list(asked.values()), question)
        wrong = answers(hf, [shifted(canvas) for canvas in asked.values()], question)
    console.print("reading with vLLM")
    with vllm.open_reader() as reader:
        answers_of_vllm = answers(reader, list(asked.values()), question)
        dtype = str(reader.dtype).removeprefix("torch.")
    checks = [Check(*item) for item in zip(asked, expected, answers_of_vllm, strict=True)]
    control = max(difference(*each) for each in zip(expected, wrong, strict=True))
    return report(checks, control, TOLERANCE.get(dtype, 1e-3), dtype, console)


def report(checks: Sequence[Check], control: float, tolerance: float, dtype: str, console: Console) -> int:
    """Prints the checks and the verdict. `control`: what a wrong position does to the first token."""
    table = Table(box=None, pad_edge=False)
    for column in ("canvas", "tokens", "cached", "transformers", "vLLM (first token)", "difference", ""):
        table.add_column(column, justify="left" if column in ("canvas", "") else "right")
    good = True
    for check in checks:
        same = check.difference <= tolerance
        good &= same
        first, second = (f"{answer.logprobs[0]:.5f}" for answer in (check.expected, check.found))
        tokens, cached = str(check.found.visual_tok), str(check.found.cached_tok)
        mark = "[green]same[/green]" if same else "[red]differs[/red]"
        table.add_row(check.name, tokens, cached, first, second, f"{check.difference:.1e}", mark)
    console.print(table)
    console.print(f"log-probabilities, {dtype}; allowed {tolerance:g}; one column to the right gives {control:.1e}")
    if good and control <= tolerance:
        console.print("[yellow]nothing shown[/yellow]: with this model a wrong position would not have been noticed")
        return 1
    console.print("[green]vLLM reads as transformers does[/green]" if good else "[red]vLLM reads something else[/red]")
    return 0 if good else 1
