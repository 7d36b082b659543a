"""Data sets of the Hugging Face hub as Parquet files: from a path, or downloaded once into the hub's cache.

Files are named `{folder}/{split}-00000-of-00006.parquet`, or `{split}.parquet`, or `{split}/0000.parquet` as the hub
converts them, and a repository may hold several data sets, each in its own folder.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from saccade.datasets._parquet import ParquetQuestions, parquet_files
from saccade.errors import ConfigError, describe

SPLITS = {name: name for name in ("train", "validation", "testdev", "test")} | dict.fromkeys(
    ("val", "valid", "dev"), "validation"
)
"""Words that files and folders are named by, and the split that each means."""

_TIMEOUT_S = 10.0  # for the hub to say that it is there; the download itself may take as long as it takes


class HubQuestions(ParquetQuestions):
    """Base class of data sets of the hub. A subclass names the repository and lists its splits."""

    repository: ClassVar[str]
    folder: ClassVar[str] = "data"  # in the repository

    split: str

    def files(self) -> list[Path]:
        """The files of `data_path`. Of a clone of the hub's repository with several data sets: those in `folder`. Of a
        folder whose files are named by split, as on the hub: those of `split`.

        Raises:
            ConfigError: there is no file, or none of `split`, or the folder holds several data sets and not one of them
                is named `folder`.
        """
        root = self.data_path or downloaded(self.name(), self.repository, [f"{self.folder}/{self.split}-*.parquet"])
        parquets = parquet_files(root)
        folders = {path.parent for path in parquets}
        if len(folders) > 1:
            own = self._own(Path(root), folders)
            parquets = [path for path in parquets if own in path.parents]
        return of_split(self.split, parquets, [self._split_of(path, Path(root)) for path in parquets], Path(root))

    def _own(self, root: Path, folders: set[Path]) -> Path:
        """The one folder below `root` that is named `folder` and holds files, itself or in folders of its own.

        Raises:
            ConfigError: there is none, or there are several.
        """
        inside = {place for folder in folders for place in (folder, *folder.parents) if root in place.parents}
        own = [place for place in inside if place.name == self.folder]
        innermost = [place for place in own if not any(place in other.parents for other in own)]  # DocVQA/DocVQA
        if len(innermost) == 1:
            return innermost[0]
        listed = ", ".join(sorted(str(folder.relative_to(root)) for folder in folders))
        raise ConfigError(
            f"{str(root)!r} holds Parquet files in several folders ({listed}), and "
            f"{'several are' if innermost else 'none is'} called {self.folder}: give the one that is meant as "
            "--data-path"
        )

    def _split_of(self, path: Path, root: Path) -> str | None:
        """The split in the name of a file, or of its folder below `root`; None: neither is named by one."""
        if path.name.startswith(f"{self.split}-"):
            return self.split
        if match := re.match(r"([a-z_]+)-\d{5}-of-\d{5}", path.name):
            return SPLITS.get(match[1], match[1])
        word = re.match(r"test[-_]dev|[a-z]*", path.stem.lower())
        split = SPLITS.get(re.sub("[-_]", "", word[0])) if word else None
        return split or (None if path.parent == root else SPLITS.get(path.parent.name.lower()))


def of_split(split: str, files: Sequence[Path], splits: Sequence[str | None], root: Path) -> list[Path]:
    """The files of a split, each of which is of the split beside it in `splits`; all of them if none is named by one.

    Raises:
        ConfigError: the files of a folder are all of other splits.
    """
    found = [path for path, of in zip(files, splits, strict=True) if of == split]
    found = found or [path for path, of in zip(files, splits, strict=True) if of is None]
    others = sorted({of for of in splits if of is not None})
    if not found and others and root.is_dir():  # a file that is given by itself is the one that is meant
        raise ConfigError(
            f"{str(root)!r} holds no file of the split {split}: there are {', '.join(others)}. A file that is given by "
            "itself is read, whatever its name"
        )
    return found or list(files)


def downloaded(dataset: str, repository: str, patterns: Sequence[str]) -> str:
    """The folder with the files of a repository that match `patterns`, downloaded unless they are cached.

    Raises:
        ConfigError: neither the hub nor a cached copy can be reached.
    """
    from huggingface_hub import HfApi, snapshot_download

    fetch = partial(snapshot_download, repository, repo_type="dataset", allow_patterns=list(patterns))
    try:
        revision = HfApi().dataset_info(repository, timeout=_TIMEOUT_S).sha  # answers, or fails, at once
        return str(fetch(revision=revision, etag_timeout=_TIMEOUT_S))
    except Exception as error:  # the hub's own, its HTTP client's or the socket's: is there a copy from before?
        try:
            folder = str(fetch(local_files_only=True))
        except Exception:
            folder = ""
        if folder and all(_is_complete(Path(folder), pattern) for pattern in patterns):
            return folder
        raise ConfigError(
            f"cannot download {repository} ({', '.join(patterns)}) from the Hugging Face hub: {describe(error)}. "
            f"Without a network give the Parquet file, or a folder of them: --dataset {dataset} --data-path FILE"
        ) from error


def _is_complete(folder: Path, pattern: str) -> bool:
    """Whether all of `{split}-00000-of-00006.parquet`, ... exist; an interrupted download has left fewer."""
    names = [path.stem for path in folder.glob(pattern)]
    return bool(names) and len(names) == int(names[0].rpartition("-of-")[2])
