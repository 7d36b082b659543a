"""Processes that list and write for the graph begin in a moment: they import neither torch nor the library."""

import subprocess
import sys

from pipelines.runs import layout
from saccade import files

LISTED = """
import sys
import pipelines.execute.sink, pipelines.execute.source
print(*(name for name in ("torch", "saccade", "transformers") if name in sys.modules))
"""


def test_what_lists_and_writes_is_light() -> None:
    done = subprocess.run([sys.executable, "-c", LISTED], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_the_library_knows_a_runs_folder_by_the_same_name() -> None:
    assert layout.RUN == files.RUN
