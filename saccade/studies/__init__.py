"""Studies: what was measured over pictures and data sets, as numbers and as tables. Nothing here writes files."""
