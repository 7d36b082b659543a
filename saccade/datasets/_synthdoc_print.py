"""Synthdoc's printer: fonts with a known x-height, and a page that records every character."""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files

from PIL import Image, ImageDraw, ImageFont

from saccade.datasets._synthdoc_fonts import Family
from saccade.datasets._synthdoc_language import Writer

Span = tuple[int, int]  # first and past-the-last of some characters
FACES = {  # family: (regular, bold, oblique)
    "sans": ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique"),
    "serif": ("DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic"),
    "mono": ("DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique"),
    "stix": ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic"),
}


@lru_cache(maxsize=1)
def _font_folder() -> str:
    try:
        return str(files("matplotlib").joinpath("mpl-data/fonts/ttf"))
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("synthdoc prints with the fonts of matplotlib: pip install matplotlib") from error


def bundled(name: str) -> Family:
    """The files of one of FACES."""
    regular, bold, oblique = (f"{_font_folder()}/{face}.ttf" for face in FACES[name])
    return regular, bold, oblique


@lru_cache(maxsize=1024)
def _x_height_ratio(face: str) -> float:
    box = ImageFont.truetype(face, 200).getbbox("x", anchor="ls")
    return -box[1] / 200


@lru_cache(maxsize=512)
def _font(face: str, quarter_px: int) -> tuple[ImageFont.FreeTypeFont, dict[str, float]]:
    """The face in a file at a size in quarter pixels, and the advance of every ASCII character in px."""
    font = ImageFont.truetype(face, quarter_px / 4, layout_engine=ImageFont.Layout.BASIC)
    return font, {chr(c): float(font.getlength(chr(c))) for c in range(32, 127)}


class Printer:
    """A page being printed: pixels, the characters on it so far, and the fields they belong to."""

    def __init__(
        self,
        r: Writer,
        width_px: int,
        height_px: int,
        x_height_px: float,
        paper: int,
        ink: int,
        families: Sequence[Family] | None = None,
    ) -> None:
        self.r, self.width, self.height, self.x_height, self.ink, self.paper = (
            r,
            width_px,
            height_px,
            x_height_px,
            ink,
            paper,
        )
        self.image = Image.new("L", (width_px, height_px), paper)
        self.draw = ImageDraw.Draw(self.image)
        self.faces = bundled(r.choice(tuple(FACES))) if families is None else r.choice(families)
        self.kerned = families is not None  # those of matplotlib are placed by their advances alone
        self.margin = r.uniform(0.025, 0.06) * width_px
        self.pitch = max(x_height_px * r.uniform(2.5, 3.4), 15.0)  # px from baseline to baseline
        self.bold_keys = r.random() < 0.3
        self.colon = r.choice((":", ":", ""))
        self.shout = r.random() < 0.12
        self.capitals = False  # everything that is printed
        self.code: list[str] = []
        self.boxes: list[tuple[float, float, float, float]] = []
        self.fields: list[tuple[str, str, str, float]] = []  # kind, question, answer, x-height
        self.spans: list[tuple[Span, Span]] = []  # of the key and the answer of each field
        self.used: set[str] = set()

    def face(self, style: int, scale: float) -> tuple[ImageFont.FreeTypeFont, dict[str, float]]:
        face = self.faces[style]
        return _font(face, round(4 * scale * self.x_height / _x_height_ratio(face)))

    def measure(self, text: str, style: int = 0, scale: float = 1.0) -> float:
        advance = self.face(style, scale)[1]
        return sum(advance[c] for c in (text.upper() if self.capitals else text))

    def text(self, x: float, y: float, text: str, style: int = 0, scale: float = 1.0, ink: int | None = None) -> Span:
        """Prints text with its baseline at y; returns its characters' span."""
        font, advance = self.face(style, scale)
        text = text.upper() if self.capitals else text
        x, y = round(x), round(y)
        self.draw.text((x, y), text, font=font, fill=self.ink if ink is None else ink, anchor="ls")
        top, bottom = y - 1.45 * scale * self.x_height, y + 0.45 * scale * self.x_height
        natural = sum(advance[c] for c in text)
        kerning = font.getlength(text) / natural if self.kerned and natural else 1.0
        for c in text:
            end = x + kerning * advance[c]
            self.boxes.append((x, top, end, bottom))
            x = end
        self.code.append(text)
        return len(self.boxes) - len(text), len(self.boxes)

    def ask(self, kind: str, question: str, answer: str, key: Span, at: Span, scale: float = 1.0) -> None:
        """Adds a field: a question, with the spans of its printed key and answer."""
        question = question[0].upper() + question[1:] if self.r.random() < 0.9 else question
        answer = answer.upper() if self.capitals else answer
        self.fields.append((kind, question, answer, scale * self.x_height))
        self.spans.append((key, at))

    def rule(self, x0: float, y0: float, x1: float, y1: float, box: bool = False) -> None:
        shade = (self.ink + self.paper) // 2
        if box:
            self.draw.rectangle((x0, y0, x1, y1), outline=shade)
        else:
            self.draw.line((x0, y0, x1, y1), fill=shade)
