"""Open a photograph as an archivist would: checked first, upright, its samples untouched.

Reads JPEG, PNG, TIFF, WebP, AVIF, GIF, BMP, JPEG 2000 and, where libvips was built with the
decoder, HEIC; 8 and 16 bit; grey, RGB, palette, CMYK and Lab, with further samples: transparency or
infrared. Rows are decoded as they are asked for: a photograph need not fit into memory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyvips
from numpy.typing import NDArray

from restore.errors import OutputError, PhotoError
from restore.scan.colors import Colors, convert_to_srgb, srgb_profile, take_png_colors, take_profile
from restore.scan.decoders import lab_to_rgb, load_as_rgb, load_bmp, load_jp2, load_vips
from restore.scan.formats import name_tiff
from restore.scan.icc import ADOBE_RGB, make_profile
from restore.scan.metadata.areas import Turning
from restore.scan.metadata.block import Metadata
from restore.scan.metadata.png import read_header_chunks
from restore.scan.metadata.read import read_metadata
from restore.scan.metadata.tags import says_adobe_rgb
from restore.scan.metadata.tiff import Page, read_pages
from restore.scan.opening import as_photo_error, examine, explain_write, open_file
from restore.scan.pages import Choice, choose_page
from restore.scan.private import PrivateFolder

MAX_PIXELS = 2_000_000_000
MAX_SIDE_PX = 300_000
# A photograph of more than so many pixels that packs so many of them into a byte is a bomb.
_BOMB_PIXELS, _BOMB_PIXELS_PER_BYTE = 50_000_000, 500
# Photographs stored turned are decoded at once: in memory up to here, else into a private file.
_MEMORY_BYTES = 256 << 20
_KINDS = {
    **dict.fromkeys(("b-w", "grey16"), "grey"),
    **dict.fromkeys(("srgb", "rgb16", "rgb"), "rgb"),
    **dict.fromkeys(("lab", "labs"), "lab"),
    "cmyk": "cmyk",
}
_NUM_BANDS = {"grey": 1, "rgb": 3, "lab": 3, "cmyk": 4}
_LAB = (8, 9, 10)
_ALPHA, _UNASSOCIATED = (1, 2), 2


class Photo:
    """An opened photograph; a `restore.restorer.RowSource`.

    Attributes:
        path: Where it lies.
        format: "jpeg", "png", "tiff", "webp", "heif", "gif", "bmp" or "jp2".
        width: Upright, px.
        height: Upright, px.
        num_bands: 1 (grey) or 3 (RGB), without further samples.
        extra: What the samples after those mean, as TIFF declares it: 1 and 2 are transparency, 0
            is something else: infrared.
        dtype: uint8 or uint16.
        space: What the samples mean.
        icc: The profile that describes them; None if the file has none.
        header: The opened image with its metadata; its pixels are not to be read.
        page: The page that was opened, from 1.
        num_pages: How many there are.
        notices: Lines for the user.
    """

    def __init__(self, path: Path, page: int | None = None, *, is_mask: bool = False) -> None:
        """Open and check; `close` (or `with`) removes what a turned photograph may have left.

        Args:
            path: The file.
            page: Of several, from 1; None takes the first, or one of full resolution where the
                first is a small copy.
            is_mask: Whether it may be of one value almost everywhere, and pack well.

        Raises:
            PhotoError: If the file is no photograph that can be read, or has no such page.
        """
        self.path = path
        self._is_mask = is_mask
        self.notices: list[str] = []
        self._upright: pyvips.Image | None = None
        self._folder: PrivateFolder | None = None
        self.format, self.num_bytes, self.mode = examine(path)
        self._choice = self._choose_page(page)
        self.page = self._choice.index + 1
        self._unsupported = self._name_unsupported()
        self.header = self._open()
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
            self._folder.close()
            self._folder = None

    @property
    def depth_bits(self) -> int:
        """8 or 16."""
        return 8 * self.dtype.itemsize

    @property
    def is_converted(self) -> bool:
        """Whether the samples were converted to sRGB."""
        return self._convert is not None

    @property
    def has_alpha(self) -> bool:
        """Whether rows carry transparency."""
        return any(meaning in _ALPHA for meaning in self.extra)

    @property
    def compression(self) -> int:
        """As TIFF numbers it; 0 for other formats."""
        return 0 if self._choice.page is None else self._choice.page.compression

    @property
    def infrared_band(self) -> int | None:
        """Which of the rows' samples is infrared; None if there is none."""
        others = [i for i, meaning in enumerate(self.extra) if meaning not in _ALPHA]
        return self.num_bands + others[0] if others else None

    @property
    def turning(self) -> Turning:
        """From the photograph as stored to the upright one."""
        swaps = self.orientation >= 5
        width, height = (self.height, self.width) if swaps else (self.width, self.height)
        return Turning(self.orientation, width, height)

    @property
    def orientation(self) -> int:
        """EXIF's, of the stored pixels."""
        known = self.header.get_typeof("orientation")
        found = int(self.header.get("orientation")) if known else 1
        return found if 1 <= found <= 8 else 1

    @property
    def resolution(self) -> tuple[float, float] | None:
        """px/mm across and down, upright; None where the file doesn't say."""
        x, y = self.header.xres, self.header.yres
        if not self._knows_resolution or min(x, y) <= 0 or max(x, y) > 1e5:
            return None
        return (y, x) if self.orientation >= 5 else (x, y)

    def read_metadata(self) -> Metadata:
        """What the file says beside its pixels.

        Raises:
            PhotoError: If it can't be read.
        """
        try:
            return read_metadata(self.path, self._choice.index)
        except OSError as error:
            raise PhotoError(f"{self.path}: {error.strerror}") from error

    def reduced(self, height: int, width: int, *, band: int | None = None) -> NDArray[Any]:
        """A reduced copy's samples, (height, width, num_bands); or of one band, whichever."""
        image = self._open_upright()
        image = image[: self.num_bands] if band is None else image[band]
        if (height, width) != (self.height, self.width):
            image = image.resize(width / self.width, vscale=height / self.height)
        with self._as_photo_error():
            return _to_array(image)

    def open_rows(self) -> Callable[[int, int], NDArray[Any]]:
        """A reader, called with y0, y1 in unbroken order: (y1 - y0, W, bands) samples."""
        with self._as_photo_error():
            image = self._open_upright()
            region = pyvips.Region.new(image)

        def read(y0: int, y1: int) -> NDArray[Any]:
            with self._as_photo_error():
                rows = region.fetch(0, y0, image.width, y1 - y0)
            return np.frombuffer(rows, self.dtype).reshape(y1 - y0, image.width, image.bands)

        return read

    def _choose_page(self, page: int | None) -> Choice:
        """The page that is meant, and what to say of the others."""
        if self.format == "tiff":
            with open_file(self.path) as file:
                pages = read_pages(file)
            self.num_pages = max(len(pages), 1)
            choice = choose_page(pages, page) if pages else Choice(0)
        else:
            self.num_pages = 1
            choice = Choice(0 if page is None else page - 1)
        if self.format == "tiff" and not 0 <= choice.index < self.num_pages:
            raise PhotoError(f"{self.path}: has no page {page}, only {self.num_pages}")
        if choice.notice:
            self.notices.append(choice.notice)
        return choice

    def _name_unsupported(self) -> str | None:
        """What a TIFF file has that decoders may not know; said only if they don't."""
        page = self._choice.page
        if page is None:
            return None
        reason = name_tiff(page.compression, page.bits, page.photometric)
        if page.photometric in (32803, 34892):
            raise PhotoError(f"{self.path}: {reason}")
        return reason

    def _as_photo_error(self) -> Any:
        return as_photo_error(self.path, self.format, self._unsupported)

    def _open(self) -> pyvips.Image:
        with self._as_photo_error():
            if self.format == "bmp":
                return load_bmp(self.path)
            if self.format == "jp2":
                return load_jp2(self.path)
            options: dict[str, Any] = {}
            if self._choice.index and self.format in ("tiff", "gif", "webp", "heif"):
                options["page"] = self._choice.index
            if self._choice.sub_index is not None:
                options["subifd"] = self._choice.sub_index
            page = self._choice.page
            if page is not None and page.photometric in _LAB and page.num_samples >= 3:
                try:
                    return load_as_rgb(self.path, self._choice.index)
                except ValueError as error:
                    raise PhotoError(f"{self.path}: damaged or not readable ({error})") from error
            return load_vips(self.path, self.format, **options)

    def _check_size(self) -> None:
        width, height = self.header.width, self.header.height
        if max(width, height) > MAX_SIDE_PX or width * height > MAX_PIXELS:
            raise PhotoError(
                f"{self.path}: {width} x {height} px is beyond the limit of {MAX_SIDE_PX} px a "
                f"side and {MAX_PIXELS // 1_000_000} megapixels; cut it into parts"
            )
        is_bomb = width * height > max(_BOMB_PIXELS, _BOMB_PIXELS_PER_BYTE * self.num_bytes)
        if is_bomb and not self._is_mask:
            raise PhotoError(
                f"{self.path}: {width} x {height} px in {self.num_bytes} bytes is no photograph "
                "but a decompression bomb"
            )

    def _understand(self) -> None:
        """Find out what the samples are and what they mean."""
        image, page = self.header, self._choice.page
        kind = _KINDS.get(image.interpretation, "")
        if page is not None:
            lab = page.photometric in _LAB and page.num_samples >= 3
            kind = (
                "lab"
                if lab
                else {0: "grey", 1: "grey", 2: "rgb", 5: "cmyk"}.get(page.photometric, kind)
            )
        if image.format not in ("uchar", "ushort") and kind != "lab":
            raise PhotoError(
                f"{self.path}: its samples are of type {image.format}; save it with 8 or 16 bits "
                "a channel"
            )
        num_colors = _NUM_BANDS.get(kind, 0)
        if not num_colors <= image.bands or not num_colors:
            raise PhotoError(
                f"{self.path}: {image.bands} channels of kind {image.interpretation}; only grey, "
                "RGB, CMYK and Lab can be restored"
            )
        png: dict[bytes, bytes] = {}
        if self.format == "png":
            with open_file(self.path) as file:
                png = read_header_chunks(file)
        self._knows_resolution = self._find_resolution(png)
        self.extra = self._read_extra(image.bands - num_colors)
        self._num_colors = num_colors
        deep = image.format != "uchar"
        self.dtype = np.dtype(np.uint16 if deep else np.uint8)
        self.num_bands = 1 if kind == "grey" else 3
        icc = image.get("icc-profile-data") if image.get_typeof("icc-profile-data") else None
        colors = self._find_colors(kind, icc, png, deep=deep)
        self.space, self.icc, self._convert = colors.space, colors.icc, colors.convert
        self.notices += colors.notices
        pages = image.get("n-pages") if image.get_typeof("n-pages") else 1
        if self.format != "tiff":
            self.num_pages = pages
            if not 0 <= self._choice.index < pages:
                raise PhotoError(f"{self.path}: has no page {self.page}, only {pages}")
            if pages > 1:
                which = "the first" if self.page == 1 else f"page {self.page}"
                self.notices.append(f"has {pages} pages; only {which} is restored")
        self.width, self.height = image.width, image.height
        if self.orientation in (5, 6, 7, 8):
            self.width, self.height = self.height, self.width

    def _read_extra(self, num: int) -> tuple[int, ...]:
        """What samples after the colours mean: in TIFF what is declared, else transparency."""
        if self._choice.page is None:
            return (_UNASSOCIATED,) * min(num, 1) + (0,) * (num - 1)
        declared = self._choice.page.extra
        # libvips undoes the multiplication of colours by associated transparency.
        declared = tuple(_UNASSOCIATED if meaning in _ALPHA else 0 for meaning in declared)
        if self._choice.page.photometric == 3 and not declared:
            return (_UNASSOCIATED,) * num
        return (declared + (0,) * num)[:num]

    def _find_resolution(self, png: dict[bytes, bytes]) -> bool:
        """Whether the file says its resolution: libvips assumes 72 dpi where JPEG and PNG don't."""
        if self.header.get_typeof("exif-ifd0-XResolution"):
            return True
        if self.format == "jpeg":
            return bool(self.header.get_typeof("resolution-unit"))
        if self.format == "png":
            return png.get(b"pHYs", b"")[8:] == b"\1"
        return bool((self.header.xres, self.header.yres) != (1.0, 1.0))

    def _find_colors(
        self, kind: str, icc: bytes | None, png: dict[bytes, bytes], *, deep: bool
    ) -> Colors:
        """What the colours are, by a profile or by what else tells them."""
        if kind == "cmyk":
            notice = "CMYK is restored, and written, as sRGB"
            return convert_to_srgb("cmyk", deep=deep, notice=notice)
        if kind == "lab":
            page = self._choice.page
            photometric = page.photometric if page is not None else _LAB[0]
            return Colors(
                icc=srgb_profile(),
                convert=lambda image: lab_to_rgb(image, photometric, deep=deep),
                notices=["Lab is restored, and written, as sRGB"],
            )
        if icc is None and self.format == "png":
            return take_png_colors(png, self.num_bands, deep=deep)
        may_be_adobe = icc is None and self.format == "jpeg" and self.num_bands == 3
        if may_be_adobe and says_adobe_rgb(self.read_metadata().exif):
            icc = make_profile(563 / 256, ADOBE_RGB, "Adobe RGB compatible")
        return take_profile(icc, self.num_bands, deep=deep)

    def _open_upright(self) -> pyvips.Image:
        """The decoding pipeline; read it from top to bottom."""
        if self._upright is not None:
            return self._upright
        with self._as_photo_error():
            image = self._open()
            if self._convert is not None:
                others = image[self._num_colors :] if self.extra else None
                image = self._convert(image[: self._num_colors] if self.extra else image)
                image = image if others is None else image.bandjoin(others)
            image = image.cast("ushort" if self.dtype == np.uint16 else "uchar")
            if self.orientation == 1:
                return image
            if image.width * image.height * image.bands * self.dtype.itemsize <= _MEMORY_BYTES:
                image = image.copy_memory()
            else:
                image = self._copy_to_disk(image)
            self._upright = image.autorot()
            return self._upright

    def _copy_to_disk(self, image: pyvips.Image) -> pyvips.Image:
        place = Path(tempfile.gettempdir())
        try:
            self._folder = PrivateFolder(place)
        except OSError as error:
            raise OutputError(f"{place}: can't be written: {error.strerror}") from error
        copy = os.fsencode(self._folder.path / "photo.v")
        try:
            image.write_to_file(copy.decode())
        except pyvips.Error as error:
            found = explain_write(error, self._folder.path, place)
            if isinstance(found, OutputError):
                raise found from error
            raise
        return pyvips.Image.new_from_file(copy.decode())


def count_pages(path: Path) -> list[int]:
    """The pages, from 1, that `--pages all` means: not the small copies of others.

    Raises:
        PhotoError: If the file is no photograph that can be read.
    """
    with Photo(path) as photo:
        if photo.format != "tiff":
            return list(range(1, photo.num_pages + 1))
        with open_file(path) as file:
            pages: list[Page] = read_pages(file)
    full = [number for number, page in enumerate(pages, 1) if not page.is_reduced]
    return full or [photo.page]


def _to_array(image: pyvips.Image) -> NDArray[Any]:
    dtype = np.uint16 if image.format == "ushort" else np.uint8
    samples = np.frombuffer(image.write_to_memory(), dtype)
    return samples.reshape(image.height, image.width, image.bands)
