"""A generated page to try the endpoint with: it needs no network and holds no personal data."""

import io
from functools import lru_cache

from PIL import Image

from saccade.datasets import Row
from saccade.datasets.synthdoc import SynthDoc

PAGE_PX = 768
SEED = 8


@lru_cache(maxsize=1)
def sample() -> tuple[bytes, str]:
    """A PNG, and a question about it."""
    dataset = SynthDoc(page_px=PAGE_PX, num_pages=1, questions_per_page=1, seed=SEED)
    row = next(row for row in dataset.rows() if isinstance(row, Row))
    buffer = io.BytesIO()
    Image.fromarray(dataset.sample(row).picture.rgb).save(buffer, "png")
    return buffer.getvalue(), row.questions[0].text
