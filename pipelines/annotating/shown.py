"""Image files of pages for programs that open nothing else: Label Studio, COCO's readers, a data set of labels.

A page of a PDF or TIFF, and one that lies in Parquet, in a tar file or behind a URL, is written once as
DIR/pages/00017.png (or .jpg, if it was one), by its number in the run's manifest. Other pages are files already.
"""

from pathlib import Path

from PIL import Image

from pipelines.annotating.pages import Page
from saccade.datasets import Dataset
from saccade.errors import PictureError
from saccade.files import replaced

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif", ".webp", ".bmp", ".avif")
"""Of files that browsers show."""

KEPT = {b"\x89PNG\r\n\x1a\n": ".png", b"\xff\xd8": ".jpg"}
"""How encoded images begin that are written as they are, and their ending; others are decoded."""


def shown(page: Page, dataset: Dataset, folder: Path) -> Path | None:
    """The image file of a page, written to `folder` where it has none; None: it has none, and cannot be opened."""
    if page.path is not None and page.path.suffix.lower() in ENDINGS:
        return page.path
    name = f"{page.number:05d}"
    for ending in dict.fromkeys(KEPT.values()):
        if (written := folder / f"{name}{ending}").exists():
            return written
    if page.width is None:  # it was no image when it was asked about
        return page.path
    try:
        picture = dataset.picture(page.source)
        data = picture.data
        kind = next(
            (ending for begin, ending in KEPT.items() if isinstance(data, bytes) and data.startswith(begin)), None
        )
        path = folder / f"{name}{kind or '.png'}"
        image = None if kind is not None else Image.fromarray(picture.rgb)
    except PictureError:  # by now out of reach; what was read of it is exported all the same
        return page.path
    with replaced(path) as temporary:
        if image is not None:
            image.save(temporary, "PNG")
        else:
            assert isinstance(data, bytes)  # it begins as one of `KEPT`
            temporary.write_bytes(data)
    return path
