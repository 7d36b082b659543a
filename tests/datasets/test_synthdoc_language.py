"""Words come from lists where there are any, those held out never in training, and are made up as before without."""

import random
from pathlib import Path

import pytest

from saccade.datasets._synthdoc_language import HELD_OUT, LEAST_WORDS, Writer, word_lists
from saccade.datasets._synthdoc_till import TOTALS, _sums
from saccade.datasets._synthdoc_words import word
from saccade.datasets.synthdoc import Real, render
from saccade.errors import ConfigError

VOWELS = "aeiou"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Two languages of words that begin with a vowel, one of them under a second name, and a note about them."""
    for name, end in (("northern", "kk"), ("southern", "ng")):
        words = [f"{a}{b}{c}{d}{end}" for a in VOWELS for b in "bcdfgkl" for c in VOWELS for d in "bcdfghklmnp"]
        (tmp_path / name).write_text("\n".join([*words, "it's", "x", "Élan", "ß"]), "utf-8")
    (tmp_path / "nordic").symlink_to(tmp_path / "northern")
    (tmp_path / "README").write_text("which lists are installed\n")
    (tmp_path / ".keep").write_text("")
    return str(tmp_path)


def test_every_list_counts_once_and_its_words_are_plain(folder: str) -> None:
    lists = word_lists(folder)
    assert len(lists) == 2
    assert all(w.isascii() and w.isalpha() and w.islower() and len(w) > 1 for words in lists for w in words)
    kept = {w for held_out in (False, True) for words in word_lists(folder, held_out) for w in words}
    assert "elan" in kept and not kept & {"it's", "its", "x", "ß", "ss"}


def test_words_held_out_are_never_trained_on(folder: str) -> None:
    trained, held = word_lists(folder), word_lists(folder, held_out=True)
    for ours, theirs in zip(trained, held, strict=True):
        assert not set(ours) & set(theirs)
        assert len(ours) + len(theirs) > LEAST_WORDS
        assert abs(len(theirs) / (len(ours) + len(theirs)) - 1 / HELD_OUT) < 0.03


def test_a_folder_without_lists_is_refused_with_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("no words\n")
    with pytest.raises(ConfigError, match="there is no folder '.*absent' of word lists. On Debian: apt install wam"):
        word_lists(str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="holds no word list .*apt install wamerican"):
        word_lists(str(tmp_path))


def test_words_of_lists_are_what_syllables_never_make(folder: str) -> None:
    r = Writer(3, word_lists(folder))
    words = [word(r) for _ in range(400)]
    listed = {w for words in r.lists for w in words}
    assert sum(w[0].lower() in VOWELS for w in words) > 200, "no syllable begins with a vowel"
    assert 100 < sum(w.lower() in listed for w in words) < 300, "others are two halves joined, or made up"
    assert all(4 <= len(w) <= 12 for w in words)
    assert all(2 <= len(word(r, 1, 1)) <= 4 for _ in range(200))


def test_a_writer_without_lists_draws_as_any_random_number_generator() -> None:
    r, plain = Writer(5), random.Random(5)
    assert r.listed(2, 8) is None
    assert [r.random() for _ in range(3)] == [plain.random() for _ in range(3)]


def test_pages_are_written_in_the_words_of_a_folder(folder: str) -> None:
    def text(real: Real) -> str:
        return render(8, 1, 512, "till", real=real).chars.code.tobytes().decode().lower()

    real = Real(words=folder)
    assert text(real) == text(real) != text(Real())
    assert sum(text(real).count(end) for end in ("kk", "ng")) > sum(text(Real()).count(end) for end in ("kk", "ng"))


def test_the_total_is_what_is_to_be_paid() -> None:
    r, added_up, earlier = Writer(1), 0, 0
    for _ in range(300):
        rows = _sums(r)
        at = next(i for i, (_, kind, _) in enumerate(rows) if kind == "total")
        value = {kind: float(amount) for _, kind, amount in rows}
        added_up += value.get("amount paid by card", value["total"]) == value["total"]
        others = [i for i, (label, kind, _) in enumerate(rows) if label in TOTALS and kind != "total"]
        assert all(i < at and rows[i][1] == "" for i in others), "a sum before it, never asked for"
        earlier += any(float(rows[i][2]) != value["total"] for i in others)
    assert added_up > 250 and earlier > 40
