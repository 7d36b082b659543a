"""Greys and colours of any number of bits: a white page stays white, a black one black, and nothing wraps."""

import cv2
import numpy as np
import pytest
from PIL import Image

from saccade.decoding.levels import SAMPLE_PX, to_8_bits
from saccade.picture import Picture
from tests.broken_images import encoded
from tests.decoding.handmade import png, tiff

PAGE = np.full((60, 80), 255, np.uint8)
PAGE[10:14, 5:60] = 0
PAGE[30:33, 5:60] = 96


def close(found: np.ndarray, expected: np.ndarray = PAGE, most: int = 1) -> bool:
    """Whether grey levels are the expected ones up to rounding."""
    grey = found if found.ndim == 2 else found[..., 0]
    return bool(np.abs(grey.astype(int) - expected).max() <= most)


@pytest.mark.parametrize("bits", [8, 9, 10, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.uint32, np.int64])
def test_integers_that_use_some_of_their_bits(bits: int, dtype: type) -> None:
    values = PAGE.astype(dtype) << (bits - 8)
    assert close(to_8_bits(values))


@pytest.mark.parametrize("white", [1, 3, 100, 765, 1000, 4000, 32_767, 70_000, 10**6, 2**31 - 1])
def test_integers_of_any_range(white: int) -> None:
    values = np.rint(PAGE / 255 * white).astype(np.int64)
    assert close(to_8_bits(values), most=128 if white == 1 else 44 if white == 3 else 2)


@pytest.mark.parametrize("white", [1e-30, 0.001, 0.3, 1.0, 2.0, 100.0, 255.0, 1000.0, 65_535.0, 1e9, 1e30])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_any_range(white: float, dtype: type) -> None:
    if dtype is np.float16 and not 1e-3 <= white <= 60_000:
        pytest.skip("float16 holds no such number")
    assert close(to_8_bits((PAGE / 255 * white).astype(dtype)))


@pytest.mark.parametrize(("black", "white"), [(-1.0, 1.0), (-1024, 3071), (-100, -3), (-32_768, 32_767)])
def test_black_may_be_below_zero(black: float, white: float) -> None:
    values = PAGE / 255 * (white - black) + black
    assert close(to_8_bits(values)) and close(to_8_bits(np.rint(values * 8).astype(np.int32)), most=2)


def test_a_little_below_zero_is_rounding_and_not_black() -> None:
    values = PAGE / 255
    values[20, 20:70] = -0.01
    assert close(to_8_bits(values)[:15], PAGE[:15])


def test_16_bits_in_use_keep_their_upper_8() -> None:
    values = np.arange(33_000, dtype=np.uint16).reshape(100, 330)
    np.testing.assert_array_equal(to_8_bits(values), (values >> 8).astype(np.uint8))


def test_stuck_pixels_do_not_decide() -> None:
    large = np.tile(PAGE, (5, 5))
    for dtype, stuck in ((np.uint16, 65_535), (np.float32, np.inf), (np.float32, 1e30), (np.float32, np.nan)):
        values = large.astype(dtype) * 16
        values[7, 7] = stuck
        found = to_8_bits(values).astype(int)
        found[7, 7] = large[7, 7]
        assert np.abs(found - large).max() <= 1


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_pages_without_contrast(dtype: type) -> None:
    assert to_8_bits(np.zeros((9, 9), dtype)).max() == 0
    assert to_8_bits(np.full((9, 9), 4095, dtype)).min() == 255  # an empty page
    assert to_8_bits(np.full((9, 9), np.nan, np.float32)).max() == 0


def test_a_large_image_is_judged_by_a_sample() -> None:
    values = np.zeros((3000, 3000), np.uint16)
    values[:, 1500:] = 4095
    assert values.size > SAMPLE_PX and to_8_bits(values)[0, -1] == 255


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "JPEG2000"])
@pytest.mark.parametrize("shift", [2, 4, 6, 8])
def test_greys_in_16_bits_of_every_format(kind: str, shift: int) -> None:
    data = encoded(Image.fromarray(PAGE.astype(np.uint16) << shift), kind)
    assert close(Picture.open(data).rgb) and Picture.open(data, limit_px=1200).rgb.max() == 255


@pytest.mark.parametrize("kind", [".png", ".tiff", ".jp2"])
@pytest.mark.parametrize("shift", [0, 2, 4, 6, 8])
def test_colours_in_16_bits_of_every_format(kind: str, shift: int) -> None:
    rgb = np.dstack([PAGE, np.flipud(PAGE), PAGE])
    done, data = cv2.imencode(kind, rgb[..., ::-1].astype(np.uint16) << shift)
    assert done
    found = Picture.open(data.tobytes()).rgb
    assert np.abs(found.astype(int) - rgb).max() <= 2


def test_transparent_colours_in_16_bits() -> None:
    alpha = np.zeros_like(PAGE)
    alpha[5:40] = 255
    bgra = np.dstack([PAGE.astype(np.uint16) << 4] * 3 + [alpha.astype(np.uint16) * 257])
    found = Picture.open(cv2.imencode(".png", bgra)[1].tobytes()).rgb
    assert found[12, 30].max() == 0 and found[31, 30].max() == 96


def test_a_dark_picture_of_8_bits_is_dark() -> None:
    dark = np.dstack([PAGE // 16] * 3)
    np.testing.assert_array_equal(Picture.open(encoded(Image.fromarray(dark))).rgb, dark)


def test_a_tiff_in_which_0_is_white() -> None:
    for values in (PAGE.astype(np.uint16) << 4, PAGE.astype(np.float32)):
        data = encoded(
            Image.fromarray(255 * (16 if values.dtype == np.uint16 else 1) - values), "TIFF", tiffinfo={262: 0}
        )
        assert close(Picture.open(data).rgb)


def test_32_bits_without_a_sign_do_not_wrap() -> None:
    values = PAGE.astype("<u4") << 24
    assert close(Picture.open(tiff(80, 60, 32, values.tobytes())).rgb)


@pytest.mark.parametrize("channels", [1, 3])
def test_float_tiffs_of_scanners(channels: int) -> None:
    values = np.dstack([PAGE / 255] * channels).astype(np.float32)
    data = cv2.imencode(".tiff", values, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes()
    assert close(Picture.open(data).rgb) and Picture.open(data).size_px == (80, 60)


def test_12_bits_packed() -> None:
    """Two pixels in three bytes."""
    packed = bytearray()
    for left, right in (PAGE.astype(int) * 16).reshape(-1, 2):
        packed += bytes([left >> 4, (left & 15) << 4 | right >> 8, right & 255])
    assert close(Picture.open(tiff(80, 60, 12, bytes(packed))).rgb)


def test_png_of_grey_and_alpha_in_16_bits() -> None:
    pairs = np.dstack([PAGE.astype(">u2") * 16, np.full(PAGE.shape, 65_535, ">u2")]).astype(">u2")
    assert close(Picture.open(png(80, 60, 16, 4, b"".join(b"\0" + line.tobytes() for line in pairs))).rgb)
