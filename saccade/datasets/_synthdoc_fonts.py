"""The type families of a folder that can print any page: all of ASCII, capitals unlike small letters, not hair-thin.

Debian's font packages are enough (`apt install fonts-liberation fonts-lato fonts-3270 fonts-ocr-a ...`); fonts are read
where they lie and never copied. Every seventh family is held out: training never prints with it, `synthdoc_real` only
with those.
"""

import logging
import re
from functools import lru_cache
from pathlib import Path

from fontTools.ttLib import TTFont, TTLibError
from PIL import ImageFont

from saccade.errors import ConfigError

HELD_OUT = 7  # every so many families, in the order of their names
SKIPPED = re.compile(r"thin|hairline|extra ?light|symbol|keyfont|small ?caps|math|black|heavy", re.IGNORECASE)
Family = tuple[str, str, str]  # files of the regular, the bold and the slanted face


GET_FONTS = "On Debian: apt install fonts-liberation fonts-dejavu fonts-lato, and give /usr/share/fonts"


@lru_cache(maxsize=4)
def families(folder: str, held_out: bool = False) -> tuple[Family, ...]:
    """The families of a folder and the folders in it, either those to train with or those held out.

    Raises:
        ConfigError: there is no such folder, or it holds too few usable families.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"there is no folder {folder!r} of fonts. {GET_FONTS}")
    logging.getLogger("fontTools").setLevel(logging.ERROR)  # it warns of tables that are not needed here
    faces: dict[str, dict[str, str]] = {}
    for path in sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in (".ttf", ".otf")):
        name = _usable(path)
        if name:
            faces.setdefault(name[0], {})[name[1]] = str(path)
    usable = [_family(styles) for _, styles in sorted(faces.items())]
    chosen = tuple(f for i, f in enumerate(usable) if (i % HELD_OUT == 0) == held_out)
    if not chosen:
        raise ConfigError(
            f"{folder!r} holds {len(usable)} type families that print all of ASCII; at least 2 are needed. " + GET_FONTS
        )
    return chosen


def _usable(path: Path) -> tuple[str, str] | None:
    """Family and style of a face that can print any page; None for one that cannot."""
    try:
        font = ImageFont.truetype(str(path), 64, layout_engine=ImageFont.Layout.BASIC)
        with TTFont(path, lazy=True) as table:
            code_points = table.getBestCmap() or {}
    except (OSError, TTLibError):
        return None  # a bitmap font, or no font
    family, style = (part or "" for part in font.getname())
    if SKIPPED.search(f"{family} {style}") or any(code not in code_points for code in range(32, 127)):
        return None
    glyphs = [bytes(font.getmask(chr(code))) for code in range(33, 127)]
    small, capital = (-font.getbbox(letter, anchor="ls")[1] for letter in "xX")
    if len(set(glyphs)) < len(glyphs) or small > 0.9 * capital or small < 16:
        return None
    return family, style


def _family(styles: dict[str, str]) -> Family:
    """Its upright, bold and slanted face; the upright one stands in for what is missing."""
    bold = {s for s in styles if "bold" in s.lower()}
    slanted = {s for s in styles if re.search("italic|oblique", s, re.IGNORECASE)}
    regular = _first(set(styles) - bold - slanted, styles) or _first(set(styles), styles)
    assert regular is not None
    return regular, _first(bold - slanted, styles) or regular, _first(slanted - bold, styles) or regular


def _first(names: set[str], styles: dict[str, str]) -> str | None:
    """The plainest of several styles: 'Regular', or else the shortest name."""
    ordered = sorted(names, key=lambda name: (name.lower() not in ("regular", "book", "roman"), len(name), name))
    return styles[ordered[0]] if ordered else None
