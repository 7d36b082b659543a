"""The Qwen families: pixels and positions are transformers', features are what the merger takes, pixel limits hold."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from saccade.engines.hf import HF, HFEngine
from saccade.errors import ConfigError, PictureError
from saccade.picture import Picture
from saccade.types import Canvas, Part
from tests import tiny
from tests.families import untouched


def test_pixels_are_those_of_the_processor(qwen: HFEngine) -> None:
    picture = Picture.open(tiny.page(517, 333))
    expected = qwen.family.processor(images=[picture.rgb], return_tensors="pt")
    prepared = qwen.prepare(picture)
    assert prepared.grid_thw == tuple(expected["image_grid_thw"][0].tolist())
    torch.testing.assert_close(prepared.patches, expected["pixel_values"], rtol=0, atol=0.02)  # its rounding to uint8


def test_positions_are_those_of_the_model(qwen: HFEngine) -> None:
    picture = Picture.open(tiny.page(301, 203))
    given = untouched.inputs(qwen, picture, "Where?")
    expected, _ = qwen.family.model.model.get_rope_index(
        given["input_ids"], mm_token_type_ids=given["mm_token_type_ids"], image_grid_thw=given["image_grid_thw"]
    )
    encoding = qwen.encode([qwen.prepare(picture)])[0]
    canvas = Canvas(encoding.grid.rows, encoding.grid.cols).add(Part.of(encoding))
    prefix, suffix = qwen.family.prompt("Where?")
    before, parts, after = qwen.family.positions(canvas, len(prefix), len(suffix))
    assert torch.equal(torch.cat([before, *parts, after], 1), expected[:, 0])


def test_features_are_what_the_merger_takes(qwen: HFEngine) -> None:
    encoding = qwen.encode([qwen.prepare(Picture.open(tiny.page(301, 203)))])[0]
    with torch.no_grad():
        merged = qwen.family.model.model.visual.merger(encoding.features.flatten(0, 1))
    torch.testing.assert_close(merged, encoding.tokens, rtol=1e-5, atol=1e-5)
    assert float(encoding.received.sum()) == pytest.approx(1.0, abs=1e-4)


def test_impossible_pictures_say_why(qwen: HFEngine) -> None:
    with pytest.raises(PictureError, match=r"1 x 900 px.*aspect ratio.*Crop it"):
        qwen.prepare(Picture.open(tiny.page(1, 900)))


@pytest.mark.parametrize("as_qwen_writes_it", [False, True])
def test_pixel_limit(qwen: HFEngine, tmp_path: Path, as_qwen_writes_it: bool) -> None:
    """Also where the checkpoint's file says min_pixels and max_pixels, as Qwen's own do."""
    folder = shutil.copytree(qwen.spec.model, tmp_path / "model")
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    if as_qwen_writes_it:
        size = settings.pop("size")
        settings |= {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
        (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    cell_px = qwen.family.cell_px
    with HF(model=str(folder), max_px=cell_px**2 * 10).open() as small:
        assert len(small.prepare(Picture.open(tiny.page(900, 700))).grid) <= 10
    with (
        pytest.raises(ConfigError, match=f"one token of this model covers {cell_px} x {cell_px} px"),
        HF(model=str(folder), max_px=100).open(),
    ):
        pass
