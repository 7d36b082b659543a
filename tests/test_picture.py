"""Decoding: what must be read is read right, what cannot says why, and nothing is read too early or too large."""

import contextlib
import io
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from saccade.errors import ConfigError, PictureError
from saccade.picture import Picture, resized, suffixes
from tests import broken_images
from tests.broken_images import encoded, page, png_header


def close(rgb: np.ndarray, image: Image.Image, most: float = 3.0) -> bool:
    """Whether pixels equal an image up to the mean error of a lossy format."""
    expected = np.asarray(image.convert("RGB"))
    return rgb.shape == expected.shape and float(np.abs(rgb.astype(float) - expected).mean()) < most


def test_the_folder_of_horrors(tmp_path: Path) -> None:
    for name, reason in broken_images.make(tmp_path).items():
        picture = Picture.open(tmp_path / name)
        if reason is None:
            assert picture.rgb.dtype == np.uint8 and picture.rgb.shape == (*picture.size_px[::-1], 3), name
        else:
            with pytest.raises(PictureError) as caught:
                _ = picture.rgb
            assert reason in str(caught.value), name


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    picture = Picture.open(tmp_path / "missing.png")
    with pytest.raises(PictureError, match="cannot read the image file '.*missing.png': No such file or directory"):
        _ = picture.size_px


