"""The parts of `saccade serve`: what a request may say, how it is looked at, and what goes back."""
