"""Open a photograph as an archivist would: checked first, upright, its samples untouched.

Reads JPEG, PNG, TIFF, WebP, AVIF, GIF (its first frame) and, where libvips was built with the
decoder, HEIC; 8 and 16 bit; grey, RGB, palette, CMYK and Lab, with or without alpha. Rows are
decoded as they are asked for: a photograph need not fit into memory.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import pyvips
from numpy.typing import NDArray

from restore.errors import PhotoError
from restore.scan.profiles import ColorSpace, Srgb, read_profile

# By suffix: what a file's content must be.
FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".heic", ".heif", ".hif", ".avif"), "heif"),
    ".png": "png",
    ".webp": "webp",
    ".gif": "gif",
}
MAX_PIXELS = 2_000_000_000
MAX_SIDE_PX = 300_000
# A photograph of more than so many pixels that packs so many of them into a byte is a bomb.
_BOMB_PIXELS, _BOMB_PIXELS_PER_BYTE = 50_000_000, 500
# Photographs stored turned are decoded at once: in memory up to here, else into a private file.
_MEMORY_BYTES = 256 << 20
_GREY = ("b-w", "grey16")
_COLOR = ("srgb", "rgb16", "rgb")


class Photo:
    """An opened photograph; a `restore.restorer.RowSource`.

    Attributes:
        path: Where it lies.
        format: "jpeg", "png", "tiff", "webp", "heif" or "gif".
        width: Upright, px.
        height: Upright, px.
        num_bands: 1 (grey) or 3 (RGB), without alpha.
        has_alpha: Whether rows carry an alpha band after those.
        dtype: uint8 or uint16.
        space: What the samples mean.
        icc: The profile that describes them; None if the file has none.
        header: The opened image with its metadata; its pixels are not to be read.
        notices: Lines for the user.
    """

    def __init__(self, path: Path) -> None:
        """Open and check; `close` (or `with`) removes what a turned photograph may have left.

        Raises:
            PhotoError: If the file is no photograph that can be read.
        """
        self.path = path
        self.notices: list[str] = []
        self._upright: pyvips.Image | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.format, self.num_bytes, self.mode = self._examine()
        self.header = self._load()
        self._check_size()
        self._understand()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of every file, and remove the private copy of one that was stored turned."""
        self._upright = None
        # libvips remembers its last operations, and with them open (even deleted) files.
        size = pyvips.cache_get_max()
        pyvips.cache_set_max(0)
        pyvips.cache_set_max(size)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def depth_bits(self) -> int:
        """8 or 16."""
        return 8 * self.dtype.itemsize

    def reduced(self, height: int, width: int) -> NDArray[Any]:
        """A reduced copy's samples, (height, width, num_bands); without alpha."""
        image = self._open_upright()[: self.num_bands]
        if (height, width) != (self.height, self.width):
            image = image.resize(width / self.width, vscale=height / self.height)
        with _as_photo_error(self.path):
            return _to_array(image)

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A reader, called with y0, y1 in unbroken order: (y1 - y0, W, bands) samples."""
        with _as_photo_error(self.path):
            image = self._open_upright()
            region = pyvips.Region.new(image)

        def read(y0: int, y1: int) -> NDArray[Any]:
            with _as_photo_error(self.path):
                rows = region.fetch(0, y0, image.width, y1 - y0)
            return np.frombuffer(rows, self.dtype).reshape(y1 - y0, image.width, image.bands)

        return read

    def _examine(self) -> tuple[str, int, int]:
        """Format by content, size in bytes and permissions."""
        with _open_file(self.path) as file:
            status = os.fstat(file.fileno())
            kind = sniff(file.read(32))
        expected = FORMATS.get(self.path.suffix.lower())
        if status.st_size == 0:
            raise PhotoError(f"{self.path}: the file is empty")
        if kind is None:
            raise PhotoError(
                f"{self.path}: not a photograph in a known format (JPEG, PNG, TIFF, WebP, HEIC, "
                "AVIF, GIF)"
            )
        if expected is not None and kind != expected:
            raise PhotoError(
                f"{self.path}: is {kind.upper()} inside, not {expected.upper()} as its name says; "
                "rename it"
            )
        return kind, status.st_size, stat.S_IMODE(status.st_mode)

    def _load(self) -> pyvips.Image:
        with _as_photo_error(self.path), _open_file(self.path) as file:
            source = pyvips.Source.new_from_descriptor(file.fileno())  # keeps a duplicate
            load = getattr(pyvips.Image, f"{self.format}load_source")
            return load(source, access="sequential", fail_on="error")

    def _check_size(self) -> None:
        width, height = self.header.width, self.header.height
        if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
            raise PhotoError(
                f"{self.path}: {width} x {height} px is beyond the limit of {MAX_SIDE_PX} px a "
                f"side and {MAX_PIXELS // 1_000_000} megapixels; cut it into parts"
            )
        if width * height > max(_BOMB_PIXELS, _BOMB_PIXELS_PER_BYTE * self.num_bytes):
            raise PhotoError(
                f"{self.path}: {width} x {height} px in {self.num_bytes} bytes is no photograph "
                "but a decompression bomb"
            )

    def _understand(self) -> None:
        """Find out what the samples are and what they mean."""
        image = self.header
        if image.format not in ("uchar", "ushort") and image.interpretation not in ("lab", "labs"):
            raise PhotoError(
                f"{self.path}: its samples are of type {image.format}; save it with 8 or 16 bits "
                "a channel"
            )
        self.has_alpha = bool(image.hasalpha())
        num_bands = image.bands - self.has_alpha
        self._convert: Callable[[pyvips.Image], pyvips.Image] | None = None
        self.icc = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
        self.space: ColorSpace = Srgb()
        deep = image.format != "uchar"
        self.dtype = np.dtype(np.uint16 if deep else np.uint8)
        self.num_bands = 3
        if image.interpretation in _GREY and num_bands == 1:
            self.num_bands = 1
            self._read_profile(deep)
        elif image.interpretation in _COLOR and num_bands == 3:
            self._read_profile(deep)
        elif image.interpretation == "cmyk" and num_bands == 4:
            self._convert_to_srgb(deep, "cmyk")
            self.notices.append("CMYK is restored, and written, as sRGB")
        elif image.interpretation in ("lab", "labs") and num_bands == 3:
            self._convert = lambda i: i.colourspace("rgb16" if deep else "srgb")
            self.icc = srgb_profile()
            self.notices.append("Lab is restored, and written, as sRGB")
        else:
            raise PhotoError(
                f"{self.path}: {image.bands} channels of kind {image.interpretation}; only grey, "
                "RGB, CMYK and Lab can be restored"
            )
        num_pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
        if num_pages > 1:
            self.notices.append(f"has {num_pages} pages; only the first is restored")
        self.width, self.height = image.width, image.height
        if self._orientation() in (5, 6, 7, 8):
            self.width, self.height = self.height, self.width

    def _read_profile(self, deep: bool) -> None:
        if self.icc is None:
            return
        profile = read_profile(self.icc)
        if profile is None or len(profile.curves) != self.num_bands:
            kind = "RGB " if self.num_bands == 3 else "GRAY"
            if self.icc[16:20] != kind.encode() or self.icc[36:40] != b"acsp":
                self.notices.append("its colour profile doesn't fit and is left out")
                self.icc = None
            elif self.num_bands == 3:
                self._convert_to_srgb(deep, "srgb")
                self.notices.append("its colour profile can't be undone; written as sRGB")
        elif not profile.is_srgb:
            self.space = profile

    def _convert_to_srgb(self, deep: bool, fallback: str) -> None:
        depth = 16 if deep else 8
        self._convert = lambda i: i.icc_transform(
            "srgb",
            embedded=True,
            input_profile=fallback,
            intent="relative",
            black_point_compensation=True,
            depth=depth,
        )
        self.icc = srgb_profile()

    def _orientation(self) -> int:
        known = self.header.get_typeof("orientation")
        return int(self.header.get("orientation")) if known else 1

    def _open_upright(self) -> pyvips.Image:
        """The decoding pipeline; read it from top to bottom."""
        if self._upright is not None:
            return self._upright
        with _as_photo_error(self.path):
            image = self._load()
            if self._convert is not None:
                alpha = image[image.bands - 1] if self.has_alpha else None
                image = self._convert(image[: image.bands - 1] if self.has_alpha else image)
                image = image if alpha is None else image.bandjoin(alpha)
            image = image.cast("ushort" if self.dtype == np.uint16 else "uchar")
            if self._orientation() == 1:
                return image
            if image.width * image.height * image.bands * self.dtype.itemsize <= _MEMORY_BYTES:
                image = image.copy_memory()
            else:
                self._folder = tempfile.TemporaryDirectory(prefix="restore-")
                copy = str(Path(self._folder.name) / "photo.v")
                image.write_to_file(copy)
                image = pyvips.Image.new_from_file(copy)
            self._upright = image.autorot()
            return self._upright


def sniff(head: bytes) -> str | None:
    """A file's format by its first 32 bytes; None if it isn't one of ours."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and head[8:12] in (
        *(b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"),
        *(b"avif", b"avis"),
    ):
        return "heif"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    return None


