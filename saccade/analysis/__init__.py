"""What happened and why, in numbers: pure functions over encodings, importance, selections and traces."""
