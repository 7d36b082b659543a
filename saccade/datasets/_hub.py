"""Data sets of the Hugging Face hub as Parquet files: from a path, or downloaded once into the hub's cache.

Files are named `{folder}/{split}-00000-of-00006.parquet`, and a repository may hold several data sets, each in its own
folder.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from saccade.datasets._parquet import ParquetQuestions, parquet_files
from saccade.errors import ConfigError, describe

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
            ConfigError: there is no file, or the folder holds several data sets and none is named `folder`.
        """
        root = self.data_path or downloaded(self.name(), self.repository, [f"{self.folder}/{self.split}-*.parquet"])
        parquets = parquet_files(root)
        folders = {path.parent for path in parquets}
        if len(folders) > 1:
            own = {folder for folder in folders if self.folder in (folder.name, folder.parent.name)}
            if not own:
                listed = ", ".join(sorted(str(folder.relative_to(root)) for folder in folders))
                raise ConfigError(
                    f"{root!r} holds Parquet files in several folders ({listed}), and none is called {self.folder}: "
                    "give the one that is meant as --data-path"
                )
            parquets = [path for path in parquets if path.parent in own]
        return [path for path in parquets if path.name.startswith(f"{self.split}-")] or parquets


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
