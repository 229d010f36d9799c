"""What can't be read is told from what is damaged: what it is, and what to do."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import pyvips
from photo_zoo import draw_photo, write_pillow
from PIL import Image

from restore.errors import PhotoError
from restore.scan.formats import name_unsupported
from restore.scan.opening import as_photo_error
from restore.scan.photo import Photo


def _reason(path: Path) -> str:
    with pytest.raises(PhotoError) as caught, Photo(path) as photo:
        photo.open_rows()(0, photo.height)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def write_tiff(path: Path, tags: dict[int, tuple[int, list[int]]], data: bytes) -> None:
    """A little-endian TIFF file of one strip: tags by number, each with its type and values."""
    forms = {1: "B", 3: "H", 4: "I", 7: "B"}
    size = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags = tags | {273: (4, [0]), 279: (4, [len(data)])}
    values = {n: struct.pack(f"<{len(v)}{forms[k]}", *v) for n, (k, v) in tags.items()}
    strip = size + sum(len(v) for v in values.values() if len(v) > 4)
    values[273] = struct.pack("<I", strip)
    table, extra = struct.pack("<H", len(tags)), b""
    for number in sorted(tags):
        value = values[number]
        if len(value) > 4:
            value, extra = struct.pack("<I", size + len(extra)), extra + value
        kind, numbers = tags[number]
        table += struct.pack("<HHI", number, kind, len(numbers)) + value.ljust(4, b"\0")
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + table + bytes(4) + extra + data)


def _grey_tags(bits: int, compression: int, photometric: int = 1) -> dict[int, tuple[int, list]]:
    return {
        **{256: (3, [32]), 257: (3, [16]), 258: (3, [bits]), 259: (3, [compression])},
        **{262: (3, [photometric]), 277: (3, [1]), 278: (3, [16])},
    }


@pytest.mark.parametrize(
    ("compression", "name"),
    [
        *((6, "old-style JPEG inside TIFF"), (50000, "ZSTD"), (34925, "LZMA"), (34887, "LERC")),
        *((34712, "JPEG 2000 compression"), (22610, "JPEG XR"), (50002, "JPEG XL")),
    ],
)
def test_unknown_compression_of_tiff_is_named(compression: int, name: str, tmp_path: Path) -> None:
    """With the way out, and without "damaged"."""
    write_tiff(tmp_path / "a.tif", _grey_tags(8, compression), bytes(512))
    reason = _reason(tmp_path / "a.tif")
    assert name in reason
    assert "save it again" in reason
    assert "damaged" not in reason


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_odd_depth_of_tiff_is_named(bits: int, tmp_path: Path) -> None:
    """Samples that don't fill bytes."""
    write_tiff(tmp_path / "a.tif", _grey_tags(bits, 1), bytes(2048))
    assert f"{bits} bits" in _reason(tmp_path / "a.tif")


def test_raw_file_of_a_camera_is_named(tmp_path: Path) -> None:
    """TIFF inside, but its pixels are a mosaic."""
    write_tiff(tmp_path / "a.dng", _grey_tags(16, 1, 32803), bytes(2048))
    assert "raw converter" in _reason(tmp_path / "a.dng")


def test_broken_pixels_of_a_known_compression_are_damage(tmp_path: Path) -> None:
    """The opposite: what is supported and broken is called damaged."""
    write_tiff(tmp_path / "a.tif", _grey_tags(8, 8), b"no deflate" * 20)
    assert "damaged" in _reason(tmp_path / "a.tif")


def test_heic_without_decoder_is_named(tmp_path: Path) -> None:
    """An AVIF file that calls its picture HEVC is what such a file looks like from outside."""
    write_pillow("RGB")(tmp_path / "a.avif")
    content = (tmp_path / "a.avif").read_bytes()
    content = content.replace(b"ftypavif", b"ftypheic").replace(b"av01", b"hvc1")
    (tmp_path / "a.heic").write_bytes(content.replace(b"av1C", b"hvcC"))
    reason = name_unsupported(tmp_path / "a.heic", "heif")
    assert reason is not None
    assert reason.startswith("HEIC can't be decoded by this installation; convert it")
    lacking = pyvips.Error("heif: Error while loading plugin: Support has not been built in: HEVC")
    damaged = pyvips.Error("heif: Invalid input: No hvcC box")
    for error, said in ((lacking, "HEIC can't be decoded"), (damaged, "damaged")):
        with pytest.raises(PhotoError, match=said), as_photo_error(tmp_path / "a.heic", "heif"):
            raise error


def _patch_frame(path: Path, marker: int | None, bits: int) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"\xff\xc0")
    if marker is not None:
        content[place + 1] = marker
    content[place + 4] = bits
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("marker", "bits", "name"), [(0xC1, 12, "JPEG of 12 bits"), (0xC3, 8, "lossless JPEG")]
)
def test_unknown_process_of_jpeg_is_named(
    marker: int, bits: int, name: str, tmp_path: Path
) -> None:
    """12 bits, and without loss."""
    Image.fromarray(draw_photo()).save(tmp_path / "a.jpg")
    _patch_frame(tmp_path / "a.jpg", marker, bits)
    assert name in _reason(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("name", "head", "said"),
    [
        ("a.psd", b"8BPS\0\1" + bytes(40), "Photoshop document"),
        ("a.jxl", b"\xff\x0a" + bytes(40), "JPEG XL"),
        ("a.pdf", b"%PDF-1.4\n", "PDF"),
        ("a.cr3", b"\0\0\0\x18ftypcrx " + bytes(40), "raw file"),
        ("a.mov", b"\0\0\0\x14ftypqt  " + bytes(40), "film"),
        ("a.pgm", b"P5\n4 4\n255\n" + bytes(16), "PNM"),
        ("a.svg", b'<?xml version="1.0"?><svg/>', "SVG"),
        ("a.zip", b"PK\3\4" + bytes(40), "archive"),
        ("a.jpg", b"8BPS\0\1" + bytes(40), "Photoshop document"),
    ],
)
def test_other_formats_are_named(name: str, head: bytes, said: str, tmp_path: Path) -> None:
    """By content, whatever the suffix, with what to do."""
    (tmp_path / name).write_bytes(head)
    reason = _reason(tmp_path / name)
    assert said in reason
    assert "first" in reason


def test_png_in_bmp_is_named(tmp_path: Path) -> None:
    """A BMP file may hold PNG, which isn't damage."""
    head = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, 24, 5, 0, 0, 0, 0, 0)
    content = b"BM" + struct.pack("<IHHI", 100, 0, 0, 54) + head + bytes(100)
    (tmp_path / "a.bmp").write_bytes(content)
    assert "PNG inside BMP" in _reason(tmp_path / "a.bmp")


def test_truncated_bmp_is_damaged(tmp_path: Path) -> None:
    """OpenCV would fill the rest with black."""
    Image.fromarray(np.ascontiguousarray(draw_photo())).save(tmp_path / "a.bmp")
    content = (tmp_path / "a.bmp").read_bytes()
    (tmp_path / "a.bmp").write_bytes(content[: len(content) // 2])
    assert "damaged" in _reason(tmp_path / "a.bmp")
