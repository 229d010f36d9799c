import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from store_photos import encode, paint_photo

from degrade.build.decode import decode_photo, measure_colorfulness, read_header
from degrade.errors import UnreadablePhoto


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_turns_photographs_upright(kind: str, orientation: int) -> None:
    """Every EXIF orientation in every format gives what Pillow makes of it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(paint_photo(1)).save(file, kind, exif=exif, quality=98)
    header = read_header(file.getvalue())
    assert header is not None
    assert header[:4] == (kind.lower(), 120, 90, orientation)
    upright = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    found = decode_photo(file.getvalue(), 48)
    assert found.shape == np.asarray(upright).shape
    assert np.abs(found.astype(int) - np.asarray(upright)).mean() < 2


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".bmp"])
def test_decode_tells_formats_by_content(suffix: str) -> None:
    """The photograph comes back, RGB, whatever it was encoded as."""
    photo = paint_photo(2)
    found = decode_photo(encode(photo, suffix), 48)
    assert np.abs(found.astype(int) - photo).mean() < 6


@pytest.mark.parametrize(("width_px", "factor"), [(191, 1), (192, 2), (384, 4), (768, 8)])
def test_decode_reduces_large_jpegs_only(width_px: int, factor: int) -> None:
    """A photograph four times as large as asked for is decoded at half its size, and so on."""
    photo = cv2.resize(paint_photo(3), (width_px, width_px))
    side = -(-width_px // factor)
    assert decode_photo(encode(photo), 48).shape == (side, side, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_decode_refuses_files_that_were_cut_off(suffix: str) -> None:
    """A file without its end is not decoded half."""
    data = encode(paint_photo(4), suffix)
    with pytest.raises(UnreadablePhoto):
        decode_photo(data[: len(data) * 2 // 3], 48)


def test_decode_takes_jpegs_with_something_behind_them() -> None:
    """Phones append films and depth maps, whatever bytes those hold; cut off is cut off still."""
    data = encode(paint_photo(4))
    tails = [b"\xff\xda", b"\xff\xd8\xff\xda\0\x08", bytes(range(256)) * 40 + b"\xff\xda"]
    for tail in tails:
        assert np.array_equal(decode_photo(data + tail, 48), decode_photo(data, 48))
    file = io.BytesIO()
    Image.fromarray(paint_photo(4)).save(file, "JPEG", progressive=True, quality=95)
    whole = file.getvalue()
    assert decode_photo(whole + b"\xff\xda", 48).shape == paint_photo(4).shape
    with pytest.raises(UnreadablePhoto, match="cut off"):
        decode_photo(whole[:-2], 48)


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff", b"II*\0", b"RIFF....WEBP"])
def test_decode_refuses_what_is_no_image(data: bytes) -> None:
    """Bytes that only begin like an image are refused too."""
    with pytest.raises(UnreadablePhoto):
        decode_photo(data, 48)


def test_colourfulness_of_grey_is_zero() -> None:
    """Equal channels have no colour."""
    grey = np.repeat(paint_photo(5)[..., :1], 3, axis=2)
    assert measure_colorfulness(grey) == 0


def test_colourfulness_follows_its_definition() -> None:
    """The figure is that of Hasler and Süsstrunk's M(3), worked out in floats."""
    photo = paint_photo(6, 80, 60)
    red, green, blue = (photo[..., c].astype(float) for c in range(3))
    rg, yb = red - green, (red + green) / 2 - blue
    expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
    assert measure_colorfulness(photo) == pytest.approx(expected)
