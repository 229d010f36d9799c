"""Decode clean photographs: upright RGB, by content, the same bytes in and the same pixels out.

OpenCV's own handling of EXIF orientation differs between its releases and between file formats,
so the orientation is read here and applied here.
"""

from __future__ import annotations

import math
import re
import struct
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from degrade.arrays import Photo
from degrade.errors import UnreadablePhoto

_REDUCED_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
# Those that stand alone left out, and what isn't one within a scan.
_JPEG_MARKER = re.compile(rb"\xff+[^\x00\x01\xff\xd0-\xd8]")
_JPEG_END = 0xD9
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
MIN_COLORFULNESS = 15.0
"""Photographs below this are grey or nearly: Hasler and Süsstrunk's "not colourful"."""
_ORIENTATION_TAG, _WIDTH_TAG, _HEIGHT_TAG = 0x0112, 0x0100, 0x0101


class Header(NamedTuple):
    """What the first bytes of a photograph say about it."""

    kind: str
    """jpeg, png, webp or tiff."""
    width_px: int
    """As stored, before the orientation is applied."""
    height_px: int
    orientation: int
    """EXIF orientation, 1 to 8."""
    orientation_at: int = 0
    """TIFF: where the orientation's two bytes stand, 0 if it has none."""


class _Tiff(NamedTuple):
    """The tags of a TIFF directory that matter here; EXIF blocks are TIFF files too."""

    width_px: int
    height_px: int
    orientation: int
    orientation_at: int


def read_header(data: bytes) -> Header | None:
    """Read a photograph's kind, size and orientation without decoding it.

    Args:
        data: A whole encoded photograph.

    Returns:
        The header, or None if the bytes are none of JPEG, PNG, WebP and TIFF or are damaged.
    """
    try:
        if data[:2] == b"\xff\xd8":
            return _read_jpeg(data)
        if data[:8] == b"\x89PNG\r\n\x1a\n":
            return _read_png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _read_webp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return Header("tiff", *_read_tiff(data))
    except (struct.error, IndexError):
        return None
    return None


