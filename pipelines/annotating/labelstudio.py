"""Label Studio: one task per page with its values as predictions, and the labelling interface that shows them.

A field is a box of evidence (`rectanglelabels`) and a value (`textarea`, or `choices` if the field has them). Boxes are
in percent of the image. An image's address is that of Label Studio's local storage: start it with
LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=/.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from pipelines.annotating.pages import Page, Value
from saccade.annotation.fields import FieldSpec

IMAGE, EVIDENCE = "image", "evidence"


def interface(fields: Sequence[FieldSpec]) -> str:
    """The labelling configuration: paste it into a project's settings."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name=IMAGE, value=f"${IMAGE}", zoom="true")
    boxes = ElementTree.SubElement(view, "RectangleLabels", name=EVIDENCE, toName=IMAGE)
    for field in fields:
        ElementTree.SubElement(boxes, "Label", value=field.name)
    for field in fields:
        ElementTree.SubElement(view, "Header", value=field.question)
        if choices := field.allowed:
            tag = ElementTree.SubElement(view, "Choices", name=_tag(field), toName=IMAGE, choice="single")
            for each in choices:
                ElementTree.SubElement(tag, "Choice", value=each)
        else:
            single_line = {"editable": "true", "maxSubmissions": "1"}
            ElementTree.SubElement(view, "TextArea", {"name": _tag(field), "toName": IMAGE, **single_line})
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def task(page: Page, image: Path | None, version: str) -> dict[str, Any]:
    """One task; `image`: the file of the page, if it has one.

    The prediction's score is its lowest confidence, so tasks sorted by score begin with the least sure.
    """
    results = [result for value in page.values for result in _results(page, value)]
    score = min((value.confidence for value in page.values), default=0.0)
    review = [value.field.name for value in page.values if value.flag is not None]
    data = {"image": _address(image, page.image), "image_id": page.image_id, "page": page.page, "review": review}
    return {"data": data, "predictions": [{"model_version": version, "score": score, "result": results}]}


def _results(page: Page, value: Value) -> list[dict[str, Any]]:
    if page.width is None or page.height is None:
        return []
    identity = f"{page.number}-{value.field.name}"
    size = {"original_width": page.width, "original_height": page.height, "image_rotation": 0}
    results: list[dict[str, Any]] = []
    if value.box_px is not None and value.text:  # an empty value has no place on the page
        x0, y0, x1, y1 = value.box_px
        place = {"x": 100 * x0 / page.width, "y": 100 * y0 / page.height, "rotation": 0}
        place |= {"width": 100 * (x1 - x0) / page.width, "height": 100 * (y1 - y0) / page.height}
        box = {**place, "rectanglelabels": [value.field.name]}
        results.append(_result(f"{identity}-box", EVIDENCE, "rectanglelabels", box, value) | size)
    if choices := value.field.allowed:
        if value.shown in choices:
            results.append(_result(identity, _tag(value.field), "choices", {"choices": [value.shown]}, value) | size)
    elif value.shown:
        results.append(_result(identity, _tag(value.field), "textarea", {"text": [value.shown]}, value) | size)
    return results


def _result(identity: str, tag: str, kind: str, value: dict[str, Any], of: Value) -> dict[str, Any]:
    names = {"id": identity, "from_name": tag, "to_name": IMAGE, "type": kind}
    return {**names, "value": value, "score": of.confidence}


def _tag(field: FieldSpec) -> str:
    """The name of a field's control, distinct from those of the image and the boxes."""
    return f"field_{field.name}"


def _address(path: Path | None, image: str) -> str:
    return image if path is None else f"/data/local-files/?d={quote(os.fsencode(path).lstrip(b'/'))}"
