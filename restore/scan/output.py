"""Write a restored photograph: rows into a private file, then encoded, then put in place at once.

Nothing appears under the final name before it is whole, and what is written aside lies in a folder
of its own that only this user can enter.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyvips
from numpy.typing import NDArray

from restore.errors import PhotoError
from restore.scan import private
from restore.scan.formats import FORMATS
from restore.scan.metadata.adapt import Pixels, adapt, fit_format
from restore.scan.metadata.block import Metadata
from restore.scan.metadata.tags import SOFTWARE as SOFTWARE_TAG
from restore.scan.metadata.write import write_metadata
from restore.scan.metadata.xmp import JPEG_MAX_BYTES, trim
from restore.scan.opening import as_output_error, explain_write
from restore.scan.photo import Photo
from restore.scan.profiles import scale_to_samples, scale_to_unit
from restore.scan.provenance import Provenance, extend_xmp

# What to write for a photograph whose own format can't hold it well, or can't be written.
DEFAULT_SUFFIXES = {
    **dict.fromkeys((".heic", ".heif", ".hif"), ".jpg"),
    **dict.fromkeys((".gif", ".bmp", ".dib"), ".png"),
    **dict.fromkeys((".jp2", ".jpx", ".jpf", ".j2k", ".j2c", ".jpc"), ".png"),
}
_DEEP_FORMATS = ("png", "tiff", "heif")
_TIFF_COMPRESSION = {1: "none", 5: "lzw", 8: "deflate", 32946: "deflate"}
_UNKNOWN_RESOLUTION = 72 / 25.4  # px/mm; what readers assume where a file says nothing
_BIG_TIFF_BYTES = 3_800_000_000


def default_suffix(photo: Path, *, deep: bool) -> str:
    """Suffix of the restored file where the user named none.

    The photograph's own, but PNG for GIF (a palette can't hold a restoration), BMP and JPEG 2000
    (which aren't written) and, because libvips builds seldom encode HEIC, JPEG for HEIC of 8 bits
    and PNG for deeper ones.
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
            OutputError: If the output's folder doesn't exist or can't be written to.
        """
        with as_output_error(output):
            self._folder = private.PrivateFolder(output.parent)
        self.path = self._folder.path
        self.output = output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.close()

    def publish(self, written: Path, mode: int) -> None:
        """Put a finished file in place, with the permissions wanted.

        Raises:
            OutputError: If that can't be done.
        """
        with as_output_error(self.output):
            with contextlib.suppress(FileNotFoundError):
                mode = self.output.stat().st_mode & 0o777
                if os.name == "nt":  # where what is read-only can't be replaced
                    self.output.chmod(mode | 0o200)
            written.chmod(mode & 0o777 | 0o200)
            with open(written, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(written, self.output)
            self.output.chmod(mode & 0o777)


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

    def remove(self) -> None:
        """Free the disk space, where what libvips may still hold open can be removed."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def image(self, *, is_grey: bool) -> pyvips.Image:
        """The rows as an image."""
        deep = self._dtype == np.uint16
        names = ("grey16", "rgb16") if deep else ("b-w", "srgb")
        width, num_bands = self._shape
        return pyvips.Image.rawload(
            os.fsencode(self._path),  # bytes: names need not be UTF-8
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
    photo: Photo, file_format: str, provenance: Provenance | None, *, is_converted: bool
) -> Metadata:
    """What a photograph's file says, true of the restored one, as far as a format can hold it.

    Args:
        photo: The original.
        file_format: Of the restored file.
        provenance: What its history is to say; None leaves the history as it is.
        is_converted: Whether the colours were converted to sRGB.
    """
    metadata = photo.read_metadata()
    adapt(metadata, Pixels(photo.turning, is_converted=is_converted))
    fit_format(metadata, file_format)
    if provenance is not None:
        _add_provenance(metadata, provenance, file_format)
    return metadata


def _add_provenance(metadata: Metadata, provenance: Provenance, file_format: str) -> None:
    main = metadata.directory()
    if SOFTWARE_TAG not in main.tags:
        main.set_text(SOFTWARE_TAG, provenance.software)
    packet = extend_xmp(metadata.xmp, provenance)
    if packet == metadata.xmp:
        metadata.remarks.append("the restoration isn't noted in its XMP")
    elif file_format == "jpeg" and len(packet) > JPEG_MAX_BYTES >= len(trim(metadata.xmp)):
        packet = trim(packet)
        if len(packet) > JPEG_MAX_BYTES:
            metadata.remarks.append("its XMP is full: the restoration isn't noted in it")
            return
    metadata.xmp = packet


def tell_metadata(metadata: Metadata, file_format: str) -> list[str]:
    """Lines for the user: what of the metadata was left out, and what was changed."""
    lines = []
    if metadata.lost:
        lost = ", ".join(dict.fromkeys(metadata.lost))
        name = "AVIF" if file_format == "heif" else file_format.upper()
        lines.append(f"metadata left out in {name}: {lost}")
    if metadata.changed:
        lines.append(f"metadata changed: {', '.join(dict.fromkeys(metadata.changed))}")
    return [*lines, *metadata.remarks]


def encode(
    image: pyvips.Image,
    folder: PrivateFolder,
    file_format: str,
    photo: Photo,
    *,
    icc: bytes | None = None,
    metadata: Metadata | None = None,
    extra: tuple[int, ...] = (),
    name: str = "photo",
    quality: int | None = None,
) -> tuple[Path, list[str]]:
    """Write an image with its metadata.

    Args:
        image: Its pixels.
        folder: To write into.
        file_format: The format.
        photo: The original, for its resolution.
        icc: Profile of the pixels.
        metadata: From `describe`; None writes none.
        extra: What its samples after the colours mean, as TIFF declares it.
        name: Of the file, without suffix.
        quality: Of JPEG, WebP and AVIF, 1..100; None takes 95, for AVIF 90.

    Returns:
        The file, and lines for the user.

    Raises:
        PhotoError: If it can't be encoded or written.
    """
    limits = {"jpeg": 65_500, "webp": 16_383, "heif": 16_384}
    if max(image.width, image.height) > limits.get(file_format, 1 << 31):
        raise PhotoError(
            f"{photo.path}: too large for {file_format.upper()}, which ends at "
            f"{limits[file_format]} px a side; choose another format with -o photo.tif"
        )
    path = folder.path / f"{name}{_SUFFIXES[file_format]}"
    image, notices = _fit_bands(image, file_format, extra)
    resolution = photo.resolution
    image = image.copy(xres=_UNKNOWN_RESOLUTION, yres=_UNKNOWN_RESOLUTION)
    if resolution is not None:
        image = image.copy(xres=resolution[0], yres=resolution[1])
    if icc is not None:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", icc)
    try:
        _save(image, os.fsencode(path), file_format, photo, quality)
    except pyvips.Error as error:
        raise explain_write(error, folder.path, folder.output) from error
    with as_output_error(folder.output):
        metadata = Metadata() if metadata is None else metadata
        write_metadata(
            path, file_format, metadata, resolution, extra if file_format == "tiff" else None
        )
    return path, notices


_SUFFIXES = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", "heif": ".avif", "tiff": ".tif"}


def _save(
    image: pyvips.Image, path: bytes, file_format: str, photo: Photo, quality: int | None
) -> None:
    if file_format == "jpeg":
        image.jpegsave(path, Q=quality or 95, optimize_coding=True, keep="icc")
    elif file_format == "png":
        image.pngsave(path, compression=6, keep="icc")
    elif file_format == "webp":
        image.webpsave(path, Q=quality or 95, keep="icc")
    elif file_format == "heif":
        depth = 12 if image.format == "ushort" else 8
        image.heifsave(
            path, Q=quality or 90, bitdepth=depth, compression="av1", effort=2, keep="icc"
        )
    else:
        compression = _TIFF_COMPRESSION.get(photo.compression, "deflate")
        image.tiffsave(
            path,
            compression=compression,
            predictor="none" if compression == "none" else "horizontal",
            bigtiff=count_bytes(image) > _BIG_TIFF_BYTES,
            resunit="inch",
            keep="icc",
        )


def count_bytes(image: pyvips.Image) -> int:
    """Of its samples."""
    depth = 2 if image.format == "ushort" else 1
    return int(image.width * image.height * image.bands * depth)


def is_big(num_bytes: int) -> bool:
    """Whether a TIFF file of so many bytes of samples must be a BigTIFF file."""
    return num_bytes > _BIG_TIFF_BYTES


def _fit_bands(
    image: pyvips.Image, file_format: str, extra: tuple[int, ...]
) -> tuple[pyvips.Image, list[str]]:
    """Leave out further samples that a format can't hold: only TIFF has others than alpha."""
    num_colors = image.bands - len(extra)
    notices = []
    alpha = next((i for i, meaning in enumerate(extra) if meaning in (1, 2)), None)
    if file_format != "tiff" and len(extra) > (alpha is not None):
        colors = image[:num_colors]
        image = colors if alpha is None else colors.bandjoin(image[num_colors + alpha])
        notices.append(
            f"its infrared channel is left out: {file_format.upper()} can't hold one; .tif can"
        )
    if file_format == "jpeg" and alpha is not None:
        image = image.flatten(background=[255])
    return image, notices
