"""A data set of fields: a run that asks them of every page, and the files that its answers become."""
