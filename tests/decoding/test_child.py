"""The process that decodes for another one, from a process that has many files open."""

import io
import os
import resource
from contextlib import ExitStack

import pytest
from PIL import Image

from saccade.decoding import isolated
from saccade.picture import Picture


def test_a_picture_is_read_beside_a_thousand_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1300:
        pytest.skip("a process may not have so many files open here")
    file = io.BytesIO()
    Image.new("RGB", (30, 20), "red").save(file, "WEBP", lossless=True)
    isolated._children.close()  # those that are kept have low numbers
    with ExitStack() as stack:
        stack.callback(isolated._children.close)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1300, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1100):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        picture = Picture.open(file.getvalue())
        assert picture.rgb[0, 0].tolist() == [255, 0, 0]
