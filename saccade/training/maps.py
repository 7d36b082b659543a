"""Images with maps of where people looked at them, from a folder.

    FOLDER/images/a.jpg           FOLDER/maps/a.png                     one's own
    FOLDER/images/train/x.jpg     FOLDER/maps/train/x.png               SALICON (Jiang et al. 2015)
    FOLDER/ALLSTIMULI/i1.jpeg     FOLDER/ALLFIXATIONMAPS/i1_fixMap.jpg  MIT1003 (Judd et al. 2009)

A map is a picture of any size with the shape of its image, brighter where people looked more: a density. Single
fixations (MIT1003's `_fixPts` files, SALICON's `fixations`) are not read.
"""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from saccade.datasets import Dataset, Row, Skip, digest
from saccade.errors import ConfigError
from saccade.geometry.grid import pool
from saccade.picture import Picture, suffixes
from saccade.types import Grid, Question

LAYOUTS = (("images", "maps", ""), ("ALLSTIMULI", "ALLFIXATIONMAPS", "_fixMap"), ("stimuli", "maps", ""))
"""Folder of images, folder of maps, and what follows the image's name in a map's."""
QUESTION = "Where do people look?"


class Maps(Dataset):
    """Images, each with a map of where people looked; all get the same question."""

    data_path: str = Field(description="Folder of images and maps.")
    question: str = Field(QUESTION, min_length=1, description="The question of every image.")

    @cached_property
    def pairs(self) -> dict[str, Path]:
        """The map of each image, by the image's path below the folder.

        Raises:
            ConfigError: the folder has none of the layouts, or no image in it has a map.
        """
        root = Path(self.data_path).expanduser()
        for images, maps, ending in LAYOUTS:
            if not ((root / images).is_dir() and (root / maps).is_dir()):
                continue
            maps_by_stem = {path.relative_to(root / maps).with_suffix(""): path for path in _pictures(root / maps)}
            matched = {}
            for path in _pictures(root / images):
                stem = path.relative_to(root / images).with_suffix("")
                if (map_ := maps_by_stem.get(stem.with_name(stem.name + ending))) is not None:
                    matched[str(path.relative_to(root))] = map_
            if not matched:
                raise ConfigError(
                    f"no image in {root / images} has a map in {root / maps}: the map of a.jpg is called a{ending}.png"
                )
            return matched
        raise ConfigError(
            f"{root} is no folder of images and maps: it needs images/ and maps/ with files of the same names "
            "(SALICON's layout), or ALLSTIMULI/ and ALLFIXATIONMAPS/ (MIT1003's)"
        )

    def rows(self) -> Iterator[Row | Skip]:
        for number, source in enumerate(self.pairs):
            yield Row(source, source, (Question(str(number), self.question),))

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        return Picture.open(str(self.path(source)), limit_px=limit_px)

    def path(self, source: str) -> Path:
        return Path(self.data_path).expanduser() / source

    def fingerprint(self) -> str:
        """A hash of the question and of the maps' names and sizes."""
        sizes = [(source, path.stat().st_size) for source, path in self.pairs.items()]
        return digest(self.question, sizes)

    def looked(self, source: str) -> NDArray[np.float32]:
        """(height, width) in [0, 1]: the map of an image."""
        return np.asarray(Picture.open(str(self.pairs[source])).rgb.mean(-1) / 255, dtype=np.float32)

    def worth(self, source: str, grid: Grid) -> Tensor:
        """(N,) in [0, 1]: the mean of an image's map under each token."""
        return pool(self.looked(source), grid)


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes())
