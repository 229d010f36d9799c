"""Opening photographs: every format, upright, and nothing that isn't one."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from photo_zoo import (
    HEIGHT,
    WIDTH,
    ZOO,
    draw_grey,
    draw_photo,
    profile,
    write_pillow,
    write_tifffile,
)
from PIL import Image

from restore.errors import PhotoError
from restore.scan.photo import Photo
from restore.scan.profiles import read_profile


def _read(path: Path) -> np.ndarray:
    with Photo(path) as photo:
        return photo.open_rows()(0, photo.height)


@pytest.mark.parametrize("name", ZOO)
def test_photo_tells_size_bands_alpha_and_depth(name: str, tmp_path: Path) -> None:
    """Whatever the format, the photograph says what it holds."""
    write, num_bands, has_alpha, depth_bits = ZOO[name]
    write(tmp_path / name)
    with Photo(tmp_path / name) as photo:
        assert (photo.height, photo.width) == (HEIGHT, WIDTH)
        assert (photo.num_bands, photo.has_alpha, photo.depth_bits) == (
            num_bands,
            has_alpha,
            depth_bits,
        )
        rows = photo.open_rows()(0, HEIGHT)
    assert rows.shape == (HEIGHT, WIDTH, num_bands + has_alpha)
    assert rows.dtype.itemsize * 8 == depth_bits


@pytest.mark.parametrize("name", ["rgb.png", "rgb8.tiff", "rgb16.tif", "tiled16.tif", "big.tif"])
def test_photo_reads_the_very_samples(name: str, tmp_path: Path) -> None:
    """Lossless files give the values that were written."""
    write, _, _, depth_bits = ZOO[name]
    write(tmp_path / name)
    assert (_read(tmp_path / name) == draw_photo(deep=depth_bits == 16)).all()


def test_photo_reads_rows_in_pieces(tmp_path: Path) -> None:
    """Pieces of a photograph are the whole."""
    path = tmp_path / "photo.png"
    write_pillow("RGB")(path)
    with Photo(path) as photo:
        read = photo.open_rows()
        pieces = [read(0, 7), read(7, 8), read(8, HEIGHT)]
    assert (np.concatenate(pieces) == draw_photo()).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_photo_is_upright(orientation: int, suffix: str, tmp_path: Path) -> None:
    """Orientation is undone, as by EXIF's definition."""
    upright = draw_photo()
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    path = tmp_path / f"photo{suffix}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif)
    with Photo(path) as photo:
        assert (photo.height, photo.width) == upright.shape[:2]
        assert (photo.open_rows()(0, photo.height) == upright).all()
        assert (photo.reduced(photo.height, photo.width) == upright).all()


def test_large_turned_photo_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turned photograph that is too large for memory is kept in a private folder for a while."""
    monkeypatch.setattr("restore.scan.photo._MEMORY_BYTES", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(draw_photo()[::-1, ::-1]).save(tmp_path / "photo.png", exif=exif)
    with Photo(tmp_path / "photo.png") as photo:
        rows = photo.open_rows()(0, HEIGHT)
        (folder,) = (tmp_path / "temporary").iterdir()
        assert folder.stat().st_mode & 0o077 == 0
    assert (rows == draw_photo()).all()
    assert not list((tmp_path / "temporary").iterdir())


def test_several_pages_are_mentioned(tmp_path: Path) -> None:
    """Of a file with several pages the first is read, and the user is told."""
    path = tmp_path / "photo.tif"
    pages = [Image.fromarray(draw_photo()), Image.fromarray(255 - draw_photo())]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with Photo(path) as photo:
        assert "2 pages" in photo.notices[0]
    assert (_read(path) == draw_photo()).all()


@pytest.mark.parametrize(("name", "is_srgb"), [("srgb", True), ("adobe", False), ("p3", False)])
def test_profile_decides_the_colour_space(name: str, is_srgb: bool, tmp_path: Path) -> None:
    """Adobe RGB and Display P3 are understood; what looks like sRGB is sRGB."""
    path = tmp_path / "photo.png"
    write_pillow("RGB", icc_profile=profile(name))(path)
    with Photo(path) as photo:
        assert photo.space.is_srgb == is_srgb
        assert photo.icc == profile(name)


@pytest.mark.parametrize("name", ["adobe", "p3"])
def test_profile_is_undone_exactly(name: str) -> None:
    """16-bit samples come back from sRGB as they were, colours outside sRGB included."""
    space = read_profile(profile(name))
    assert space is not None
    samples = np.random.default_rng(0).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    back = space.from_srgb(space.to_srgb(samples), 3, samples.dtype)
    assert np.abs(back.astype(int) - samples).max() <= 24  # in the deepest shadows
    assert np.abs(back.astype(int) - samples).mean() < 0.1


@pytest.mark.parametrize("name", ["adobe", "p3"])
def test_profile_agrees_with_littlecms(name: str) -> None:
    """Our reading of a profile is that of the reference library."""
    from PIL import ImageCms

    space = read_profile(profile(name))
    assert space is not None
    samples = np.random.default_rng(0).integers(40, 216, (32, 32, 3)).astype(np.uint8)
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(_file(profile(name))),
        ImageCms.createProfile("sRGB"),
        "RGB",
        "RGB",
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    expected = np.asarray(ImageCms.applyTransform(Image.fromarray(samples), transform)).astype(int)
    ours = np.rint(space.to_srgb(samples).clip(0, 1) * 255)
    assert np.abs(ours - expected).max() <= 1


def test_grey_profile_is_applied(tmp_path: Path) -> None:
    """Grey with gamma 1.8 isn't taken for grey with sRGB's curve."""
    path = tmp_path / "photo.png"
    Image.fromarray(draw_grey()).save(path, icc_profile=profile("grey"))
    with Photo(path) as photo:
        srgb = photo.space.to_srgb(photo.open_rows()(0, HEIGHT))
    expected = (draw_grey() / 255) ** (461 / 256)
    expected = np.where(
        expected <= 0.0031308, 12.92 * expected, 1.055 * expected ** (1 / 2.4) - 0.055
    )
    assert np.abs(srgb[..., 0] - expected).max() < 1e-3


@pytest.mark.parametrize("broken", [b"", b"x" * 300, b"RGB " * 100])
def test_broken_profile_is_left_out(broken: bytes, tmp_path: Path) -> None:
    """A profile that is none doesn't stop a photograph."""
    path = tmp_path / "photo.tif"
    write_tifffile(draw_photo(), photometric="rgb", iccprofile=broken or b"\0")(path)
    with Photo(path) as photo:
        assert photo.icc is None
        assert (photo.open_rows()(0, HEIGHT) == draw_photo()).all()


