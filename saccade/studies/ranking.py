"""Which scorer, sampler and planner show where the answer is, with no answer read.

Each page is encoded once, without a decoder in memory; each scorer judges it once for all of its questions. What the
numbers mean is in `saccade.analysis.gaze`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Annotated, Any

from pydantic import Field, field_validator

from saccade.analysis.gaze import ENOUGH, Boxes, Judged, Looks, look, scene_of
from saccade.config import Episode
from saccade.datasets import Dataset, Row
from saccade.engines import Encoder
from saccade.errors import ConfigError, DataError, describe
from saccade.heads.scoring import looks_by
from saccade.importance import Scorer
from saccade.metrics.bootstrap import bootstrap_mean, dumped, interval_text
from saccade.planners import Planner
from saccade.registry import find, load, names
from saccade.samplers import Sampler
from saccade.settings import Option, Settings, Short
from saccade.types import Query, Question, Scene
from saccade.wording import counted

LOOKS = 3
MOST = 6  # looks after which a combination is given up: as many tokens as a shared canvas holds
NUM_RESAMPLES = 2_000
BATCH = 8  # questions of a page that are looked at together
MIX = "query:0.3+edges:0.7"  # what `saccade ask` scores with
UNTRAINED = ("crosslevel",)  # loads without weights, and then knows nothing


def _names(name: str, help: str) -> Option:
    return Option(spelled=Short(name=name, metavar="A,B,...", help=help))


class Ranking(Settings):
    """What is ranked: every scorer with every sampler and every planner."""

    panel = "What it ranks"

    scorers: Annotated[
        tuple[str, ...], _names("scorers", "Instead of all (`saccade list importance`); a mix is query:0.3+edges:0.7.")
    ] = Field(default_factory=lambda: scorers_by_default()[0], description="A mix: NAME:WEIGHT+NAME.")
    samplers: Annotated[tuple[str, ...], _names("samplers", "Instead of all (`saccade list samplers`).")] = Field(
        default_factory=lambda: samplers(blind=False)
    )
    planners: Annotated[tuple[str, ...], _names("planners", "Instead of all (`saccade list planners`).")] = Field(
        default_factory=lambda: planners()
    )
    heads: Annotated[
        tuple[str, ...], Option(spelled=Short(name="heads", metavar="FOLDER,...", help="Trained heads, ranked beside."))
    ] = ()
    tokens: int = Field(273, ge=1, description="Visual tokens per look.")

    @field_validator("scorers", "samplers", "planners", "heads", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(value.split(",")) if isinstance(value, str) else value


class Candidates:
    """The strategies whose combinations are ranked; `gaze` is the folder of the checkpoint's own head of `late`."""

    def __init__(self, chosen: Ranking, gaze: str | None = None) -> None:
        looks = {name: Episode(scorer=name.replace("+", ",")).with_gaze(gaze) for name in chosen.scorers}
        looks |= {Path(folder).name: Episode(scorer=looks_by(Path(folder))["scorer"]) for folder in chosen.heads}
        self.scorers = {name: episode.strategies.score for name, episode in looks.items()}
        for name, mix in self.scorers.items():
            if "attention" in mix.needs:
                raise ConfigError(f"the scorer {name!r} reads the language model's attention, and none is loaded here")
        self.samplers = {name: load("samplers", name, Sampler) for name in chosen.samplers}
        self.planners = {name: load("planners", name, Planner) for name in chosen.planners}
        if oracles := [name for name, planner in self.planners.items() if "boxes" in planner.reads]:
            raise ConfigError(f"the planner {oracles[0]!r} is told where the answer stands: there is nothing to rank")
        for name in [name for name, sampler in self.samplers.items() if sampler.blind]:
            del self.samplers[name]  # it is among the baselines
        self.blind = {name: load("samplers", name, Sampler) for name in samplers(blind=True)}


