"""Small trained modules that strategies load, and their file format."""