def test_wrong_suffix_is_refused(tmp_path: Path) -> None:
    """A file that isn't what its name says is named as what it is."""
    Image.fromarray(draw_photo()).save(tmp_path / "photo.jpg", format="PNG")
    with pytest.raises(PhotoError, match="is PNG inside, not JPEG"):
        Photo(tmp_path / "photo.jpg")


@pytest.mark.parametrize("name", ["rgb.jpeg", "rgb.png", "deflate16.tif", "rgb.webp", "rgb.avif"])
@pytest.mark.parametrize("part", [0.0, 0.05, 0.5, 0.9])
def test_truncated_photo_is_refused(name: str, part: float, tmp_path: Path) -> None:
    """Half a file is an error, not half a photograph."""
    path = tmp_path / name
    ZOO[name][0](path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(PhotoError) as caught:
        _read(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_special_files_are_refused(tmp_path: Path) -> None:
    """A pipe, a device, a folder, a link loop and nothing are refused without waiting."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "dangling.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty.jpg").touch()
    for name, reason in {
        "pipe.jpg": "special file",
        "loop.jpg": "loop",
        "dangling.jpg": "no such file",
        "missing.jpg": "no such file",
        "folder.jpg": "folder",
        "empty.jpg": "empty",
        "/dev/zero": "special file",
    }.items():
        with pytest.raises(PhotoError, match=reason):
            Photo(tmp_path / name)


def _png_header(width: int, height: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100_000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("width", "height"), [(30_000, 30_000), (2_000_000, 10), (100_000, 50_000)]
)
def test_bombs_are_refused(width: int, height: int, tmp_path: Path) -> None:
    """A few bytes that claim to be a gigapixel are refused before anything is decoded."""
    (tmp_path / "bomb.png").write_bytes(_png_header(width, height))
    with pytest.raises(PhotoError):
        Photo(tmp_path / "bomb.png")


def test_float_samples_are_refused(tmp_path: Path) -> None:
    """Samples that aren't 8 or 16 bits are refused with a remedy."""
    write_tifffile(draw_photo().astype(np.float32), photometric="rgb")(tmp_path / "photo.tif")
    with pytest.raises(PhotoError, match="8 or 16 bits"):
        Photo(tmp_path / "photo.tif")


@given(name=st.sampled_from(sorted(ZOO)), data=st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_bytes_give_a_photo_or_a_photo_error(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    """No damage to a file gets past the reader as another exception."""
    path = tmp_path / name
    ZOO[name][0](path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, min(len(content) - 1, 600)))
        content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    message = ""
    try:
        with Photo(path) as photo:
            photo.open_rows()(0, min(photo.height, 64))
    except PhotoError as error:
        message = str(error)
    assert "\n" not in message


def _file(content: bytes) -> object:
    import io

    return io.BytesIO(content)
