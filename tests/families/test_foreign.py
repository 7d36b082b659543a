"""A foreign ViT in the place of the tower: its cells, its projection, and a training that makes answers from it."""

import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file

import saccade
from saccade.engines import choose_engine
from saccade.engines.hf import HF
from saccade.errors import ConfigError
from saccade.families._foreign import Foreign
from saccade.heads.files import save
from saccade.heads.projection import Projection
from saccade.picture import Picture
from saccade.training.projection import main
from tests import tiny

WIDTH, PATCH_PX = 24, 14


@pytest.fixture(scope="module")
def vit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.vit(tmp_path_factory.mktemp("vit"), WIDTH, PATCH_PX)


def test_a_cell_is_its_patches(vit: Path, qwen2_5_vl: Path, tmp_path: Path) -> None:
    """28-px cells are 2 x 2 patches of 14 px; against the ViT on the same pixels, patch by patch."""
    projection = Projection(4 * WIDTH, 128, 8)
    save(projection, tmp_path)
    page = Picture.open(tiny.page(140, 112))
    spec = HF(model=str(qwen2_5_vl), vit=str(vit), projection=str(tmp_path))
    with spec.open_encoder() as encoder:
        assert isinstance(encoder.family, Foreign) and encoder.family.side == 2
        prepared = encoder.prepare(page)
        (found,) = encoder.encode([prepared])
        rows, cols = found.grid.rows, found.grid.cols
        pixels = torch.from_numpy(page.rgb).permute(2, 0, 1)[None] / 255
        assert pixels.shape[-2:] == (rows * 28, cols * 28)
        alone = transformers.ViTModel.from_pretrained(vit, add_pooling_layer=False, attn_implementation="eager").eval()
        with torch.no_grad():
            out = alone((pixels - 0.5) / 0.5, interpolate_pos_encoding=True, output_attentions=True)
        states = out.last_hidden_state[0, 1:].view(2 * rows, 2 * cols, WIDTH)
        for row, col in ((0, 0), (1, 3), (rows - 1, cols - 1)):
            cell = states[2 * row : 2 * row + 2, 2 * col : 2 * col + 2].reshape(4, WIDTH)
            torch.testing.assert_close(found.features[row * cols + col], cell, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found.tokens[row * cols + col], projection(cell.flatten()), rtol=1e-4, atol=1e-5)
        heard = out.attentions[-1][0].mean((0, 1))[1:].view(rows, 2, cols, 2).sum((1, 3))
        torch.testing.assert_close(found.received.view(rows, cols), heard, rtol=1e-4, atol=1e-6)
        assert found.num_patches == 4 * rows * cols == encoder.family.whole_patches(page)


def test_a_projection_is_trained_and_read_through(vit: Path, qwen2_5_vl: Path, tmp_path: Path) -> None:
    given = ["--vit", str(vit), "--model", str(qwen2_5_vl), "--pages", "4", "--page-px", "256", "--steps", "80"]
    report = main([*given, "--read", "2", "--out", str(tmp_path)])
    assert report["trained"] < 0.9 * report["untrained"]
    assert list(report["answers"]) == ["the model's own tower", "untrained", "trained"]
    lines = (tmp_path / "curve.jsonl").read_text().splitlines()
    assert len(lines) == 80 and "held_out" in lines[0] and "held_out" in lines[-1]
    engine = {"name": "hf", "vit": str(vit), "projection": str(tmp_path)}
    page = tiny.page(300, 240)
    with saccade.load(str(qwen2_5_vl), engine=engine, fixations=1, budget={"name": "fixed", "tokens": 12}) as eye:
        assert eye.look(page, "What is it?").cost.visual_tok == 12
    with saccade.load(str(qwen2_5_vl), engine=engine) as eye:  # ink: a ViT takes whole pages
        trace = eye.look(page, "What is it?")
        assert trace.cost.visual_tok == len(trace.shown)


def test_what_does_not_fit_is_refused(vit: Path, qwen2_5_vl: Path, tmp_path: Path) -> None:
    save(Projection(7, 128), tmp_path)
    with pytest.raises(ConfigError, match="takes 7 features to 128 numbers; this ViT and language model need 96"):
        with HF(model=str(qwen2_5_vl), vit=str(vit), projection=str(tmp_path)).open_encoder():
            pass
    with pytest.raises(ConfigError, match="does not load as a ViT"):
        with HF(model=str(qwen2_5_vl), vit=str(tmp_path), projection=str(tmp_path)).open_encoder():
            pass
    with pytest.raises(ConfigError, match="vit and projection go together"):
        choose_engine({"name": "hf", "vit": str(vit)})


def test_two_engines_have_a_projection_each_and_the_checkpoints_card(
    vit: Path, qwen2_5_vl: Path, tmp_path: Path
) -> None:
    save(Projection(4 * WIDTH, 128), tmp_path)
    card = {"question_parts": "apart", "print_px": 9.0}
    spec = HF(model=str(qwen2_5_vl), vit=str(vit), projection=str(tmp_path), card=card)
    with spec.open_encoder() as encoder:
        assert (encoder.family.question_parts, encoder.family.print_px) == ("apart", 9.0)
        assert isinstance(encoder.family, Foreign)
        elsewhere = Foreign.trained(encoder.family.own, str(vit), str(tmp_path), torch.device("cpu:0"))
        assert elsewhere.projection is not encoder.family.projection, "moving the one would move the other"


def test_pickled_weights_are_not_loaded(vit: Path, qwen2_5_vl: Path, tmp_path: Path) -> None:
    """Also because two such ViTs of one configuration would have one fingerprint."""
    shutil.copy(vit / "config.json", tmp_path)
    torch.save(load_file(vit / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="does not load as a ViT"):
        main(["--vit", str(tmp_path), "--model", str(qwen2_5_vl), "--pages", "2", "--out", str(tmp_path / "out")])