def srgb_profile() -> bytes:
    """The ICC profile of sRGB."""
    return bytes(pyvips.Image.profile_load("srgb"))


@contextlib.contextmanager
def _open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file and nothing else: no folder, pipe, device or socket, and no waiting."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        descriptor = os.open(path, flags) if regular else -1
    except OSError as error:
        raise PhotoError(f"{path}: {_explain(error)}") from None
    except ValueError:
        raise PhotoError(f"{str(path)!r}: not a possible file name") from None
    if not regular:
        kind = "a folder" if path.is_dir() else "a pipe, device or other special file"
        raise PhotoError(f"{path}: is {kind}, not a photograph")
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PhotoError(f"{path}: was replaced by a special file while it was opened")
        yield file


@contextlib.contextmanager
def _as_photo_error(path: Path) -> Iterator[None]:
    """Turn libvips' errors into ours, in one line."""
    try:
        yield
    except pyvips.Error as error:
        raise PhotoError(f"{path}: {explain_vips(error)}") from error


def explain_vips(error: pyvips.Error) -> str:
    """What libvips complains of, in one line."""
    lines = [line.strip() for line in str(error.detail or error.message).splitlines()]
    lines = list(dict.fromkeys(line for line in lines if line))
    text = "; ".join(lines[:2]) or str(error.message)
    return f"damaged or not readable ({text[:200]})"


def _explain(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a loop of symbolic links"
    if error.errno == errno.ENOENT:
        return "no such file"
    if error.errno == errno.EACCES:
        return "no permission to read it"
    return str(error.strerror or error)


def _to_array(image: pyvips.Image) -> NDArray[Any]:
    dtype = np.uint16 if image.format == "ushort" else np.uint8
    samples = np.frombuffer(image.write_to_memory(), dtype)
    return samples.reshape(image.height, image.width, image.bands)
