"""COCO: pages as images, fields as categories, and the evidence of each value as a box that carries the value."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipelines.annotating.pages import Page
from saccade.annotation.fields import FieldSpec
from saccade.datasets._fields import printable


class Coco:
    """One COCO file, page by page. Pages that cannot be opened are images of 0 x 0 px without boxes."""

    def __init__(self, fields: Sequence[FieldSpec]) -> None:
        self.categories = {field.name: number for number, field in enumerate(fields, 1)}
        self.images: list[dict[str, Any]] = []
        self.boxes: list[dict[str, Any]] = []

    def add(self, page: Page, image: Path | None) -> None:
        """One page with the boxes of its values, [x, y, width, height] in pixels. `image`: its file, if it has one."""
        image_id = page.number + 1
        file = page.image if image is None else printable(str(image))
        size = {"width": page.width or 0, "height": page.height or 0}
        self.images.append({"id": image_id, "file_name": file, **size, "page": page.page})
        for value in page.values:
            if value.box_px is None or not value.text:  # an empty value has no place on the page
                continue
            x0, y0, x1, y1 = value.box_px
            attributes = {"text": value.text, "value": value.shown, "flag": value.flag, "by_person": value.by_person}
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            of = {"id": len(self.boxes) + 1, "image_id": image_id, "category_id": self.categories[value.field.name]}
            self.boxes.append({**of, **box, "score": value.confidence, "attributes": attributes})

    def dump(self) -> dict[str, Any]:
        """The content of the COCO file."""
        named = [{"id": number, "name": name, "supercategory": "field"} for name, number in self.categories.items()]
        return {"images": self.images, "annotations": self.boxes, "categories": named}
