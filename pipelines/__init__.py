"""Where saccade runs: the command line and the Ray graphs. No algorithm lives here."""
