"""Paths of an annotation's files: in the folder of its run, beside the run's own files.

DIR/annotations/00000.parquet ...   one row per page, columns per field
    annotations.jsonl               the same, with looks and tokens of each value
    review.jsonl                    the values that a person should see
    labels.jsonl                    the values that fit, as a data set of questions with answers and boxes
    labelstudio.json  labelstudio.xml  coco.json
    pages/00017.png ...             image files of pages that have none, as those of PDFs and of Parquet
    corrections.jsonl               what people said (`saccade review`); only ever appended to
DIR/.saccade/annotate.json  relabel.jsonl
"""

from pathlib import Path

from pipelines.runs.layout import Layout


class Places(Layout):
    """The paths of one annotation."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.annotations, self.annotations_jsonl = path / "annotations", path / "annotations.jsonl"
        self.review_jsonl, self.labels_jsonl = path / "review.jsonl", path / "labels.jsonl"
        self.labelstudio_json, self.labelstudio_xml = path / "labelstudio.json", path / "labelstudio.xml"
        self.pages = path / "pages"
        self.coco_json, self.corrections = path / "coco.json", path / "corrections.jsonl"
        self.settings, self.relabel = self.hidden / "annotate.json", self.hidden / "relabel.jsonl"