def test_a_bomb_is_refused_by_its_header_without_memory() -> None:
    code = (
        "from saccade.picture import Picture\nfrom tests.broken_images import png_header\n"
        "from tests.resident import resident_mib\n"
        "bombs = [png_header(60_000, 60_000), png_header(12_000, 12_000, rows=12_000)]\n"
        "before = resident_mib('VmRSS')\n"
        "for bomb in bombs:\n"
        "    try: Picture.open(bomb).rgb\n"
        "    except Exception as error: print(type(error).__name__)\n"
        "print(resident_mib('VmHWM') - before < 60)\n"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["PictureError", "PictureError", "True"]


def test_size_comes_from_the_header_alone() -> None:
    jpeg = encoded(page(640, 480), "JPEG")
    assert Picture.open(jpeg[: len(jpeg) // 2]).size_px == (640, 480)  # half of the pixels are missing


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_applied_to_size_and_pixels(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Picture.open(encoded(page(), kind, exif=exif))
    stored = np.asarray(page())
    expected = {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: np.rot90(stored, -1),  # the camera was turned: the picture stands after a clockwise quarter
        7: np.rot90(stored.transpose(1, 0, 2), 2),
        8: np.rot90(stored),
    }.get(orientation, stored)  # 0 and 9 are none
    assert close(picture.rgb, Image.fromarray(np.ascontiguousarray(expected)))
    assert picture.size_px == expected.shape[1::-1]


def test_a_broken_exif_block_does_not_cost_the_image() -> None:
    assert close(Picture.open(encoded(page(), "JPEG", exif=b"Exif\0\0garbage")).rgb, page())


def test_cmyk_jpeg_keeps_its_colours() -> None:
    assert close(Picture.open(encoded(page().convert("CMYK"), "JPEG", quality=95)).rgb, page())


def test_16_bits_keep_the_upper_8() -> None:
    grey = np.arange(48 * 64, dtype=np.uint16).reshape(48, 64) * 21
    picture = Picture.open(encoded(Image.fromarray(grey)))
    np.testing.assert_array_equal(picture.rgb, np.repeat((grey >> 8).astype(np.uint8)[..., None], 3, -1))


def test_transparency_is_laid_on_white() -> None:
    rgba = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    rgba.putpixel((1, 2), (255, 0, 0, 255))
    palette = rgba.quantize(4)
    for image in (rgba, palette):
        rgb = Picture.open(encoded(image)).rgb
        assert rgb[0, 0].tolist() == [255, 255, 255] and rgb[2, 1].tolist() == [255, 0, 0], image.mode
    grey = Image.merge("LA", [Image.new("L", (2, 2), 0), Image.new("L", (2, 2), 0)])
    assert Picture.open(encoded(grey)).rgb.min() == 255


def test_transparency_and_orientation_together() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert Picture.open(encoded(page(4, 8).convert("RGBA"), exif=exif)).rgb.shape == (4, 8, 3)


def test_an_animation_is_its_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    gif = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Picture.open(gif).rgb[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_truncated_file_is_an_error_in_every_format(kind: str) -> None:
    whole = encoded(page(200, 200), kind)
    with pytest.raises(PictureError):
        _ = Picture.open(whole[: len(whole) // 2]).rgb


def test_truncated_files_are_not_patched_up() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_programs_are_never_started_for_an_image() -> None:
    with pytest.raises(PictureError, match="not an image"):
        _ = Picture.open(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n").size_px


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("limit_px", [300, 999, 100_000, 307_199, 307_200])
def test_decoding_reduces_by_a_whole_factor_and_never_below_the_limit(kind: str, limit_px: int) -> None:
    picture = Picture.open(encoded(page(640, 480), kind), limit_px)
    height, width, _ = picture.rgb.shape
    assert limit_px <= width * height <= 640 * 480 and picture.size_px == (640, 480)
    assert width * height < 4 * max(limit_px, 2) or limit_px > 640 * 480 // 4
    assert 640 / width == pytest.approx(round(640 / width), rel=0.02)
    smaller = page(640, 480).resize((width, height), Image.Resampling.BOX)
    assert close(picture.rgb, smaller, most=4.0)


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGBA", "I;16"])
def test_every_mode_is_reduced(mode: str) -> None:
    grey = page(64, 64).convert("L")
    image = Image.fromarray(np.asarray(grey).astype(np.uint16) << 8) if mode == "I;16" else grey.convert(mode)
    assert Picture.open(encoded(image), limit_px=256).rgb.shape == (16, 16, 3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_extreme_shapes(kind: str) -> None:
    assert Picture.open(encoded(page(1, 5000), kind)).rgb.shape == (5000, 1, 3)
    height, width, _ = Picture.open(encoded(page(1, 5000), kind), limit_px=1000).rgb.shape
    assert 1000 <= width * height <= 2500
    assert Picture.open(encoded(page(1, 1), kind), limit_px=1).rgb.shape == (1, 1, 3)


def test_a_limit_below_one_pixel_is_a_setting_that_is_wrong() -> None:
    with pytest.raises(ConfigError, match="limit_px = 0 must be at least 1"):
        Picture.open(b"", limit_px=0)


def test_arrays_are_pictures_and_reduce_as_well() -> None:
    pixels = np.asarray(page()).copy()
    picture = Picture.open(pixels)
    assert picture.rgb is pixels and picture.size_px == (64, 48)
    assert Picture.open(pixels, limit_px=64 * 48 // 4).rgb.shape == (24, 32, 3)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.zeros((4, 4), np.uint8), r"got \(4, 4\) uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"got \(4, 4, 4\) uint8"),
        (np.zeros((4, 4, 3), np.float32), r"got \(4, 4, 3\) float32"),
        (np.zeros((0, 4, 3), np.uint8), r"got \(0, 4, 3\) uint8"),
    ],
)
def test_a_wrong_array_is_refused_when_it_is_opened(array: np.ndarray, said: str) -> None:
    with pytest.raises(PictureError, match=rf"must be \(height, width, 3\) uint8 with at least one pixel; {said}"):
        Picture.open(array)


def test_other_sources_are_refused() -> None:
    with pytest.raises(PictureError, match="opened from encoded bytes, a path, .* got NoneType"):
        Picture.open(None)  # type: ignore[arg-type]


def test_an_open_pillow_image_is_a_picture() -> None:
    assert close(Picture.open(Image.open(io.BytesIO(encoded(page())))).rgb, page(), most=0.1)


@pytest.mark.parametrize("path", ["/dev/zero", "."])
def test_devices_and_folders_are_not_read(path: str) -> None:
    with pytest.raises(PictureError, match="is not a file"):
        _ = Picture.open(Path(path)).data


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(1 << 30)  # sparse: takes no disk
    with pytest.raises(PictureError, match="has 1,073,741,824 bytes; at most 536,870,912 are read"):
        _ = Picture.open(path).data


def test_equal_content_is_an_equal_hash_and_pixels_do_not_travel(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(page()))
    picture = Picture.open(tmp_path / "a.png", limit_px=500)
    assert picture.sha256 == Picture.open(encoded(page())).sha256 != Picture.open(encoded(page(9, 9))).sha256
    _ = picture.rgb
    travelled = pickle.dumps(picture)
    assert len(travelled) < 500
    np.testing.assert_array_equal(pickle.loads(travelled).rgb, picture.rgb)
    assert pickle.loads(travelled).limit_px == 500


def test_arrays_of_other_shape_are_other_pictures() -> None:
    assert Picture.open(np.zeros((2, 8, 3), np.uint8)).sha256 != Picture.open(np.zeros((8, 2, 3), np.uint8)).sha256


def test_pixels_may_become_tensors() -> None:
    assert Picture.open(encoded(page())).rgb.flags.writeable  # torch warns of arrays that are not
    assert resized(Picture.open(encoded(page())).rgb, 10, 10).flags.writeable


def test_a_large_image_below_the_limit_does_not_warn() -> None:
    assert Picture.open(png_header(10_000, 10_000)).size_px == (10_000, 10_000)  # Pillow warns at 89 million pixels


def test_resized_is_pillows_bicubic_and_keeps_what_fits() -> None:
    rgb = np.asarray(page())
    assert resized(rgb, 64, 48) is rgb
    expected = page().resize((20, 10), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resized(rgb, 20, 10), np.asarray(expected))


def test_suffixes_are_those_of_the_formats_that_are_read() -> None:
    assert {".png", ".jpg", ".jpeg", ".gif", ".tif", ".tiff", ".webp", ".bmp", ".jp2", ".pdf"} <= suffixes()
    assert not {".eps", ".txt", ".mpg", ".h5", ".json"} & suffixes()


def test_whatever_is_wrong_with_the_bytes_is_a_picture_error() -> None:
    """600 damaged files: each is decoded or refused; nothing else is raised (6,000 were tried once)."""
    chance = random.Random(0)
    whole = [encoded(page(), kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "JPEG2000", "PPM", "ICO")]
    for _ in range(600):
        damaged = bytearray(chance.choice(whole))
        for _ in range(chance.randint(1, 8)):
            damaged[chance.randrange(min(len(damaged), chance.choice((40, 400, 10_000))))] = chance.randrange(256)
        with contextlib.suppress(PictureError):
            assert Picture.open(bytes(damaged), chance.choice((None, 50))).rgb.shape[2] == 3


def test_an_image_opened_again_is_not_read_again() -> None:
    """Families open what they are given under their own limit, several times per page."""
    reads = []
    drawn = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)

    def read() -> bytes:
        reads.append(1)
        return encoded(Image.fromarray(drawn))

    picture = Picture(read)
    assert Picture.open(picture, limit_px=1000) is Picture.open(picture, limit_px=1000)
    reduced = Picture.open(picture, limit_px=1000)
    assert reduced.rgb.shape == (64, 48, 3), "a whole factor would go below the limit"
    assert np.array_equal(picture.rgb, drawn) and len(reads) == 2, "the limit's and the whole one's"
    assert Picture.open(picture, limit_px=64 * 48) is picture, "nothing to reduce"
    assert Picture.open(picture, limit_px=1000).rgb is reduced.rgb and len(reads) == 2
    assert Picture.open(picture, limit_px=2000).rgb.size and len(reads) == 2, "what was read is handed on"
