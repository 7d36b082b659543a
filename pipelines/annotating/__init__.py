"""Annotation: a run that reads fields from every page, and the files of the resulting data set."""
