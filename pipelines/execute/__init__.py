"""What answers the rows of a run: a loop in this process, or a graph of Ray actors."""
