"""Gaze metrics without a language model: how soon scorer, sampler and planner show where the answer stands.

judged = Judged(scene_of(picture, encoding, queries), Mix.parse("edges"))
looks = look(judged, load("samplers", "hybrid", Sampler), load("planners", "query", Planner), boxes, keep=273)
looks[0].after(1), looks[0].until(0.95), looks[0].hit

The looks are those of an episode (saccade.episode) whose reader says "cannot read" each time: a planner that listens to
the reader (`uncertainty`) is sent an answer of confidence 0, and has the scorer's importance alone to go by.

Shapes: B questions of one picture, N tokens, T words.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from saccade.geometry.grid import box_coverage
from saccade.picture import Picture
from saccade.planners import Planner, Score
from saccade.samplers import Sampler
from saccade.types import Answer, Encoding, Gaze, Grid, Query, Scene, Step

Boxes = Sequence[tuple[float, float, float, float]]
"""(x0, y0, x1, y1) in uv: where the answer to one question stands."""

ENOUGH = 0.95
"""Share of the answer boxes at which an answer counts as shown."""


@dataclass(frozen=True, slots=True)
class Looks:
    """What the looks of one question showed of its answer boxes, look by look."""

    coverage: tuple[float, ...]  # in [0, 1] after each look, of what is shown at full resolution
    tokens: tuple[int, ...]  # on the canvas after each look
    num_tok: int  # N, of the whole page
    hit: bool | None  # the first gaze lies in an answer box grown by one token; None: the sampler has no gaze

    def after(self, number: int) -> float:
        """Coverage after `number` looks, or after the last one if there were fewer because everything was shown."""
        return self.coverage[min(number, len(self.coverage)) - 1]

    def until(self, share: float = ENOUGH) -> int:
        """Tokens on the canvas when `share` of the boxes was shown; the page's N tokens if it never was."""
        return next((tok for part, tok in zip(self.coverage, self.tokens, strict=True) if part >= share), self.num_tok)


def scene_of(picture: Picture, encoding: Encoding, queries: Sequence[Query]) -> Scene:
    """The scene of B questions about one picture; the picture's tensors are shared, not copied."""
    single = Scene.of([(picture, encoding, queries[0])])
    return replace(
        _repeated(single, len(queries)),
        queries=tuple(queries),
        query_tokens=pad_sequence([query.tokens for query in queries], batch_first=True),
        query_weight=pad_sequence([query.weight for query in queries], batch_first=True),
    )


def _repeated(scene: Scene, times: int) -> Scene:
    """The first row of a scene repeated `times` times without copies; the query's fields stay unchanged."""
    names = ("valid", "present", "tokens", "features", "received", "centre_uv", "row", "col", "level")
    rows = {name: getattr(scene, name)[:1].expand(times, *getattr(scene, name).shape[1:]) for name in names}
    return replace(scene, pictures=scene.pictures[:1] * times, grids=scene.grids[:1] * times, **rows)


def _some(scene: Scene, rows: Sequence[int]) -> Scene:
    """The scene of some of its questions, before anything is shown."""
    index = list(rows)
    return replace(
        _repeated(scene, len(index)),
        queries=tuple(scene.queries[row] for row in index),
        query_tokens=scene.query_tokens[index],
        query_weight=scene.query_weight[index],
    )


class Judged:
    """A scorer's importance for every question of a scene, computed once for all samplers and planners.

    Whether a scorer depends on the question is tested with random words; one that does not is run once per page.
    """

    def __init__(self, scene: Scene, score: Score) -> None:
        self.scene, self._score = scene, score
        single = _some(scene, [0])
        noise = torch.randn(single.query_tokens.shape, generator=torch.Generator().manual_seed(0))
        other = replace(
            single, query_tokens=noise.to(single.query_tokens), query_weight=torch.ones_like(single.query_weight)
        )
        first = score(single)
        self.listens = not torch.equal(first, score(other))
        self.importance = score(scene) if self.listens else first.expand(len(scene.queries), -1)  # (B, N)

    def of(self, row: int) -> Score:
        """The scorer for a planner of question `row`; importance that is already known is not computed again."""

        def score(scene: Scene) -> Tensor:
            if self.listens and not torch.equal(scene.query_weight[0], self.scene.query_weight[row]):
                return self._score(scene)
            return self.importance[row : row + 1]

        return score


