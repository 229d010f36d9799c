"""Write a restored photograph: rows into a private file, then encoded, then put in place at once.

Nothing appears under the final name before it is whole, and what is written aside lies in a folder
of its own that only this user can enter.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyvips
from numpy.typing import NDArray

from restore.errors import PhotoError
from restore.scan.photo import FORMATS, Photo, explain_vips
from restore.scan.profiles import scale_to_samples, scale_to_unit
from restore.scan.provenance import Provenance, extend_xmp, set_upright
from restore.scan.tiff_tags import TEXT_TAGS, append_tags, read_exif, read_tiff

# What to write for a photograph whose own format can't hold it well.
DEFAULT_SUFFIXES = {".gif": ".png", ".heic": ".jpg", ".heif": ".jpg", ".hif": ".jpg"}
_DEEP_FORMATS = ("png", "tiff", "heif")
_MAX_JPEG_XMP_BYTES = 65_000
_UNKNOWN_RESOLUTION = 72 / 25.4  # px/mm; what readers assume where a file says nothing
_TIFF_COMPRESSION = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate"}


def default_suffix(photo: Path, *, deep: bool) -> str:
    """Suffix of the restored file where the user named none.

    The photograph's own, but PNG for GIF (a palette can't hold a restoration) and, because libvips
    builds seldom encode HEIC, JPEG for HEIC of 8 bits and PNG for deeper ones.
    """
    suffix = photo.suffix.lower()
    if suffix in DEFAULT_SUFFIXES:
        return ".png" if deep else DEFAULT_SUFFIXES[suffix]
    return photo.suffix if suffix in FORMATS else ".png"


def output_format(path: Path) -> str:
    """Format to write by suffix.

    Raises:
        PhotoError: If the suffix is none that can be written.
    """
    suffix = path.suffix.lower()
    if suffix in DEFAULT_SUFFIXES or suffix not in FORMATS:
        raise PhotoError(
            f"{path}: can't write {suffix or 'a file without a suffix'}; "
            "use .jpg, .png, .tif, .webp or .avif"
        )
    return FORMATS[suffix]


class PrivateFolder:
    """A folder beside the output that only this user can enter; removed at the end."""

    def __init__(self, output: Path) -> None:
        """Make it.

        Raises:
            PhotoError: If the output's folder doesn't exist or can't be written to.
        """
        try:
            self._folder = tempfile.TemporaryDirectory(prefix=".restore-", dir=output.parent)
        except OSError as error:
            raise PhotoError(f"{output}: can't be written ({error.strerror})") from error
        self.path = Path(self._folder.name)
        self._output = output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def publish(self, written: Path, mode: int) -> None:
        """Put a finished file in place, with the permissions wanted."""
        try:
            with contextlib.suppress(FileNotFoundError):
                mode = self._output.stat().st_mode & 0o777
            written.chmod(mode & 0o777 | 0o200)
            with open(written, "rb") as file:
                os.fsync(file.fileno())
            os.replace(written, self._output)
            self._output.chmod(mode & 0o777)
        except OSError as error:
            raise PhotoError(f"{self._output}: can't be written ({error.strerror})") from error


class RowFile:
    """Rows of samples in a file, from top to bottom."""

    def __init__(self, path: Path) -> None:
        """Begin an empty file."""
        self._path = path
        self._height = 0
        self._shape: tuple[int, int] = (0, 0)
        self._dtype: np.dtype[Any] = np.dtype(np.uint8)

    def add(self, rows: NDArray[Any]) -> None:
        """Append (h, W, C) uint8 or uint16 rows."""
        self._shape, self._dtype = (rows.shape[1], rows.shape[2]), rows.dtype
        self._height += len(rows)
        with self._path.open("ab") as file:
            file.write(np.ascontiguousarray(rows).data)

    def image(self, *, is_grey: bool) -> pyvips.Image:
        """The rows as an image."""
        deep = self._dtype == np.uint16
        names = ("grey16", "rgb16") if deep else ("b-w", "srgb")
        width, num_bands = self._shape
        return pyvips.Image.rawload(
            str(self._path),
            width,
            self._height,
            num_bands,
            format="ushort" if deep else "uchar",
            interpretation=names[0] if is_grey else names[1],
        )


def to_depth(rows: NDArray[Any], file_format: str) -> NDArray[Any]:
    """Samples as deep as a format can hold."""
    if rows.dtype == np.uint16 and file_format not in _DEEP_FORMATS:
        return scale_to_samples(scale_to_unit(rows), np.dtype(np.uint8))
    return rows


def describe(
    image: pyvips.Image, photo: Photo, icc: bytes | None, provenance: Provenance | None
) -> pyvips.Image:
    """Give an image the metadata of the photograph that it was made from.

    What describes the old pixels is left out: orientation, embedded previews, editor layers.
    """
    header = photo.header.autorot()
    known = header.get_typeof("exif-ifd0-XResolution") or (header.xres, header.yres) != (1.0, 1.0)
    known = known and min(header.xres, header.yres) > 0 and max(header.xres, header.yres) < 1e5
    x_res, y_res = (header.xres, header.yres) if known else (_UNKNOWN_RESOLUTION,) * 2
    image = image.copy(xres=x_res, yres=y_res)
    for name in header.get_fields():
        if name.startswith(("exif-", "png-comment")) or name in (
            *("iptc-data", "xmp-data", "resolution-unit", "image-description"),
            *("heif-bitdepth", "bits-per-sample"),
        ):
            image.set_type(header.get_typeof(name), name, header.get(name))
    image.set_type(pyvips.GValue.gint_type, "orientation", 1)
    if photo.format == "tiff":
        for tag, value in read_tiff(photo.path).texts().items():
            image.set_type(pyvips.GValue.gstr_type, TEXT_TAGS[tag], value)
    xmp = header.get("xmp-data") if header.get_typeof("xmp-data") else b""
    xmp = set_upright(xmp)
    if provenance is not None:
        xmp = extend_xmp(xmp, provenance)
        if not image.get_typeof("exif-ifd0-Software"):
            image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Software", provenance.software)
    if xmp:
        image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp)
    if icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    return image


def encode(
    image: pyvips.Image, path: Path, photo: Photo, file_format: str, *, quality: int | None = None
) -> None:
    """Write an image with its metadata.

    Args:
        image: To write.
        path: Where to.
        photo: That it was made from.
        file_format: From `output_format`.
        quality: Of JPEG, WebP and AVIF, 1..100; None takes 95, for AVIF 90.

    Raises:
        PhotoError: If it can't be encoded or written.
    """
    limits = {"jpeg": 65_500, "webp": 16_383, "heif": 16_384}
    if max(image.width, image.height) > limits.get(file_format, 1 << 31):
        raise PhotoError(
            f"{photo.path}: too large for {file_format.upper()}, which ends at "
            f"{limits[file_format]} px a side; choose another format with -o photo.tif"
        )
    try:
        if file_format == "jpeg":
            if image.hasalpha():
                image = image.flatten(background=[255])
            if image.get_typeof("xmp-data") and len(image.get("xmp-data")) > _MAX_JPEG_XMP_BYTES:
                image = image.copy()
                image.remove("xmp-data")
                photo.notices.append("its XMP metadata is too long for JPEG and is left out")
            image.jpegsave(str(path), Q=quality or 95, optimize_coding=True)
        elif file_format == "png":
            image.pngsave(str(path), compression=6)
        elif file_format == "webp":
            image.webpsave(str(path), Q=quality or 95)
        elif file_format == "heif":
            deep = image.format == "ushort"
            bits = 12 if deep else 8
            image.heifsave(str(path), Q=quality or 90, bitdepth=bits, compression="av1", effort=2)
        else:
            _save_tiff(image, path, photo)
    except pyvips.Error as error:
        raise PhotoError(f"{path.name}: can't be written: {explain_vips(error)}") from error


def _save_tiff(image: pyvips.Image, path: Path, photo: Photo) -> None:
    tags = read_exif(photo.header.get("exif-data")) if _has_exif(photo) else read_tiff(None)
    compression = "deflate"
    if photo.format == "tiff":
        tags = read_tiff(photo.path)
        compression = _TIFF_COMPRESSION.get(tags.compression, "deflate")
    num_bytes = image.width * image.height * image.bands * (2 if image.format == "ushort" else 1)
    image.tiffsave(
        str(path),
        compression=compression,
        predictor="none" if compression == "none" else "horizontal",
        bigtiff=num_bytes > 3_800_000_000,
        resunit="inch",
    )
    if image.get_typeof("exif-ifd0-Software"):
        tags.set_text(305, str(image.get("exif-ifd0-Software")).split(" (")[0])
    append_tags(path, tags)


def _has_exif(photo: Photo) -> bool:
    return bool(photo.header.get_typeof("exif-data"))
