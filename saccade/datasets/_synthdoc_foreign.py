"""Questions that a page does not answer: fields that it lacks, texts that are not on it, and general knowledge."""

from saccade.datasets._synthdoc_language import Writer
from saccade.datasets._synthdoc_lines import AFTER, BELOW, FOLLOW
from saccade.datasets._synthdoc_words import ASK, ASK_CELL, COLUMNS, PAIRS, company, name, word, words

PLACES = (
    "France", "Germany", "Japan", "Brazil", "Kenya", "Canada", "India", "Norway", "Peru", "Egypt", "Spain", "Chile",
    "China", "Italy", "Mexico", "Poland", "Turkey", "Sweden", "Texas", "London", "Paris", "Rome", "Berlin", "Tokyo",
)  # fmt: skip
THINGS = (
    "sky", "car", "dog", "house", "moon", "book", "tree", "river", "train", "cat", "flag", "ball", "door", "chair",
    "film", "song", "team", "king", "planet", "mountain", "bridge", "ship", "horse", "bird", "person", "building",
)  # fmt: skip
GENERAL = (
    "Who is the president of {place}?", "What is the capital of {place}?", "How many people live in {place}?",
    "What language is spoken in {place}?", "Who won the election in {place}?", "Where is {place}?",
    "What colour is the {thing}?", "How many {thing}s are there?", "How old is the {thing}?", "Who made the {thing}?",
    "What is the {thing} doing?", "Is there a {thing} in the picture?", "What is behind the {thing}?",
    "Who wrote {name}?", "When was {name} born?", "Who is {name}?", "How tall is {name}?", "What does {company} make?",
    "How far is {place} from {place}?", "What is the weather in {place}?", "What time is it?", "Who are you?",
    "What is two plus two?", "Why is the {thing} so big?", "What kind of {thing} is it?", "Which {thing} is the best?",
)  # fmt: skip


def foreign(text: str, r: Writer, count: int) -> list[str]:
    """`count` questions that a page does not answer; `text` is printed on it, or asked of it."""
    printed = text.lower()
    absent = [kind for kind, (prints, _) in PAIRS.items() if not any(p.lower() in printed for p in (kind, *prints))]
    questions: list[str] = []
    while len(questions) < count:
        way = r.random()
        if way < 0.45 and absent:
            question = r.choice(ASK).format(r.choice(absent))
        elif way < 0.7:
            quoted = r.choice((word, words, name, company))(r)
            if quoted.lower() in printed:
                continue
            cell = r.random() < 0.4
            ways = ASK_CELL if cell else (*AFTER, *FOLLOW, *BELOW)
            question = r.choice(ways).format(*((r.choice(list(COLUMNS)).lower(), quoted) if cell else (quoted,)))
        else:
            fill = {"place": r.choice(PLACES), "thing": r.choice(THINGS), "name": name(r), "company": company(r)}
            if any(value.lower() in printed for value in fill.values()):
                continue
            question = r.choice(GENERAL).format(**fill)
        questions.append(question[0].upper() + question[1:] if r.random() < 0.9 else question)
    return questions
