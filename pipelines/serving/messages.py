"""The messages of a request: texts, images, files.

Models are strict: what is neither here nor in `pipelines.serving.ignored_fields` is refused.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Piece(BaseModel):
    """Part of a request."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TextPart(Piece):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(Piece):
    """Where an image is. `detail` cannot ask for fewer pixels here: saccade's own knobs do."""

    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Piece):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class File(Piece):
    """A PDF, or an image, as a data: URI or base64."""

    file_data: str


class FilePart(Piece):
    """A file."""

    type: Literal["file"]
    file: File


class Message(Piece):
    """One turn. An earlier answer may have no content."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Annotated[TextPart | ImagePart | FilePart, Field(discriminator="type")]] = ""
    name: str | None = None

    @property
    def text(self) -> str:
        """Its text parts, a line each."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextPart))

    @property
    def urls(self) -> list[str]:
        """Its images and files."""
        parts = () if isinstance(self.content, str) else self.content
        shown = (part for part in parts if not isinstance(part, TextPart))
        return [part.image_url.url if isinstance(part, ImagePart) else part.file.file_data for part in shown]
