"""How messages and tables say a number of things, and which name was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def counted(number: int, noun: str, plural: str = "") -> str:
    """1 token, 1,234 tokens; `plural` where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def meant(name: object, known: Iterable[str]) -> str:
    """The sentence that suggests the nearest of the known names, with a blank behind it; "" if none is near.

    name: as it was given; a key of YAML may be a number, or the `on` that YAML takes for true.
    """
    by_lower = {each.lower(): each for each in known}
    near = get_close_matches(str(name).lower(), by_lower, 1)
    return f"Did you mean {by_lower[near[0]]!r}? " if near else ""
