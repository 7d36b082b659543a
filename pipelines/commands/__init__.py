"""The command line, one file per command: it makes a checked configuration of options, and prints a result."""
