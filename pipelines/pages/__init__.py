"""What the HTML pages of this package have in common: one style, and a check of the address they are served at."""
