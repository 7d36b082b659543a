"""Questions about printed lines: which text stands after, follows, or is printed below another.

They are not tied to any kind of document, so a reader cannot answer them by knowing fifteen kinds of field. Every one
quotes a text that is on the page once.
"""

from dataclasses import dataclass

from saccade.datasets._synthdoc_print import Printer, Span

AFTER = ("What stands after '{}'?", "What is printed to the right of '{}'?", "{}?", "What comes after '{}'?")
FOLLOW = ("What follows '{}' in its line?", "Read on from '{}'.", "Which words follow '{}'?")
BELOW = ("What is printed below '{}'?", "What stands under '{}'?", "Read the line below '{}'.")
MOST_CHARS = 44  # of a text that is asked for


@dataclass(frozen=True, slots=True)
class _Text:
    words: str
    span: Span
    left: float
    right: float
    bottom: float
    height: float  # of its boxes: 1.9 x-heights


def ask_lines(p: Printer, most: int) -> None:
    """Asks for up to `most` texts of an upright page by the texts beside and above them."""
    start, texts = 0, []
    for words in p.code:
        span = (start, start + len(words))
        start = span[1]
        if words.strip():
            (left, top, *_), (_, _, right, bottom) = p.boxes[span[0]], p.boxes[span[1] - 1]
            texts.append(_Text(words, span, left, right, bottom, bottom - top))
    counts: dict[str, int] = {}
    for text in texts:
        counts[_plain(text.words)] = counts.get(_plain(text.words), 0) + 1
    unique = [t for t in texts if counts[_plain(t.words)] == 1 and any(c.isalnum() for c in t.words)]
    num_asked = 0
    for text in p.r.sample(unique, len(unique)):
        if num_asked >= most:
            break
        num_asked += p.r.choice((_after, _after, _follow, _below))(p, text, texts)


def _plain(words: str) -> str:
    return words.strip(" :").lower()


def _scale(p: Printer, text: _Text) -> float:
    return text.height / 1.9 / p.x_height


def _stripped(text: _Text) -> tuple[str, Span]:
    """A text without blanks at its ends, and where it stands."""
    left = len(text.words) - len(text.words.lstrip())
    words = text.words.strip()
    return words, (text.span[0] + left, text.span[0] + left + len(words))


def _ask(p: Printer, kind: str, ways: tuple[str, ...], text: _Text, answer: _Text) -> bool:
    quoted, key = _stripped(text)
    words, at = _stripped(answer)
    if not words or len(words) > MOST_CHARS or len(quoted) > MOST_CHARS or not any(c.isalnum() for c in words):
        return False
    p.ask(kind, p.r.choice(ways).format(quoted.rstrip(" :")), words, key, at, _scale(p, answer))
    return True


def _after(p: Printer, text: _Text, texts: list[_Text]) -> bool:
    """The next text on the same baseline."""
    beside = [t for t in texts if t.left >= text.right - 1 and abs(t.bottom - text.bottom) < 0.25 * text.height]
    return bool(beside) and _ask(p, "after", AFTER, text, min(beside, key=lambda t: t.left))


def _below(p: Printer, text: _Text, texts: list[_Text]) -> bool:
    """The first text of the next line, where it begins below this one and nothing stands nearer."""
    under = [t for t in texts if text.bottom + 0.5 * t.height < t.bottom < text.bottom + 1.5 * p.pitch
             and t.left < text.right and t.right > text.left]  # fmt: skip
    return len(under) == 1 and _ask(p, "below", BELOW, text, under[0])


def _follow(p: Printer, text: _Text, texts: list[_Text]) -> bool:
    """The rest of a text of at least three words, by its first ones."""
    words = text.words.split(" ")
    first = p.r.randint(1, 2)
    if len(words) <= first + 1:
        return False
    quoted = " ".join(words[:first])
    if sum(quoted.lower() in t.words.lower() for t in texts) > 1:
        return False
    rest = " ".join(words[first : first + p.r.randint(1, 4)])
    middle = text.span[0] + len(quoted) + 1
    key = _Text(quoted, (text.span[0], text.span[0] + len(quoted)), text.left, text.right, text.bottom, text.height)
    answer = _Text(rest, (middle, middle + len(rest)), text.left, text.right, text.bottom, text.height)
    return _ask(p, "follow", FOLLOW, key, answer)
