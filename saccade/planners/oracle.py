"""Oracle: look where the answer is known to stand, or some degrees beside it. For experiments only."""

import hashlib
import math
import random
from collections.abc import Generator, Sequence
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from saccade.geometry.fovea import PX_PER_DEG
from saccade.geometry.inhibition import next_fixation
from saccade.planners import Planner, Score
from saccade.types import Box, Gaze, Grid, Need, Query, Scene, Step

TRIES = 64  # directions drawn for one that stays on the page


class Oracle(Planner):
    """The first gaze is the middle of the answer's box, moved by `error_deg` in a direction drawn for the question.

    It cheats: what a perfect gaze lets the reader read bounds every other planner, and `error_deg` measures the price
    of missing. Later gazes are the tokens nearest to the answer and its label outside the inhibited discs. A question
    whose box the data set does not know is an error row.
    """

    reads: ClassVar[tuple[Need, ...]] = ("boxes",)

    error_deg: float = Field(0.0, ge=0, description="Degrees by which the gaze misses, 33.3 px each.")
    near: bool = Field(
        False, description="Looks also favour what lies near the answer and its label; else what the scorer says."
    )
    seed: int = Field(0, ge=0, description="Another seed, other directions.")

    def flow(self, scene: Scene, score: Score) -> Generator[Gaze, Step, None]:
        grid, query = scene.grids[0], scene.queries[0]
        dx, dy = self._miss(grid, query)
        boxes = [(x0 + dx, y0 + dy, x1 + dx, y1 + dy) for x0, y0, x1, y1 in (*query.boxes_uv, *query.labels_uv)]
        close = closeness(grid, boxes).to(scene.valid.device)  # (N,)
        importance, steps = (close if self.near else None), list[Step]()
        while True:
            index, note = next_fixation(close, scene.valid[0], grid, steps, self.inhibition_radius)
            x, y = grid.centre_uv[index].tolist() if steps else _on_page(*_middle(boxes[0]))
            off = f", {self.error_deg:g} deg off" if self.error_deg else ""
            step = yield Gaze((x, y), f"oracle{off}{note}", float(close[index]), importance=importance)
            steps.append(step)

    def _miss(self, grid: Grid, query: Query) -> tuple[float, float]:
        """How far (x, y) in uv this question's gaze misses: the first direction drawn that stays on the page."""
        if not self.error_deg:
            return 0.0, 0.0
        key = f"{self.seed}|{query.text}|{query.boxes_uv}"
        draw = random.Random(hashlib.sha256(key.encode()).digest())
        x, y = _middle(query.boxes_uv[0])
        for _ in range(TRIES):
            angle = draw.uniform(0, 2 * math.pi)
            dx = math.cos(angle) * self.error_deg * PX_PER_DEG / grid.width_px
            dy = math.sin(angle) * self.error_deg * PX_PER_DEG / grid.height_px
            if 0 <= x + dx <= 1 and 0 <= y + dy <= 1:
                break
        return dx, dy


def closeness(grid: Grid, boxes_uv: Sequence[Box]) -> Tensor:
    """(N,) in (0, 1]: 1 where a token's centre lies in a box, 1/2 a degree away from the nearest, and so on."""
    size = torch.tensor([grid.width_px, grid.height_px], dtype=torch.float32)
    boxes = torch.tensor(boxes_uv, dtype=torch.float32)  # (A, 4)
    centre = grid.centre_uv.cpu()[:, None]  # (N, 1, 2)
    outside = torch.maximum(boxes[:, :2] - centre, centre - boxes[:, 2:]).clamp(min=0) * size / PX_PER_DEG  # (N, A, 2)
    return 1 / (1 + torch.hypot(*outside.unbind(-1)).amin(-1))


def _middle(box: Box) -> tuple[float, float]:
    x0, y0, x1, y1 = box
    return (x0 + x1) / 2, (y0 + y1) / 2


def _on_page(x: float, y: float) -> tuple[float, float]:
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)
