"""The process that decodes images for `isolated.py`. Run as a program; it is asked, and answers, as `_pdf_child.py`.

Of saccade it imports this folder alone: the rest would take seconds, and torch more memory than an image.
"""

import json
import sys
import types
from pathlib import Path
from typing import Any


def main(memory_bytes: int) -> None:
    """Answers requests until there are no more."""
    package = types.ModuleType("saccade")
    package.__path__ = [str(Path(__file__).parents[1])]
    sys.modules["saccade"] = package
    from saccade.decoding import _pdf_child as pipe
    from saccade.decoding import images, pages
    from saccade.errors import PictureError

    told: dict[str, Any]
    pipe.limited(memory_bytes)
    while (head := pipe.message()) is not None:
        if (data := pipe.message()) is None:
            return
        request, pixels = json.loads(head), None
        try:
            if request["do"] == "count":
                told = {"pages": len(pages.frames(data)) or 1}
            elif request["do"] == "size":
                width, height = images.size_px(data, request["page"])
                told = {"width": width, "height": height}
            else:
                rgb = images.rgb(data, request["page"], request["limit_px"])
                told, pixels = {"width": rgb.shape[1], "height": rgb.shape[0]}, rgb.tobytes()
        except PictureError as error:
            told = {"error": str(error)}
            if isinstance(error.__cause__, MemoryError) or "out of memory" in str(error):
                told = {"error": f"cannot decode the image: it needs more than {memory_bytes >> 30} GiB of memory"}
        pipe.tell(told, pixels)


if __name__ == "__main__":
    main(int(sys.argv[1]))
