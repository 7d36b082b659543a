"""A run on disk, however it was made: its configuration, its files, its rows, and its summary."""