def scorers_by_default() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The scorers ranked when none is named, and those left out: trained first, or in need of the language model."""
    ranked, left_out = [MIX], list[str]()
    for name in names("importance"):
        kind = find("importance", name, Scorer)
        trained = name in UNTRAINED or any(field.is_required() for field in kind.model_fields.values())
        (left_out if trained or "attention" in kind.reads else ranked).append(name)
    return tuple(ranked), tuple(left_out)


def left_out(candidates: Candidates) -> tuple[str, ...]:
    """The scorers that no ranking has by default, less those that a head was given for."""
    given = {scorer.name() for mix in candidates.scorers.values() for _, scorer in mix.scorers}
    return tuple(name for name in scorers_by_default()[1] if name not in given)


def planners() -> tuple[str, ...]:
    """Names of the planners that are not told where the answer stands."""
    return tuple(name for name in names("planners") if "boxes" not in find("planners", name, Planner).reads)


def samplers(blind: bool) -> tuple[str, ...]:
    """Names of the samplers that look at neither gaze nor importance, or of the others."""
    return tuple(name for name in names("samplers") if find("samplers", name, Sampler).blind == blind)


def looks_of_page(
    row: Row, dataset: Dataset, encoder: Encoder, candidates: Candidates, keep: int
) -> Iterator[dict[str, Any]]:
    """One line per combination and question of one page; of a question that cannot be looked for, one that says why."""
    lines: list[dict[str, Any]] = []
    asked: list[tuple[Question, Query]] = []
    try:
        sample = dataset.sample(row)
        encoding = encoder.encode([encoder.prepare(sample.picture)])[0]
        for question in sample.questions:
            if question.error is None and question.answer_boxes_uv:
                asked.append((question, encoder.query(question.text)))
            else:
                lines.append({"id": question.id, "error": question.error or "no answer boxes"})
        for start in range(0, len(asked), BATCH):
            some, queries = zip(*asked[start : start + BATCH], strict=True)
            scene, boxes = scene_of(sample.picture, encoding, queries), [q.answer_boxes_uv for q in some]
            for combination, looks in _looks(scene, boxes, candidates, keep):
                lines += [{**combination, "id": q.id, **_line(look)} for q, look in zip(some, looks, strict=True)]
    except DataError as error:
        lines = [{"id": question.id, "error": describe(error)} for question in row.questions]
    for line in lines:
        variant = " | ".join(line.get(part, "") for part in ("scorer", "sampler", "planner"))
        yield {"variant": variant, "image_id": row.image_id, "last": line is lines[-1], **line}


def _looks(
    scene: Scene, boxes: Sequence[Boxes], candidates: Candidates, keep: int
) -> Iterator[tuple[dict[str, str], list[Looks]]]:
    """The looks of every combination."""
    judged = None
    for scorer, mix in candidates.scorers.items():
        judged = Judged(scene, mix)
        for sampler, choose in candidates.samplers.items():
            for planner, plan in candidates.planners.items():
                combination = {"scorer": scorer, "sampler": sampler, "planner": planner}
                yield combination, look(judged, choose, plan, boxes, keep, least=LOOKS, most=MOST)
    assert judged is not None  # settings name at least one scorer
    for sampler, choose in candidates.blind.items():
        plan = load("planners", "query", Planner)  # not asked
        yield {"sampler": sampler}, look(judged, choose, plan, boxes, keep, least=LOOKS, most=MOST)


def _line(looks: Looks) -> dict[str, Any]:
    return {
        "first": looks.after(1),
        "all": looks.after(LOOKS),
        "hit": looks.hit,
        "until_tok": looks.until(),
        "num_tok": looks.num_tok,
    }


def rank(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Every combination with its means and intervals, the most covered after all looks first; baselines apart.

    Raises:
        ConfigError: nothing was looked at: no question has answer boxes.
    """
    by_variant: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if "error" not in row:
            by_variant.setdefault(row["variant"], []).append(row)
    errors = [row["error"] for row in rows if "error" in row]
    if not by_variant:
        raise ConfigError(f"nothing to look for: {errors[0] if errors else 'no questions'}. Give a data set with boxes")
    entries = [_entry(some) for some in by_variant.values()]
    page = [{"image_id": row["image_id"], "num_tok": row["num_tok"]} for row in next(iter(by_variant.values()))]
    full = _entry([{**row, "sampler": "full", "first": 1.0, "all": 1.0, "until_tok": row["num_tok"]} for row in page])
    entries.sort(key=lambda entry: (-entry["all"]["mean"], entry["until_tok"], entry["scorer"] or "", entry["sampler"]))
    return {
        "baselines": [full, *(entry for entry in entries if entry["scorer"] is None)],
        "combinations": [entry for entry in entries if entry["scorer"] is not None],
        "without_boxes": errors.count("no answer boxes"),
        "errors": len(errors) - errors.count("no answer boxes"),
    }


def _entry(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    pages = [row["image_id"] for row in rows]
    covered = {
        key: bootstrap_mean([row[key] for row in rows], pages, num_resamples=NUM_RESAMPLES) for key in ("first", "all")
    }
    hits = [row["hit"] for row in rows if row.get("hit") is not None]
    return {
        **{part: rows[0].get(part) for part in ("scorer", "sampler", "planner")},
        **{key: dumped(interval) for key, interval in covered.items()},
        "hit": mean(hits) if hits else None,
        "until_tok": median(row["until_tok"] for row in rows),
    }


def to_markdown(results: Mapping[str, Any], most: int | None = None) -> str:
    """The table as GitHub shows it: baselines, then the combinations (the best `most` of them), and what it means."""
    heads = ["scorer", "sampler", "planner", "1 look [95 %]", f"{LOOKS} looks [95 %]", "first gaze", "tokens"]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for entry in [*results["baselines"], *results["combinations"][:most]]:
        combination = [entry[part] or "" for part in ("scorer", "sampler", "planner")]
        hit = "-" if entry["hit"] is None else f"{entry['hit']:.2f}"
        covered = [interval_text(entry[key]) for key in ("first", "all")]
        cells = [*combination, *covered, hit, f"{entry['until_tok']:,.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", footnote(results), ""])


def footnote(results: Mapping[str, Any]) -> str:
    """What the numbers of the table are."""
    scored, tokens = results["baselines"][0]["all"], results["tokens"]
    unused = f"{results['without_boxes']} without answer boxes and {results['errors']} with errors left out"
    return (
        f"n = {counted(scored['num_questions'], 'question')} on {counted(scored['num_pages'], 'page')} ({unused}); "
        f"intervals: bootstrap over pages, {scored['num_resamples']} resamples, seed {scored['seed']}. "
        f"1 look, {LOOKS} looks: share of the answer boxes shown at full "
        f"resolution after looks of {tokens} tokens; random and uniform show as many in one "
        "look. first gaze: share of first gazes in an answer box grown by one token. tokens: median on the canvas when "
        f"{ENOUGH:.0%} is shown, all of the page where {MOST} looks do not. No answer was read: planners that listen "
        "to the reader hear that it cannot read, so `uncertainty` has the scorer alone to go by. The planner `slots` "
        "favours nothing in its first look: of a sampler that only ranks, that is the page's top. Scorers left out: "
        f"{', '.join(results['left_out'])} (trained first, or in need of the language model). "
        f"Commit {results.get('commit')}, {results.get('processor')}."
    )
