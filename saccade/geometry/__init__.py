"""Geometry of the eye and of the token grid: pure, batched tensor functions that several rooms share."""
