"""What the tokens of an image or a data set hold, and where they went: information, redundancy, scanpaths, pruning.

One `Measured` grows image by image; `numbers` is all of it as JSON takes it, `draw` its pictures. The measures
themselves are in `saccade.analysis`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from saccade.analysis.eccentricity import bands
from saccade.analysis.human_scanpaths import Paths, alike, name_of
from saccade.analysis.information import BottleneckPoint, bottleneck_curve, page_entropy, question_information
from saccade.analysis.layers import LayerLikeness, redundancy, states
from saccade.analysis.pruning import KEEPS, WAYS, Reading, rate_curve, readings, smallest_rate
from saccade.analysis.scanpath import HUMAN, Scanpath, scanpath, scanpath_statistics
from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines import Engine, EngineSpec
from saccade.episode import episodes, run, see
from saccade.errors import ConfigError, EngineDead, SaccadeError, describe
from saccade.geometry.grid import plain_grid
from saccade.metrics.scoring import title
from saccade.types import Grid, Sample, Scene, Trace
from saccade.viz import analysis as charts
from saccade.viz.sheet import save
from saccade.viz.view import TraceView

THRESHOLD = 0.9  # cosine above which two patches count as doubles
PAGES_OF_LAYERS = 4  # whose blocks are compared: all pairs of patches of all blocks
BOTTLENECK_TOK = (32, 64, 128, 273, 546, 1092)

Numbers = dict[str, Any]
NOBODY: Paths = {}


@dataclass
class Measured:
    """What has been measured so far. It grows image by image, so that Ctrl-C leaves what is done."""

    target: str
    questions: int = 0
    errors: list[str] = field(default_factory=list)
    interrupted: bool = False
    scene: Scene | None = None  # of the first page, for its maps
    asked: bool = True  # whether there is a question; without one, a placeholder is embedded
    points: list[BottleneckPoint] = field(default_factory=list)  # of the first page
    information: list[Numbers] = field(default_factory=list)
    layers: list[tuple[LayerLikeness, ...]] = field(default_factory=list)
    paths: list[Scanpath] = field(default_factory=list)
    looks: list[tuple[Grid, tuple[float, float], Tensor]] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    settings: Numbers = field(default_factory=dict)
    people: Paths = field(default_factory=dict)  # of whom each path is compared with those on its image
    alike: list[tuple[float, float | None]] = field(default_factory=list)

    def path_of(self, view: TraceView, grid: Grid, image_id: str) -> None:
        """Adds the gazes of one trace, and what its first look kept at full resolution: later looks choose from the
        rest."""
        aimed = [look for look in view.looks if look.aimed]
        if not aimed:
            return
        gazes, size = [look.gaze_uv for look in aimed], (grid.width_px, grid.height_px)
        self.paths.append(scanpath(gazes, *size))
        if people := self.people.get(name_of(image_id)):
            self.alike.append(alike(torch.tensor(gazes), people, size))
        kept = torch.zeros(view.num_cells, dtype=torch.bool)
        kept[list(aimed[0].sharp)] = True
        if aimed[0].sharp:
            plain = plain_grid(view.rows, view.cols, grid.width_px, grid.height_px)
            self.looks.append((plain, aimed[0].gaze_uv, kept))

    @property
    def numbers(self) -> Numbers:
        """Everything, as JSON takes it. What was not measured is missing."""
        numbers: Numbers = {"target": self.target, "questions": self.questions, "errors": self.errors}
        numbers |= {"interrupted": self.interrupted, "settings": self.settings}
        if self.information:
            numbers["information"] = _means(self.information)
        if self.points:
            numbers["bottleneck"] = [asdict(point) for point in self.points]
        if self.layers:
            numbers["layers"] = {"threshold": THRESHOLD, "pages": len(self.layers), "blocks": self._blocks()}
        if self.paths:
            numbers["scanpath"] = {**asdict(scanpath_statistics(self.paths)), "human": HUMAN}
        if self.people:
            among = [score for _, score in self.alike if score is not None]
            numbers["people"] = {
                "paths": len(self.alike),
                "with_people": fmean(score for score, _ in self.alike) if self.alike else None,
                "among_people": fmean(among) if among else None,
            }
        if self.looks:
            by_band = [asdict(band) for band in bands(self.looks)]
            by_band[-1]["high_deg"] = None  # JSON has no infinity
            numbers["eccentricity"] = {"looks": len(self.looks), "bands": by_band}
        if self.readings:
            numbers["rate"] = self._rate()
        return numbers

    def _blocks(self) -> list[Numbers]:
        """Means over pages, one per block."""
        return [
            {"block": pages[0].layer + 1, **_means([{"mean": p.mean, "redundant": p.redundant} for p in pages])}
            for pages in zip(*self.layers, strict=True)
        ]

    @property
    def _metric(self) -> str:
        """What the scores of the readings are called."""
        return title(reading.metric for reading in self.readings)

    def _rate(self) -> Numbers:
        rate: Numbers = {"keeps": KEEPS, "ways": {}, "readings": len(self.readings), "metric": self._metric}
        for method in WAYS:
            curve = rate_curve(self.readings, method)
            least = smallest_rate(curve)
            rate["ways"][method] = {
                "points": [asdict(point) for point in curve],
                "smallest_share": None if least is None else least.share,
                "smallest_tok": None if least is None else least.kept_tok,
            }
        return rate

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
            curves = [rate_curve(self.readings, method) for method in WAYS]
            least = [smallest_rate(curve) for curve in curves]
            save(charts.rates(curves, least, KEEPS, self._metric), output / "rate.png")


def of_image(
    target: str, settings: Episode, spec: EngineSpec, sample: Sample, *, asked: bool, people: Paths = NOBODY
) -> Measured:
    """Measures one image; `asked`: its question is a user's, so numbers that depend on it mean something.

    Raises:
        ConfigError: settings that cannot be analysed.
        SaccadeError: the image or its question cannot be used.
    """
    measured = Measured(target, asked=asked, settings=check(settings).dump(), people=people)
    with spec.open() as engine:
        measure(measured, settings, engine, sample, read=False)
    return _some(measured)


def of_dataset(
    target: str, settings: Episode, spec: EngineSpec, dataset: Dataset, rows: Iterable[Row], people: Paths = NOBODY
) -> Measured:
    """Measures the images of a data set, and reads their questions with shares of the tokens. Ctrl-C ends it early.

    Raises:
        ConfigError: settings that cannot be analysed, or no usable question.
    """
    measured = Measured(target, settings=check(settings).dump(), people=people)
    with spec.open() as engine:
        try:
            for row in rows:
                try:
                    measure(measured, settings, engine, dataset.sample(row), read=True)
                except (EngineDead, ConfigError):
                    raise
                except SaccadeError as error:
                    measured.errors.append(f"{row.image_id}: {describe(error)}")
        except KeyboardInterrupt:
            if not measured.questions:
                raise
            measured.interrupted = True
    return _some(measured)


def check(settings: Episode) -> Episode:
    """The settings, if looks by them can be analysed.

    Raises:
        ConfigError: they cannot.
    """
    if settings.view != "foveate" or settings.shared or settings.encoder == "lazy":
        raise ConfigError("analysis is of one question's looks at the whole encoding: a sampler, private, not lazy")
    return settings


def _some(measured: Measured) -> Measured:
    if not measured.questions:
        why = f": {measured.errors[0]}" if measured.errors else " in it"
        raise ConfigError(f"no question of {measured.target} could be analysed{why}")
    return measured


def measure(measured: Measured, settings: Episode, engine: Engine, sample: Sample, *, read: bool) -> None:
    """Adds one image. A question that cannot be asked is an error of its own; `read`: also what pruning costs.

    Raises:
        SaccadeError: the image cannot be used.
    """
    usable = [question for question in sample.questions if question.error is None]
    measured.errors += [
        f"{question.id}: {question.error}" for question in sample.questions if question.error is not None
    ]
    seen = see(settings, engine, sample.picture, usable)
    scores = list(readings(seen, sample.image_id, engine, settings.strategies.score)) if read else []
    outcomes = run(episodes(settings, seen), engine)
    if len(measured.layers) < PAGES_OF_LAYERS:
        measured.layers.append(redundancy(states(engine.family, engine.prepare(sample.picture)), THRESHOLD))
    for (question, query), outcome in zip(seen.asked, outcomes, strict=True):
        if isinstance(query, SaccadeError) or not isinstance(outcome, Trace):
            measured.errors.append(f"{question.id}: {describe(outcome)}")  # type: ignore[arg-type]
            continue
        scene = Scene.of([(sample.picture, seen.encoding, query)])
        bits: Numbers = {**asdict(page_entropy(scene)), "num_tok": len(seen.encoding)}
        if measured.asked:
            information = question_information(scene)
            bits |= {"question_bits": information.bits, "effective_tok": information.effective_tok}
        if measured.scene is None:
            measured.scene = scene
            keeps = [keep for keep in BOTTLENECK_TOK if keep < len(seen.encoding)]
            measured.points = bottleneck_curve(scene, [*keeps, len(seen.encoding)]) if measured.asked else []
        measured.information.append(bits)
        measured.path_of(TraceView.from_trace(outcome, seen.encoding.grid), seen.encoding.grid, sample.image_id)
        measured.questions += 1
    measured.readings += scores


def of_rows(target: str, rows: Iterable[Mapping[str, Any]], people: Paths = NOBODY) -> Measured:
    """Scanpaths and eccentricity of stored rows of answers; no model is needed."""
    measured = Measured(target, people=people)
    for row in rows:
        if row["error"]:
            measured.errors.append(f"{row['id']}: {row['error']}")
            continue
        size = row["grid"]
        grid = plain_grid(size["rows"], size["cols"], size["width_px"], size["height_px"])
        measured.path_of(TraceView.from_row(row), grid, row["image_id"])
        measured.questions += 1
    return measured


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each number."""
    return {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