def decode_photo(data: bytes, size_px: int) -> Photo:
    """Decode a photograph, upright, at a reduced scale where that loses nothing that counts.

    A JPEG whose short side is at least 4, 8 or 16 times ``size_px`` is decoded at a half, a
    quarter or an eighth of its size, which leaves twice the pixels asked for.

    Args:
        data: The encoded photograph, of any kind OpenCV can decode.
        size_px: The short side of the samples to be made of it.

    Returns:
        (H, W, 3) RGB.

    Raises:
        UnreadablePhoto: If it is empty, cut off or not an image; the message names no file.
    """
    if not data:
        raise UnreadablePhoto("empty")
    header = read_header(data)
    factor = 1
    if header is not None:
        _check_whole(data, header)
        if header.kind == "jpeg":
            side = min(header.width_px, header.height_px)
            factor = next((f for f in (8, 4, 2) if side >= 2 * f * size_px), 1)
        if header.orientation_at:
            # OpenCV turns TIFF files by itself, and 5.0 fails on those that aren't square.
            order = "<" if data[:1] == b"I" else ">"
            patched = bytearray(data)
            struct.pack_into(f"{order}H", patched, header.orientation_at, 1)
            data = bytes(patched)
    try:
        bgr = cv2.imdecode(
            np.frombuffer(data, np.uint8), _REDUCED_FLAGS[factor] | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error as error:  # too many pixels for OpenCV's limit
        raise UnreadablePhoto("not an image OpenCV can decode") from error
    if bgr is None:
        raise UnreadablePhoto("not an image OpenCV can decode")
    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return _turn_upright(rgb, header.orientation if header is not None else 1)  # type: ignore[arg-type]  # OpenCV's stubs forget the dtype


def measure_colorfulness(photo: Photo) -> float:
    """Measure how colourful a photograph is: 0 is grey, 15 slightly and 59 quite colourful.

    It looks at some 64 pixels of the short side; the figure is exact for those.

    Args:
        photo: (H, W, 3) RGB; left unchanged.

    Source:
        Hasler and Süsstrunk, Measuring colourfulness in natural images, 2003, M(3).
    """
    step = max(1, min(photo.shape[:2]) // 64)
    # Sums of integers below 2**53 are exact in float64, in whatever order they are taken.
    few = photo[::step, ::step].reshape(-1, 3)
    red, green, blue = (few[:, channel].astype(np.float64) for channel in range(3))
    rg_mean, rg_variance = _find_moments(red - green)
    yb_mean, yb_variance = _find_moments(red + green - 2 * blue)
    deviation = math.sqrt(rg_variance + yb_variance / 4)
    return deviation + 0.3 * math.sqrt(rg_mean * rg_mean + yb_mean * yb_mean / 4)


def _find_moments(values: NDArray[np.float64]) -> tuple[float, float]:
    total, squares, count = int(values.sum()), int((values * values).sum()), values.size
    return total / count, (squares * count - total * total) / (count * count)


def _turn_upright(photo: Photo, orientation: int) -> Photo:
    if orientation in (5, 6, 7, 8):
        photo = photo.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 6):
        across = orientation in (3, 6, 7)
        down = orientation in (3, 4, 7)
        photo = photo[:: -1 if down else 1, :: -1 if across else 1]
    elif orientation in (2, 8):
        photo = photo[:, ::-1] if orientation == 2 else photo[::-1]
    return np.ascontiguousarray(photo)


def _check_whole(data: bytes, header: Header) -> None:
    """Refuse files that were cut off: decoders fill the missing part with grey in silence."""
    if header.kind == "jpeg" and not _has_end(data):
        raise UnreadablePhoto("a JPEG that was cut off")
    if header.kind == "png" and data.rfind(b"IEND") < 0:
        raise UnreadablePhoto("a PNG that was cut off")


def _has_end(data: bytes) -> bool:
    """Whether a JPEG's first picture ends; what follows, as of moving pictures, doesn't count."""
    at = 2
    while found := _JPEG_MARKER.search(data, at):
        if data[found.end() - 1] == _JPEG_END:
            return True
        if found.end() + 2 > len(data):
            break
        (length,) = struct.unpack_from(">H", data, found.end())
        at = found.end() + length
    return False


def _read_jpeg(data: bytes) -> Header | None:
    at, orientation = 2, 1
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker in (0x01, *range(0xD0, 0xD9)):
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return Header("jpeg", width, height, orientation)
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _read_exif(data[at + 10 : at + 2 + length])
        at += 2 + length
    return None


def _read_png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    at, orientation = 8, 1
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"eXIf":
            orientation = _read_exif(data[at + 8 : at + 8 + length])
        if name in (b"eXIf", b"IEND"):
            break
        at += 12 + length
    return Header("png", width, height, orientation)


def _read_webp(data: bytes) -> Header:
    name = data[12:16]
    if name == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return Header("webp", width & 0x3FFF, height & 0x3FFF, 1)
    if name == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return Header("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 1)
    width = int.from_bytes(data[24:27], "little") + 1
    height = int.from_bytes(data[27:30], "little") + 1
    at, orientation = 12, 1
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"EXIF":
            orientation = _read_exif(data[at + 8 : at + 8 + length].removeprefix(b"Exif\0\0"))
        at += 8 + length + length % 2
    return Header("webp", width, height, orientation)


def _read_exif(block: bytes) -> int:
    try:
        return _read_tiff(block).orientation
    except (struct.error, IndexError):
        return 1  # a broken EXIF block says nothing, and the photograph is none the worse


def _read_tiff(data: bytes) -> _Tiff:
    order = "<" if data[:1] == b"I" else ">"
    (directory,) = struct.unpack_from(f"{order}I", data, 4)
    (num_tags,) = struct.unpack_from(f"{order}H", data, directory)
    width = height = orientation_at = 0
    orientation = 1
    for index in range(num_tags):
        at = directory + 2 + 12 * index
        tag, form = struct.unpack_from(f"{order}HH", data, at)
        if tag in (_WIDTH_TAG, _HEIGHT_TAG, _ORIENTATION_TAG):
            (value,) = struct.unpack_from(f"{order}{'I' if form == 4 else 'H'}", data, at + 8)
            if tag == _WIDTH_TAG:
                width = value
            elif tag == _HEIGHT_TAG:
                height = value
            elif 1 <= value <= 8:
                orientation, orientation_at = value, at + 8
    return _Tiff(width, height, orientation, orientation_at)
