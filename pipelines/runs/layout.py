"""Where everything lies in a run's folder: every path is spelled here and nowhere else.

DIR/run.yaml  summary.json  answers/00000000.parquet ...      one file of answers per image
    results.json  table.md                                    of an experiment, which compares variants
DIR/.saccade/manifest.parquet  left.parquet  skipped.jsonl    all images; those this attempt does
             staging/ATTEMPT/                                  answers being written
             encoded/ATTEMPT-*.jsonl                           one line per image that was encoded
             deaths.jsonl  lock
"""

from pathlib import Path

RUN = ".saccade"
"""The hidden folder; a folder that holds one is a run's output (`saccade.files.RUN`, of which this knows nothing)."""


class Layout:
    """The paths of one run."""

    def __init__(self, path: Path) -> None:
        self.path, self.hidden = path, path / RUN
        self.answers, self.manifest = path / "answers", self.hidden / "manifest.parquet"
        self.run_yaml, self.summary_json = path / "run.yaml", path / "summary.json"
        self.results_json, self.table_md = path / "results.json", path / "table.md"
        self.skipped, self.left = self.hidden / "skipped.jsonl", self.hidden / "left.parquet"
        self.encoded, self.lock = self.hidden / "encoded", self.hidden / "lock"
        self.deaths = self.hidden / "deaths.jsonl"

    def staging(self, attempt: str = "") -> Path:
        """Where an attempt writes answers before they are renamed; without one, the folder of all attempts."""
        return self.hidden / "staging" / attempt

    def file_of(self, number: int) -> Path:
        """Where the answers of one image will be."""
        return self.answers / answers_name(number)

    def encoded_file(self, attempt: str, worker: str) -> Path:
        """Where one encoder of an attempt writes a line per image that it encodes."""
        return self.encoded / f"{attempt}-{worker}.jsonl"


def answers_name(number: int) -> str:
    """File name of one image's answers: sorted by name, answers are in the data set's order."""
    return f"{number:08d}.parquet"
