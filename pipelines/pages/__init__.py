"""What every HTML page of this package has in common: one style."""
