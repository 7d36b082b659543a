"""Training of the bundled model and of small modules; runs with torch, transformers, numpy, pillow, matplotlib, OpenCV
and pydantic alone."""

import saccade.families as families  # noqa: F401  transformers needs its help where a torchvision does not load
