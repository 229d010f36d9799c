"""Open a file's pixels with the library that understands them: libvips, or OpenCV.

libvips decodes rows as they are asked for. BMP and JPEG 2000, which its wheel doesn't read, are
decoded by OpenCV, into memory.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, BinaryIO

import cv2
import numpy as np
import pyvips
from numpy.typing import NDArray

from restore.errors import PhotoError
from restore.scan.metadata.directories import DirectoryReader
from restore.scan.metadata.jp2 import read_jp2_header
from restore.scan.opening import open_file

_MAX_DECODED_PIXELS = 500_000_000
_PHOTOMETRIC = 262


def load_vips(path: Path, file_format: str, **options: Any) -> pyvips.Image:
    """Open with libvips; options are those of its loader."""
    with open_file(path) as file:
        source = pyvips.Source.new_from_descriptor(file.fileno())  # keeps a duplicate
        load = getattr(pyvips.Image, f"{file_format}load_source")
        return load(source, access="sequential", fail_on="error", **options)


def load_as_rgb(path: Path, page: int) -> pyvips.Image:
    """Open a TIFF file's page as if its three samples were RGB: libvips knows not every Lab.

    The file is held in memory.
    """
    with open_file(path) as file:
        place, order = _photometric_place(file, page)
        file.seek(0)
        data = bytearray(file.read())
    struct.pack_into(order + "H", data, place, 2)
    return pyvips.Image.tiffload_buffer(
        bytes(data), access="sequential", fail_on="error", page=page
    )


def _photometric_place(file: BinaryIO, page: int) -> tuple[int, str]:
    """Where a page's directory says what its samples are, and the file's byte order."""
    reader = DirectoryReader(file)
    start = reader.page_offsets()[page]
    count_size, entry_size = (8, 20) if reader.big else (2, 12)
    file.seek(start)
    raw = file.read(count_size)
    (num,) = struct.unpack(reader.order + ("Q" if reader.big else "H"), raw)
    for i in range(min(num, 4096)):
        place = start + count_size + i * entry_size
        file.seek(place)
        if struct.unpack(reader.order + "H", file.read(2))[0] == _PHOTOMETRIC:
            return place + (12 if reader.big else 8), reader.order
    raise ValueError("no photometric interpretation")


def lab_to_rgb(image: pyvips.Image, photometric: int, *, deep: bool) -> pyvips.Image:
    """TIFF's Lab samples, opened as if they were RGB, to sRGB.

    Args:
        image: Three bands.
        photometric: 8 CIELab (a and b signed), 9 ICCLab (offset by half), 10 ITULab.
        deep: 16 bits, else 8.

    Source:
        TIFF 6.0, section 23; Adobe Photoshop TIFF Technical Notes, "ICC L*a*b*"; RFC 3949, 5.2.3.
    """
    top = 65535 if deep else 255
    step = 256 if deep else 1
    image = image.cast("float")
    lightness, a, b = image[0], image[1], image[2]
    if photometric == 10:
        lightness = lightness * (100 / top)
        a, b = a * (170 / top) - 85, b * (200 / top) - 75
    elif photometric == 9:
        lightness = lightness * (100 / (65280 if deep else 255))
        a, b = a / step - 128, b / step - 128
    else:
        lightness = lightness * (100 / top)
        half = (top + 1) // 2
        a, b = ((c > half - 1).ifthenelse(c - (top + 1), c) / step for c in (a, b))
    lab = lightness.bandjoin([a, b]).copy(interpretation="lab")
    return lab.colourspace("rgb16" if deep else "srgb")


def load_bmp(path: Path) -> pyvips.Image:
    """Open a BMP file.

    Raises:
        PhotoError: If it is damaged or of a kind that isn't decoded.
    """
    with open_file(path) as file:
        head = file.read(138)
        (size,) = struct.unpack_from("<I", head, 14)
        if len(head) < 14 + min(size, 124):
            raise PhotoError(f"{path}: damaged or not readable (its header ends early)")
        compression, x_metre, y_metre = 0, 0, 0
        if size < 16:
            width, height, _, bits = struct.unpack_from("<HHHH", head, 18)
        else:
            width, height, _, bits = struct.unpack_from("<iiHH", head, 18)
            if size >= 40:
                compression, _, x_metre, y_metre = struct.unpack_from("<IIii", head, 30)
        if compression in (4, 5):
            kind = "JPEG" if compression == 4 else "PNG"
            raise PhotoError(f"{path}: {kind} inside BMP, which can't be decoded; convert it first")
        width, height = abs(width), abs(height)
        _check_decoded(path, width, height)
        num_bytes = file.seek(0, 2)
        (start,) = struct.unpack_from("<I", head, 10)
        if compression in (0, 3, 6) and num_bytes < start + (width * bits + 31) // 32 * 4 * height:
            raise PhotoError(f"{path}: damaged or not readable (pixels are missing)")
        file.seek(0)
        # OpenCV takes every file with the old header of OS/2 for grey.
        is_old = size < 40
        samples = _decode(path, file.read(), cv2.IMREAD_COLOR if is_old else cv2.IMREAD_UNCHANGED)
        if is_old and (samples == samples[..., :1]).all():
            samples = samples[..., :1]
        has_alpha = size >= 56 and len(head) >= 70 and any(head[66:70])
        if samples.shape[2] == 4 and not (has_alpha and samples[..., 3].any()):
            samples = samples[..., :3]
        image = _to_image(samples)
        if x_metre > 0 and y_metre > 0:
            image = image.copy(xres=x_metre / 1000, yres=y_metre / 1000)
        if size == 124 and head[70:74] == b"DEBM":  # a profile inside
            where, length = struct.unpack_from("<II", head, 14 + 112)
            file.seek(14 + where)
            icc = file.read(min(length, 16 << 20))
            if len(icc) == length > 128:
                image = image.copy()
                image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
        return image


def load_jp2(path: Path) -> pyvips.Image:
    """Open a JPEG 2000 file.

    Raises:
        PhotoError: If it is damaged or of a kind that isn't decoded.
    """
    with open_file(path) as file:
        data = file.read()
        place = data.find(b"\xff\x4f\xff\x51")
        if place < 0 or len(data) < place + 45:
            raise PhotoError(f"{path}: damaged or not readable (no pixels)")
        if b"\xff\xd9" not in data[-64:] and not data.rstrip(b"\0").endswith(b"\xff\xd9"):
            raise PhotoError(f"{path}: damaged or not readable (it ends early)")
        right, bottom, left, top = struct.unpack_from(">4I", data, place + 8)
        num, bits = struct.unpack_from(">HB", data, place + 40)
        _check_decoded(path, right - left, bottom - top)
        if num not in (1, 3, 4) or bits & 0x80 or bits + 1 > 16:
            raise PhotoError(
                f"{path}: JPEG 2000 of {num} channels of {(bits & 0x7F) + 1} bits, which can't be "
                "decoded; convert it to TIFF first"
            )
        samples = _decode(path, data)
        if samples.dtype == np.uint16 and bits + 1 < 16:
            samples = np.rint(samples * (65535 / ((1 << bits + 1) - 1))).clip(0, 65535)
            samples = samples.astype(np.uint16)
        image = _to_image(samples)
        icc, resolution = read_jp2_header(file)
        if resolution is not None:
            image = image.copy(xres=resolution[0], yres=resolution[1])
        if icc is not None:
            image = image.copy()
            image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
        return image


def _check_decoded(path: Path, width: int, height: int) -> None:
    if not 0 < width * height <= _MAX_DECODED_PIXELS:
        raise PhotoError(
            f"{path}: {width} x {height} px can't be decoded in one piece; convert it to TIFF first"
        )


def _decode(path: Path, data: bytes, how: int = cv2.IMREAD_UNCHANGED) -> NDArray[Any]:
    """(H, W, C) samples, RGB."""
    try:
        found = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error:
        found = None
    if found is None:
        raise PhotoError(f"{path}: damaged or not readable")
    samples: NDArray[Any] = np.asarray(found)
    if samples.ndim == 2:
        return samples[..., None]
    if samples.shape[2] >= 3:
        samples = np.concatenate([samples[..., 2::-1], samples[..., 3:]], axis=-1)
    return samples


def _to_image(samples: NDArray[Any]) -> pyvips.Image:
    samples = np.ascontiguousarray(samples)
    deep, grey = samples.dtype == np.uint16, samples.shape[2] < 3
    image = pyvips.Image.new_from_memory(
        samples.data, samples.shape[1], samples.shape[0], samples.shape[2],
        "ushort" if deep else "uchar",
    )  # fmt: skip
    names = ("grey16", "rgb16") if deep else ("b-w", "srgb")
    return image.copy(interpretation=names[0] if grey else names[1])
