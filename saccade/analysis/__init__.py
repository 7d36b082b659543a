"""Analyses of looking: pure functions over encodings, importance, selections and traces."""
