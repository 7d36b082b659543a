"""The command line, one file per command: options in, a checked configuration made of them, a result printed."""
