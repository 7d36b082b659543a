"""A local page on which a person accepts or corrects values, one after another, with the keyboard.

GET  /                      the page
GET  /items                 {"folder", "count", "left"}
GET  /items/N               one value: where it is from, what was read, how sure, why it needs review
GET  /items/N/crop.png      the page around its evidence; ?whole=true the whole page
POST /items/N               {"text": ..., "anyway": false}: what a person says it is

It listens on this machine only, and refuses cross-site requests. Corrections are appended to DIR/corrections.jsonl at
once; the run's answers do not change.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from PIL import Image, ImageDraw
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from pipelines.annotating.corrections import Correction, append_correction
from pipelines.annotating.pages import Page, Value, read_pages
from pipelines.annotating.places import Places
from pipelines.annotating.settings import dataset_of
from pipelines.execute.diagnosis import cause
from pipelines.pages.template import template
from saccade.annotation.values import parse
from saccade.errors import SaccadeError, describe

HERE = ("127.0.0.1", "localhost")
MARGIN_SHARE = 0.06
"""Margin of a crop around its evidence, as a share of the page's longer side."""
SHOWN_PX = 1400
"""Longest side in px of an image sent to the browser."""
MARK = (213, 94, 0)
HTML = Path(__file__).with_name("review.html")


class Said(BaseModel):
    """A correction, as the page sends it."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=10_000)
    anyway: bool = False  # keep it although it does not fit the field


@dataclass
class Item:
    """One value to review."""

    page: Page
    value: Value
    said: str | None = None  # by a person, in this sitting or before


class Queue:
    """The values of an annotation that a person should see, in the order of its pages; or all of them."""

    def __init__(self, folder: Path, every: bool = False, fields: Iterable[str] = ()) -> None:
        """Raises ConfigError: the folder is not that of an annotation."""
        self.folder, self.dataset, wanted = folder, dataset_of(folder), set(fields)
        self.items = [
            Item(page, value, value.text if value.by_person else None)
            for page in read_pages(folder)
            for value in page.values
            if (every or value.flag is not None) and (not wanted or value.field.name in wanted)
        ]
        self._rgb = lru_cache(maxsize=2)(self._decoded)

    @property
    def left(self) -> int:
        """The number of values that nobody has reviewed yet."""
        return sum(item.said is None for item in self.items)

    def say(self, item: Item, said: Said) -> str | None:
        """Stores a correction. If it does not fit the field, stores nothing and returns why."""
        text = _line(said.text)
        flag = parse(item.value.field, text).flag
        if flag is not None and not said.anyway:
            return flag
        when = datetime.now(UTC).isoformat(timespec="seconds")
        correction = Correction(item.page.image_id, item.value.field.name, text, item.value.read, when)
        append_correction(Places(self.folder).corrections, correction)
        item.said = text
        return None

    def crop(self, item: Item, whole: bool) -> bytes:
        """A PNG of the page around the outlined evidence; of the whole page if there is no evidence.

        Raises:
            SaccadeError: the page cannot be opened.
        """
        image = Image.fromarray(self._rgb(item.page.source))
        box, (width, height) = item.value.box_px, image.size
        if box is not None:
            ImageDraw.Draw(image).rectangle(box, outline=MARK, width=max(2, max(image.size) // 500))
            if not whole:
                margin = int(MARGIN_SHARE * max(image.size))
                x0, y0, x1, y1 = box
                beside = max(margin, width // 4)  # a line is read with its label
                image = image.crop(
                    (max(0, x0 - beside), max(0, y0 - margin), min(width, x1 + beside), min(height, y1 + margin))
                )
        image.thumbnail((SHOWN_PX, SHOWN_PX))
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def _decoded(self, source: str) -> np.ndarray:
        return self.dataset.picture(source).rgb


def review_app(queue: Queue) -> FastAPI:
    """The web app: the page, and the endpoints that it calls."""
    app = FastAPI(title="saccade review", openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HERE))

    def item(number: int) -> Item:
        if not 0 <= number < len(queue.items):
            raise HTTPException(404, f"no value {number}: there are {len(queue.items)}, counted from 0")
        return queue.items[number]

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(template(HTML))

    @app.get("/items")
    def items() -> dict[str, Any]:
        unseen = next((number for number, each in enumerate(queue.items) if each.said is None), 0)
        return {"folder": str(queue.folder), "count": len(queue.items), "left": queue.left, "first": unseen}

    @app.get("/items/{number}")
    def one(number: int) -> dict[str, Any]:
        return shown(item(number))

    @app.get("/items/{number}/crop.png")
    def crop(number: int, whole: bool = False) -> Response:
        try:
            return Response(queue.crop(item(number), whole), media_type="image/png")
        except SaccadeError as error:
            raise HTTPException(404, describe(error)) from error

    @app.post("/items/{number}")
    def say(number: int, said: Said, request: Request) -> Response:
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{request.headers['host']}":
            raise HTTPException(403, f"a page of {origin} may not correct values")
        try:
            flag = queue.say(item(number), said)
        except OSError as error:
            raise HTTPException(507, f"nothing was kept: {cause(error) or describe(error)}") from error
        if flag is not None:
            return JSONResponse({"flag": flag}, 422)
        return JSONResponse({"left": queue.left})

    return app


def shown(item: Item) -> dict[str, Any]:
    """The JSON of a value for the page."""
    field, value = item.value.field, item.value
    return {
        "image": item.page.image,
        "page": item.page.page,
        "field": field.name,
        "question": field.question,
        "type": field.type,
        "choices": list(field.allowed),
        "text": _line(value.text if item.said is None else item.said),
        "confidence": value.confidence,
        "flag": value.flag,
        "error": value.error,
        "said": item.said is not None,
        "located": value.box_px is not None,
    }


def _line(text: str) -> str:
    """A text as one line, for a line of a form holds no line breaks, and joins the words beside them."""
    return " ".join(text.split())
