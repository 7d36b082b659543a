"""VQA accuracy, the score of VQAv2 and TextVQA: how many of the people asked gave this answer.

Agrawal et al. 2015 (https://arxiv.org/abs/1505.00468), as their server computes it: an answer is right to min(1, n/3)
where n others gave it; the mean is taken over all ways to leave out one of the (ten) people. Both sides are normalised
before: case, articles, punctuation, numbers up to ten, apostrophes that were left out.
"""

import re
from collections.abc import Iterator, Sequence

ENOUGH = 3  # people who agree make an answer right

NUMBERS = {
    word: str(number)
    for number, word in enumerate("zero one two three four five six seven eight nine ten".split())
} | {"none": "0"}  # fmt: skip
ARTICLES = ("a", "an", "the")
PUNCTUATION = ';/[]"{}()=+\\_-><@`!'
FULL_STOP = re.compile(r"\.(?!\d)")

CONTRACTIONS = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't "
    "he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't mightn't've must've "
    "mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've "
    "somebody'd've somebody'll somebody's someone'd someone'd've someone'll someone's something'd "
    "something'd've something'll that's there'd there'd've there're there's they'd they'd've they'll they're "
    "they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd where's where've "
    "who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll "
    "y'all'd've you'd you'd've you'll you're you've "
).split()  # those of the official evaluation: its "ill" and "its" stay what they are


def _misspelt(word: str) -> Iterator[str]:
    """The word without one of its apostrophes, each in turn."""
    return (word[:at] + word[at + 1 :] for at, letter in enumerate(word) if letter == "'")


MENDED = {wrong: word for word in CONTRACTIONS for wrong in _misspelt(word)} | {"somebody'd": "somebodyd"}


def normalised(text: str) -> str:
    """An answer as the official evaluation compares it."""
    text = text.lower().replace(",", "").replace("?", "").replace("'s", " 's")
    return _words(_unpunctuated(" ".join(text.split())))


def _unpunctuated(text: str) -> str:
    """A mark beside a space goes, and wherever else it stands; any other becomes a space."""
    made = text
    for mark in PUNCTUATION:
        goes = f"{mark} " in text or f" {mark}" in text
        made = made.replace(mark, "" if goes else " ")
    return FULL_STOP.sub("", made)


def _words(text: str) -> str:
    words = (NUMBERS.get(word, word) for word in text.lower().split())
    return " ".join(MENDED.get(word, word) for word in words if word not in ARTICLES)


def vqa(answer: str, answers: Sequence[str] | None) -> float | None:
    """Accuracy in [0, 1] of `answer` against what each person said, one of `answers` a person; None: hidden.

    With fewer than four people all others must agree; a single answer must be met. An empty answer scores 0.
    """
    if not answers:
        return None
    if not answer.strip():  # the reader could not read it; an "A" becomes nothing as well, and is an answer
        return 0.0
    said, people = normalised(answer), [normalised(each) for each in answers]
    if len(people) == 1:
        return float(said == people[0])
    agreed = people.count(said)
    enough = min(ENOUGH, len(people) - 1)
    left_out = [agreed - (person == said) for person in people]  # who agrees, without that person
    return sum(min(1.0, count / enough) for count in left_out) / len(people)
