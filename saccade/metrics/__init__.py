"""Scores of answers, what the looks covered, and how sure a comparison is. Hidden answers give None, never 0."""
