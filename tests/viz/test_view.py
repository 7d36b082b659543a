"""The neutral record: the same from a live trace and from Parquet."""

import io
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saccade.errors import DataError
from saccade.viz.view import TraceView, spent
from tests.viz.views import live_row, live_trace, view


def test_a_live_trace_and_its_stored_row_are_the_same() -> None:
    trace, grid = live_trace()
    assert TraceView.from_trace(trace, grid) == TraceView.from_row(live_row())
    without = {name: value for name, value in live_row().items() if name != "grid"}
    assert TraceView.from_row(without, grid) == TraceView.from_row(live_row())


def test_the_row_may_have_been_through_parquet() -> None:
    row = live_row() | {"score": 1.0}
    kept = pa.list_(pa.int32())
    fixation = pa.struct(
        [("gaze_x", pa.float64()), ("gaze_y", pa.float64()), ("reason", pa.string()), ("tokens", pa.int32())]
        + [("kept", kept), ("answer", pa.string()), ("confidence", pa.float64())]
    )
    table = pa.Table.from_pylist([row])
    place = table.schema.get_field_index("fixations")
    table = table.set_column(place, "fixations", pa.array([row["fixations"]], pa.list_(fixation)))
    file = io.BytesIO()
    pq.write_table(table, file)
    stored = pq.read_table(io.BytesIO(file.getvalue())).to_pylist()[0]
    assert TraceView.from_row(stored) == replace(TraceView.from_trace(*live_trace()), score=1.0)


def test_tokens_are_named_by_their_canvas_cell_whatever_their_order() -> None:
    trace, grid = live_trace()
    turned = replace(grid, row=grid.row.flip(0), col=grid.col.flip(0))  # token i stands in cell 11 - i
    assert TraceView.from_trace(trace, turned).looks[0].kept == (10, 7, 4)


def test_an_error_row_says_why_it_cannot_be_drawn() -> None:
    with pytest.raises(DataError, match=r"'q1' has no trace: it ended with PictureError: not an image"):
        TraceView.from_row(live_row() | {"error": "PictureError: not an image", "fixations": None})


@pytest.mark.parametrize("column", ["question", "grid", "fixations", "confidence"])
def test_a_row_without_what_is_needed_names_it(column: str) -> None:
    with pytest.raises(DataError, match="fixations \\(gaze_x, gaze_y"):
        TraceView.from_row({name: value for name, value in live_row().items() if name != column})
    with pytest.raises(DataError):
        TraceView.from_row(live_row() | {column: None} if column != "question" else {})


def test_a_row_with_another_images_grid_is_refused() -> None:
    with pytest.raises(DataError, match="keeps token 11; its grid of 2 x 3 ends at 5|keeps token 7"):
        TraceView.from_row(live_row() | {"grid": {"rows": 2, "cols": 3}})


def test_tokens_spent_count_each_cell_once() -> None:
    twice = view([(0.5, 0.5), (0.5, 0.5)], rows=4, cols=4, kept=[(0, 1, 2), (2, 3)])
    assert spent(twice) == "4 of 16 tokens (25 %)"
    assert spent(view([(0.5, 0.5)], rows=2, cols=2, kept=[(0, 1, 2, 3)])) == "all 4 tokens"
