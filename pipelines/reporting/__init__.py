"""Reports of a run: pictures, and one HTML page."""
