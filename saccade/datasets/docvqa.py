"""DocVQA (Mathew et al. 2021, https://arxiv.org/abs/2007.00398): questions about scanned letters, forms and reports.

The layout is that of https://huggingface.co/datasets/lmms-lab/DocVQA, where validation has 5,349 questions about 1,286
pages; the answers of the test split are hidden (null). One row:

    questionId: "49153", question: "What is the 'actual' value per 1000, during the year 1975?",
    question_types: ["figure/diagram"], image: {bytes: b"\\x89PNG...", path: null}, docId: 14465,
    ucsf_document_id: "pybv0228", ucsf_document_page_no: "81", answers: ["0.28"], data_split: "val"

The image id is `ucsf_document_id` and the page number, "pybv0228_81"; `docId` where a row lacks them.

    saccade batch --dataset docvqa --output runs/docvqa                       # from the hub (1.5 GB, kept in its cache)
    saccade batch --dataset docvqa --data-path FILE_OR_FOLDER --output runs/docvqa
"""

from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from saccade.datasets._parquet import ParquetQuestions, parquet_files
from saccade.errors import ConfigError, describe

REPOSITORY = "lmms-lab/DocVQA"
FOLDER = "DocVQA"  # in the repository, beside InfographicVQA
_TIMEOUT_S = 10.0  # for the hub to say that it is there; the download itself may take as long as it takes


class DocVqa(ParquetQuestions):
    """DocVQA from Parquet files or from the hub."""

    image_columns: ClassVar[tuple[tuple[str, ...], ...]] = (("ucsf_document_id", "ucsf_document_page_no"), ("docId",))
    layout: ClassVar[str] = "questionId, image and question (the layout of lmms-lab/DocVQA)"
    id_columns: ClassVar[tuple[str, ...]] = ("questionId",)
    kept_columns: ClassVar[tuple[str, ...]] = ("question_types",)

    split: Literal["validation", "test"] = "validation"

    def files(self) -> list[Path]:
        """The files of `data_path`; of a clone of the hub's repository, which holds other data sets too, those of
        DocVQA; of a folder that names its files by split, as the hub does, those of `split`.

        Raises:
            ConfigError: there is none, or the folder holds several data sets and none is DocVQA.
        """
        root = self.data_path or _download(self.split)
        found = parquet_files(root)
        folders = {path.parent for path in found}
        if len(folders) > 1:
            own = {folder for folder in folders if FOLDER in (folder.name, folder.parent.name)}
            if not own:
                there = ", ".join(sorted(str(folder.relative_to(root)) for folder in folders))
                raise ConfigError(
                    f"{root!r} holds Parquet files in several folders ({there}), and none is called {FOLDER}: give the "
                    "one that is meant as --data-path"
                )
            found = [path for path in found if path.parent in own]
        return [path for path in found if path.name.startswith(f"{self.split}-")] or found


def _download(split: str) -> str:
    """The folder with one split of the hub's data set, downloaded unless it is in the hub's cache.

    Raises:
        ConfigError: neither the hub nor a cached copy can be reached.
    """
    from huggingface_hub import HfApi, snapshot_download

    wanted = f"DocVQA/{split}-*.parquet"
    fetch = partial(snapshot_download, REPOSITORY, repo_type="dataset", allow_patterns=wanted)
    try:
        revision = HfApi().dataset_info(REPOSITORY, timeout=_TIMEOUT_S).sha  # answers, or fails, at once
        return f"{fetch(revision=revision, etag_timeout=_TIMEOUT_S)}/DocVQA"
    except Exception as error:  # the hub's own, its HTTP client's or the socket's: is there a copy from before?
        try:
            folder = f"{fetch(local_files_only=True)}/DocVQA"
        except Exception:
            folder = ""
        if _is_complete(folder, split):
            return folder
        raise ConfigError(
            f"cannot download {REPOSITORY} ({wanted}) from the Hugging Face hub: {describe(error)}. Without a network "
            "give the Parquet file, or the folder of them, by path: --dataset docvqa --data-path FILE"
        ) from error


def _is_complete(folder: str, split: str) -> bool:
    """Whether all of `{split}-00000-of-00006.parquet`, ... are there: a download that broke off left fewer."""
    names = [path.stem for path in Path(folder).glob(f"{split}-*-of-*.parquet")] if folder else []
    return bool(names) and len(names) == int(names[0].rpartition("-of-")[2])
