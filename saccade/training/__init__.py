"""Training of the bundled model; runs with torch, transformers, numpy, pillow, matplotlib and pydantic alone."""
