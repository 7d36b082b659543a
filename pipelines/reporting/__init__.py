"""What a run looks like to its reader: pictures, and one HTML page."""
