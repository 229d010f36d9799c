"""Read a photograph's metadata, whatever its format."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from restore.scan.formats import sniff
from restore.scan.metadata.block import Metadata
from restore.scan.metadata.gif import read_gif
from restore.scan.metadata.heif import read_heif
from restore.scan.metadata.jp2 import read_jp2
from restore.scan.metadata.jpeg import read_jpeg
from restore.scan.metadata.png import read_png
from restore.scan.metadata.tiff import read_tiff
from restore.scan.metadata.webp import read_webp

_READERS: dict[str, Callable[[BinaryIO], Metadata]] = {
    "jpeg": read_jpeg,
    "png": read_png,
    "webp": read_webp,
    "heif": read_heif,
    "gif": read_gif,
    "jp2": read_jp2,
}


def read_metadata(path: Path, page: int = 0) -> Metadata:
    """Read what a photograph says beside its pixels.

    Args:
        path: The photograph; one that can't be read says nothing.
        page: Of a TIFF file, from 0.

    Raises:
        OSError: If the file can't be read.
    """
    with path.open("rb") as file:
        file_format = sniff(file.read(32)) or ""
        try:
            if file_format == "tiff":
                return read_tiff(file, page)
            reader = _READERS.get(file_format)
            return Metadata(file_format) if reader is None else reader(file)
        except (struct.error, ValueError, IndexError, OverflowError):
            return Metadata(file_format, lost=["all of it (damaged)"])
