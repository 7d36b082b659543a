"""What `saccade analyze` measures: over one image, over a data set, or over the stored rows of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.dataset as arrow
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from pipelines.resolve import asking
from pipelines.show import UNASKED, must_hold_answers
from saccade.analysis.eccentricity import bands
from saccade.analysis.information import BottleneckPoint, bottleneck_curve, page_entropy, question_information
from saccade.analysis.layers import LayerLikeness, redundancy, states
from saccade.analysis.pruning import KEEPS, WAYS, Reading, rate_curve, readings, smallest_rate
from saccade.analysis.scanpath import HUMAN, Scanpath, scanpath, scanpath_statistics
from saccade.config import Episode
from saccade.datasets import Row, limit, open_dataset
from saccade.engines import Engine
from saccade.episode import episodes, run, see
from saccade.errors import ConfigError, EngineDead, SaccadeError, describe
from saccade.geometry.grid import plain_grid
from saccade.picture import Picture, suffixes
from saccade.types import Grid, Question, Sample, Scene, Trace
from saccade.viz import analysis as charts
from saccade.viz.sheet import save
from saccade.viz.view import TraceView

THRESHOLD = 0.9  # cosine above which two patches count as doubles
LIMIT = 32  # questions of a data set, as the command says
PAGES_OF_LAYERS = 4  # whose blocks are compared: all pairs of patches of all blocks
BOTTLENECK_TOK = (32, 64, 128, 273, 546, 1092)

Numbers = dict[str, Any]


@dataclass
class Found:
    """What was measured so far: it grows by one image at a time, so that Ctrl-C leaves what is done."""

    target: str
    questions: int = 0
    errors: list[str] = field(default_factory=list)
    interrupted: bool = False
    scene: Scene | None = None  # of the first page, for its maps
    asked: bool = True  # whether it is a question of somebody, not one that stands in for none
    points: list[BottleneckPoint] = field(default_factory=list)  # of the first page
    information: list[Numbers] = field(default_factory=list)
    layers: list[tuple[LayerLikeness, ...]] = field(default_factory=list)
    paths: list[Scanpath] = field(default_factory=list)
    looks: list[tuple[Grid, tuple[float, float], Tensor]] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    settings: Numbers = field(default_factory=dict)

    def path_of(self, view: TraceView, grid: Grid) -> None:
        """Takes the gazes of one trace, and what its first look kept: later ones choose from what is left."""
        aimed = [look for look in view.looks if look.aimed]
        if not aimed:
            return
        self.paths.append(scanpath([look.gaze_uv for look in aimed], grid.width_px, grid.height_px))
        kept = torch.zeros(view.num_cells, dtype=torch.bool)
        kept[list(aimed[0].kept)] = True
        if aimed[0].kept:
            plain = plain_grid(view.rows, view.cols, grid.width_px, grid.height_px)
            self.looks.append((plain, aimed[0].gaze_uv, kept))

    @property
    def numbers(self) -> Numbers:
        """Everything, as JSON takes it. What was not measured is missing."""
        made: Numbers = {"target": self.target, "questions": self.questions, "errors": self.errors}
        made |= {"interrupted": self.interrupted, "settings": self.settings}
        if self.information:
            made["information"] = _means(self.information)
        if self.points:
            made["bottleneck"] = [asdict(point) for point in self.points]
        if self.layers:
            made["layers"] = {"threshold": THRESHOLD, "pages": len(self.layers), "blocks": self._blocks()}
        if self.paths:
            made["scanpath"] = {**asdict(scanpath_statistics(self.paths)), "human": HUMAN}
        if self.looks:
            found = [asdict(band) for band in bands(self.looks)]
            found[-1]["high_deg"] = None  # JSON has no infinity
            made["eccentricity"] = {"looks": len(self.looks), "bands": found}
        if self.readings:
            made["rate"] = self._rate()
        return made

    def _blocks(self) -> list[Numbers]:
        """Means over pages, one a block."""
        return [
            {"block": one[0].layer + 1, **_means([{"mean": p.mean, "redundant": p.redundant} for p in one])}
            for one in zip(*self.layers, strict=True)
        ]

    def _rate(self) -> Numbers:
        made: Numbers = {"keeps": KEEPS, "ways": {}, "readings": len(self.readings)}
        for way in WAYS:
            curve = rate_curve(self.readings, way)
            least = smallest_rate(curve)
            made["ways"][way] = {
                "points": [asdict(point) for point in curve],
                "smallest_share": None if least is None else least.share,
                "smallest_tok": None if least is None else least.kept_tok,
            }
        return made

    def draw(self, output: Path) -> None:
        """Writes the pictures of what was measured."""
        if self.scene is not None:
            save(charts.information(self.scene, self.points), output / "information.png")
        if self.layers:
            shares = [block["redundant"] for block in self._blocks()]
            save(charts.layers(self.layers[0], shares, THRESHOLD), output / "layers.png")
        if self.paths:
            degrees = [each for path in self.paths for each in path.amplitude_deg]
            save(charts.scanpaths(degrees, scanpath_statistics(self.paths)), output / "scanpath.png")
        if self.looks:
            save(charts.eccentricity(bands(self.looks)), output / "eccentricity.png")
        if self.readings:
            curves = [rate_curve(self.readings, way) for way in WAYS]
            save(charts.rates(curves, [smallest_rate(curve) for curve in curves], KEEPS), output / "rate.png")


def of_target(
    target: str, made: Mapping[str, Any], data: Mapping[str, Any], given: Mapping[str, Any], console: Console
) -> Found:
    """Measures a target: `made` are the settings of the look, `data` what the data set takes, `given` what was asked.

    Raises:
        ConfigError: nothing to analyse there, or options that do not go together.
        SaccadeError: the image or its question cannot be used.
    """
    path = Path(target).expanduser()
    if (path / "run.yaml").exists():
        if given:
            raise ConfigError(f"{target} is a run: it is analysed as it was done, without {', '.join(given)}")
        return of_run(path)
    is_image = path.is_file() and path.suffix.lower() in suffixes()
    if is_image:
        if extra := data.keys() - {"question"}:
            raise ConfigError(f"{target} is an image, which does not go with {', '.join(sorted(extra))}")
        if "question" not in data:
            unasked = {"planner": "saliency", "scorer": "edges"}  # those that no question changes
            made = {**unasked, **made}
    settings, spec = asking(made)
    if settings.view != "foveate" or settings.shared or settings.encoder == "lazy":
        raise ConfigError("analysis is of one question's looks at the whole encoding: a sampler, private, not lazy")
    found = Found(target, settings=settings.dump())
    if is_image:
        text = data.get("question")
        found.asked = text is not None
        samples: list[Any] = [Sample(path.stem, Picture.open(path), (Question(path.stem, text or UNASKED),))]
        opened = None
    else:
        own = {key: value for key, value in data.items() if key != "limit"}
        opened = open_dataset(target, **own)
        samples = [row for row in limit(opened.rows(), data.get("limit", LIMIT)) if isinstance(row, Row)]
    with spec.open() as engine:
        try:
            for each in _tracked(samples, console):
                try:
                    sample = each if opened is None else opened.sample(each)
                    measure(found, settings, engine, sample, read=opened is not None)
                except (EngineDead, ConfigError):
                    raise
                except SaccadeError as error:
                    if opened is None:
                        raise
                    found.errors.append(f"{each.image_id}: {describe(error)}")
        except KeyboardInterrupt:
            if not found.questions:
                raise
            found.interrupted = True
    if not found.questions:
        why = f": {found.errors[0]}" if found.errors else " in it"
        raise ConfigError(f"no question of {target} could be analysed{why}")
    return found


def _tracked(samples: Sequence[Any], console: Console) -> Iterator[Any]:
    quiet = len(samples) < 2 or not console.is_terminal
    yield from track(samples, "images", console=console, disable=quiet)


def measure(found: Found, settings: Episode, engine: Engine, sample: Sample, *, read: bool) -> None:
    """Adds one image. A question that cannot be asked is an error of its own; `read`: A4 and A6 as well.

    Raises:
        SaccadeError: the image cannot be used.
    """
    usable = [question for question in sample.questions if question.error is None]
    found.errors += [f"{question.id}: {question.error}" for question in sample.questions if question.error is not None]
    seen = see(settings, engine, sample.picture, usable)
    scores = list(readings(seen, sample.image_id, engine, settings.strategies.score)) if read else []
    outcomes = run(episodes(settings, seen), engine)
    if len(found.layers) < PAGES_OF_LAYERS:
        found.layers.append(redundancy(states(engine.family, engine.prepare(sample.picture)), THRESHOLD))
    for (question, query), outcome in zip(seen.asked, outcomes, strict=True):
        if isinstance(query, SaccadeError) or not isinstance(outcome, Trace):
            found.errors.append(f"{question.id}: {describe(outcome)}")  # type: ignore[arg-type]
            continue
        scene = Scene.of([(sample.picture, seen.encoding, query)])
        bits: Numbers = {**asdict(page_entropy(scene)), "num_tok": len(seen.encoding)}
        if found.asked:
            told = question_information(scene)
            bits |= {"question_bits": told.bits, "effective_tok": told.effective_tok}
        if found.scene is None:
            found.scene = scene
            keeps = [keep for keep in BOTTLENECK_TOK if keep < len(seen.encoding)]
            found.points = bottleneck_curve(scene, [*keeps, len(seen.encoding)]) if found.asked else []
        found.information.append(bits)
        found.path_of(TraceView.from_trace(outcome, seen.encoding.grid), seen.encoding.grid)
        found.questions += 1
    found.readings += scores


def of_run(folder: Path) -> Found:
    """Scanpaths and eccentricity of the answered rows of a run; no model is needed.

    Raises:
        ConfigError: nothing is answered in it yet.
    """
    must_hold_answers(folder)
    found = Found(str(folder))
    answers = arrow.dataset(folder / "answers", format="parquet")
    for batch in answers.to_batches(columns=["id", "question", "answer", "confidence", "error", "grid", "fixations"]):
        for row in batch.to_pylist():
            if row["error"]:
                found.errors.append(f"{row['id']}: {row['error']}")
                continue
            size = row["grid"]
            grid = plain_grid(size["rows"], size["cols"], size["width_px"], size["height_px"])
            found.path_of(TraceView.from_row(row), grid)
            found.questions += 1
    return found


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each number."""
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
