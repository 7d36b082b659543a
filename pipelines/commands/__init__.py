"""The command line, one file per command: it makes a checked configuration of options, and prints a result."""

ROWS_FAILED = 3
"""Exit status of a command that ends with errors in place of some of its answers."""
