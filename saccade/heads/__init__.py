"""Small trained modules that strategies load, and the files they travel in."""
