"""Images in tar files (the shards of webdataset), each asked the same question.

    shards/000.tar: a1.jpg a1.json a2.jpg  ->  image ids and question ids "000.tar/a1.jpg", "000.tar/a2.jpg"

An image is read by its place in the shard, without unpacking it. What stands beside an image under its name
(`a1.json`, `a1.txt`) is not read, and what is hidden (`._a1.jpg`, beside each file of a Mac) is left out. Compressed
shards have no places: unpack them, or write them without compression.

    saccade batch --dataset tar --data-path shards --question "What is the total?" --output runs/shards
"""

import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property, partial
from pathlib import Path

from pydantic import Field

from saccade.datasets import Dataset, Row, Skip, asking, digest
from saccade.datasets._fields import DataPath, Listed, grouped, printable
from saccade.datasets._pages import Pager, split
from saccade.datasets._walk import TEMPORARY, files_below
from saccade.decoding.pages import SUFFIXES, Pages
from saccade.errors import ConfigError, PictureError
from saccade.picture import MAX_FILE_BYTES, Picture, suffixes
from saccade.types import Question
from saccade.wording import counted

ENDING = ".tar"


class Tar(Dataset):
    """One question about every image of tar files."""

    data_path: DataPath = Field(description="A .tar file, or a folder of them.")
    question: str = Field(min_length=1)
    pages: Pages = None

    def rows(self) -> Iterator[Row | Skip]:
        return grouped(self._listed(), f"{self.data_path!r} ({len(self._by_shard)} tar files)")

    def picture(self, source: str, limit_px: int | None = None) -> Picture:
        place, page = split(source)
        return Picture(partial(_read, str(self._root()), place), limit_px, page)

    def fingerprint(self) -> str:
        """A hash of the question, the shards' names, and the names and sizes of their members."""
        contents = [[shard, [[each.name, each.size] for each in members]] for shard, members in self._by_shard.items()]
        return digest(contents, *asking(self))

    def _root(self) -> Path:
        path = Path(self.data_path)
        return path if path.is_dir() else path.parent

    @cached_property
    def _by_shard(self) -> dict[str, list[tarfile.TarInfo]]:
        """The members of each shard; every shard is read once, from end to end."""
        return {shard: self._members(shard) for shard in self._shards()}

    def _shards(self) -> list[str]:
        path = Path(self.data_path)
        shards = files_below(path, TEMPORARY, ENDING) if path.is_dir() else [path.name] if path.is_file() else []
        if not shards:
            raise ConfigError(f"there is no .tar file at {self.data_path!r} (--data-path: one, or a folder of them)")
        return shards

    def _members(self, shard: str) -> list[tarfile.TarInfo]:
        path = self._root() / shard
        try:
            with tarfile.open(path, "r:") as file:
                members = [member for member in file if not member.isdir()]
            with path.open("rb") as whole:  # the members end without a word where a header is cut off, or none
                whole.seek(file.offset)
                ends = not whole.read(tarfile.BLOCKSIZE).strip(b"\0")
        except (OSError, tarfile.TarError) as error:
            raise ConfigError(f"cannot read the tar file {str(path)!r}, or it is compressed: {error}") from error
        if not ends:
            raise ConfigError(
                f"the tar file {str(path)!r} is cut off or broken at byte {file.offset:,}: what comes after "
                f"{counted(len(members), 'member')} cannot be read. Copy it again"
            )
        return [member for member in _followed(members) if not _is_hidden(member.name)]

    def _listed(self) -> Iterator[Listed | Skip]:
        images, pager = suffixes(), Pager(self.pages)
        for shard, members in self._by_shard.items():
            keys = {_key(member.name) for member in members if Path(member.name).suffix.lower() in images}
            for member in members:
                where, ending = f"{shard}/{printable(member.name)}", Path(member.name).suffix.lower()
                if ending in images and not member.isfile():
                    yield Skip("broken_link" if member.islnk() or member.issym() else "not_an_image", where)
                elif ending in images:
                    place = f"{shard}#{member.offset_data}+{member.size}"
                    paged = self._of_pages(place) if ending in SUFFIXES else None
                    yield from pager.spread(Listed(where, place, Question(where, self.question), where), paged)
                elif _key(member.name) not in keys:
                    yield Skip("not_an_image", where)

    def _of_pages(self, place: str) -> bytes | None:
        """The bytes in which to count pages; None: unreadable, which later is the row's error."""
        try:
            return _read(str(self._root()), place)
        except PictureError:
            return None


def _followed(members: Sequence[tarfile.TarInfo]) -> list[tarfile.TarInfo]:
    """The members of a shard; a link has the place and size of the file that it names, where the shard holds that."""
    named: dict[str, tarfile.TarInfo] = {}
    for member in members:
        named.setdefault(posixpath.normpath(member.name), member)  # of one name twice the first is the image
    followed = []
    for member in members:
        target: tarfile.TarInfo | None = member
        passed = set[str]()
        while target is not None and (target.islnk() or target.issym()):
            beside = posixpath.dirname(target.name) if target.issym() else ""  # a hard link names the whole path
            name = posixpath.normpath(posixpath.join(beside, target.linkname))
            target = None if name in passed else named.get(name)
            passed.add(name)
        if target is not None:
            name, member = member.name, copy(target)
            member.name = name
        followed.append(member)
    return followed


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def _key(name: str) -> str:
    """The key of a webdataset sample: the name up to the first dot of the file's name."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _read(root: str, place: str) -> bytes:
    """The bytes at "shard#offset+size"."""
    shard, _, span = place.rpartition("#")
    offset, size = map(int, span.split("+"))
    if size > MAX_FILE_BYTES:
        raise PictureError(f"the image has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read")
    try:
        with (Path(root) / shard).open("rb") as file:
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise PictureError(f"cannot read the tar file {shard!r}: {error.strerror or error}") from error