def look(
    judged: Judged,
    sampler: Sampler,
    planner: Planner,
    boxes: Sequence[Boxes],
    keep: int,
    *,
    least: int = 3,
    most: int | None = None,
) -> list[Looks]:
    """Looks of `keep` tokens for each of B questions with the answer `boxes` of each, on canvases of their own.

    Looks go on after the first `least` until `ENOUGH` of the boxes is shown, no token is left, or `most` looks are done
    (None: no limit). A blind sampler looks once, so its look i is a single look of i x keep tokens.
    """
    num_questions, num_tok = judged.scene.valid.shape
    most = max(least, -(-num_tok // keep) if most is None else most)
    if sampler.blind:
        return _blind(judged.scene, sampler, boxes, keep, least, most)
    flows = [planner.flow(_some(judged.scene, [row]), judged.of(row)) for row in range(num_questions)]
    lookers = [_Looker(judged, row, flow, boxes[row]) for row, flow in enumerate(flows)]
    going = lookers
    for number in range(1, most + 1):
        importance, gaze_uv = torch.stack([looker.favoured() for looker in going]), [looker.gaze.uv for looker in going]
        scene = _some(judged.scene, [looker.row for looker in going]).without(
            torch.stack([looker.taken for looker in going])
        )
        chosen = sampler(scene, importance, torch.tensor(gaze_uv, device=importance.device), keep)
        for looker, selection in zip(going, chosen, strict=True):
            looker.saw(Step(looker.gaze, selection, _silent(len(selection))))
        going = [looker for looker in going if not looker.empty and (number < least or looker.coverage[-1] < ENOUGH)]
        if not going or number == most:
            break
        for looker in going:
            looker.aim()
    return [looker.looks for looker in lookers]


def _silent(visual_tok: int) -> Answer:
    return Answer("", (), 0.0, visual_tok, 0, 0, 0.0, readable=False)


class _Looker:
    """The state of one question: its gaze, the tokens taken and shown, and the coverage of its boxes."""

    def __init__(self, judged: Judged, row: int, flow: Generator[Gaze, Step, None], boxes: Boxes) -> None:
        self.judged, self.row, self.flow, self.boxes = judged, row, flow, boxes
        self.grid: Grid = judged.scene.grids[0]
        self.taken, self.shown = torch.zeros(2, judged.scene.valid.shape[1], dtype=torch.bool)
        self.coverage: list[float] = []
        self.tokens: list[int] = []
        self.empty = False
        self.gaze = next(flow)
        self.first = self.gaze

    def favoured(self) -> Tensor:
        """(N,) importance for the next look: the planner's, or else the scorer's."""
        return self.judged.importance[self.row] if self.gaze.importance is None else self.gaze.importance

    def saw(self, step: Step) -> None:
        """Updates the state after a look."""
        self.step, self.empty = step, len(step.selection) == 0
        if self.empty and self.coverage:  # all is shown: no look was taken
            return
        self.taken[step.selection.index] = True
        self.shown[step.selection.sharp] = True
        self.tokens.append((self.tokens[-1] if self.tokens else 0) + len(step.selection))
        self.coverage.append(box_coverage(self.grid, self.shown, self.boxes))

    def aim(self) -> None:
        """Asks the planner for the next gaze."""
        self.gaze = self.flow.send(self.step)

    @property
    def looks(self) -> Looks:
        hit = in_grown(self.grid, self.first.uv, self.boxes)
        return Looks(tuple(self.coverage), tuple(self.tokens), len(self.grid), hit)


def in_grown(grid: Grid, uv: tuple[float, float], boxes: Boxes) -> bool:
    """Whether a point (x, y) in uv lies in a box that is grown by one token of the finest level on every side."""
    wide, high = 1 / grid.cols, 1 / grid.rows
    return any(x0 - wide <= uv[0] <= x1 + wide and y0 - high <= uv[1] <= y1 + high for x0, y0, x1, y1 in boxes)


def _blind(scene: Scene, sampler: Sampler, boxes: Sequence[Boxes], keep: int, least: int, most: int) -> list[Looks]:
    """Looks of a sampler that does not depend on the question: the same for all, each with its whole budget at once."""
    single, grid = _some(scene, [0]), scene.grids[0]
    nothing = torch.zeros(1, len(grid), device=scene.valid.device)
    shares: list[tuple[list[float], list[int]]] = [([], []) for _ in boxes]
    for number in range(1, most + 1):
        if number > least and all(coverages[-1] >= ENOUGH for coverages, _ in shares):
            break
        selection = sampler(single, nothing, torch.tensor([[0.5, 0.5]]), number * keep)[0]
        shown = torch.zeros(len(grid), dtype=torch.bool)
        shown[selection.sharp] = True
        for (coverages, tokens), box in zip(shares, boxes, strict=True):
            coverages.append(box_coverage(grid, shown, box))
            tokens.append(len(selection))
    return [Looks(tuple(coverages), tuple(tokens), len(grid), None) for coverages, tokens in shares]
