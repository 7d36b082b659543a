"""A run on disk, whoever made it: its configuration, its files, its rows, and what they come to."""
