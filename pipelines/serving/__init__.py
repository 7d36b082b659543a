"""The parts of `saccade serve`: parsing a request, running its episode, and writing the response."""
