"""The words that a page is written in: made up of syllables, or those of a folder of word lists.

Made-up syllables alone (a consonant, a vowel, one of few ends) teach a reader that no word begins with a vowel and that
`ng`, `ai` and `kk` do not exist: it then writes the nearest word that does. Lists of many languages mend that, and
halves of two words joined are as pronounceable and nowhere to be known by heart.

Debian's lists are enough (`apt install wamerican wfrench wngerman wpolish ...`, in /usr/share/dict); lists are read
where they lie and never copied. Every seventh word is held out, as every seventh type family is.
"""

import random
import unicodedata
from functools import lru_cache
from pathlib import Path
from zlib import crc32

from saccade.datasets._synthdoc_fonts import HELD_OUT
from saccade.errors import ConfigError

LISTED_SHARE = 0.8  # of the words of a page that has lists; the rest are syllables
JOINED_SHARE = 0.4  # of those, and all that are too long: the beginning of one word and the end of another
MOST_WORDS = 50_000  # of a list, evenly taken: all languages in equal shares, in little memory
LEAST_WORDS = 1000  # of a list: the folder may hold a note about its lists
SHORTEST, LONGEST = 2, 14  # letters


class Writer(random.Random):
    """The random numbers of a page, and the word lists that it takes words from; none: all are made up."""

    def __init__(self, seed: int, lists: tuple[tuple[str, ...], ...] = ()) -> None:
        super().__init__(seed)
        self.lists = lists

    def listed(self, least: int, most: int) -> str | None:
        """A word of `least` to `most` letters, or the ends of two that make one; None: it is to be made up."""
        if not self.lists or self.random() >= LISTED_SHARE:
            return None
        words = self.choice(self.lists)
        text = self.choice(words)
        if self.random() >= JOINED_SHARE and least <= len(text) <= most:
            return text
        length = self.randint(least, most)
        first = self.randint(1, length - 1)
        return text[:first] + self.choice(words)[first - length :]


GET_WORDS = "On Debian: apt install wamerican wfrench wngerman, and give /usr/share/dict"


@lru_cache(maxsize=4)
def word_lists(folder: str, held_out: bool = False) -> tuple[tuple[str, ...], ...]:
    """The lists of a folder, one word a line, each the words to train with or those held out, in small ASCII letters.

    Accents are dropped; words with other signs are left out. A file under several names counts once.

    Raises:
        ConfigError: there is no such folder, or it holds no list.
    """
    if not Path(folder).is_dir():
        raise ConfigError(f"there is no folder {folder!r} of word lists. {GET_WORDS}")
    lists = []
    for path in sorted({p.resolve() for p in Path(folder).glob("*") if p.is_file()}):
        lines = path.read_text("utf-8", "ignore").splitlines()
        words = sorted({_plain(line) for line in lines[:: 1 + len(lines) // MOST_WORDS]} - {""})
        if len(words) >= LEAST_WORDS:
            lists.append(tuple(word for word in words if (crc32(word.encode()) % HELD_OUT == 0) == held_out))
    if not lists:
        raise ConfigError(
            f"{folder!r} holds no word list (a file with a word a line, a thousand words at least). {GET_WORDS}"
        )
    return tuple(lists)


def _plain(line: str) -> str:
    """A word in small ASCII letters; '' for what is none, or too short or long."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", line.strip()) if not unicodedata.combining(c))
    return bare.lower() if bare.isascii() and bare.isalpha() and SHORTEST <= len(bare) <= LONGEST else ""
