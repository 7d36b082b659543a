"""The command line, one file per command: each turns options into a checked configuration, and prints a result."""

ROWS_FAILED = 3
"""Exit status of a command some of whose answers are errors."""
