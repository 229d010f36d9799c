"""Put metadata into a file whose pixels are written."""

from __future__ import annotations

from pathlib import Path

from restore.scan.metadata import tags as t
from restore.scan.metadata.block import Metadata
from restore.scan.metadata.directories import Tag
from restore.scan.metadata.heif import write_heif
from restore.scan.metadata.jpeg import write_jpeg
from restore.scan.metadata.png import write_png
from restore.scan.metadata.tiff import write_tiff
from restore.scan.metadata.webp import write_webp


def write_metadata(
    path: Path,
    file_format: str,
    metadata: Metadata,
    resolution: tuple[float, float] | None,
    extra: tuple[int, ...] | None = None,
) -> None:
    """Put metadata into a file that libvips wrote with none but the profile.

    Args:
        path: The file, in a folder that others are kept out of.
        file_format: Its format.
        metadata: What `fit_format` left for this format; `lost` may get longer.
        resolution: px/mm across and down; None where nobody knows.
        extra: What further samples of a TIFF file mean.

    Raises:
        OSError: If the file can't be written.
    """
    if file_format == "jpeg":
        write_jpeg(path, metadata, resolution)
    elif file_format == "png":
        write_png(path, metadata, resolution)
    elif file_format == "tiff":
        write_tiff(path, metadata, extra, knows_resolution=resolution is not None)
    else:
        if resolution is not None:
            _set_resolution(metadata, resolution)
        (write_webp if file_format == "webp" else write_heif)(path, metadata)


def _set_resolution(metadata: Metadata, resolution: tuple[float, float]) -> None:
    """Say the resolution in EXIF, for formats that have no other place for it."""
    main = metadata.directory()
    if t.X_RESOLUTION in main.tags:
        return
    for number, side in zip((t.X_RESOLUTION, t.Y_RESOLUTION), resolution, strict=True):
        dots = min(max(round(side * 25.4 * 1000), 1), 0xFFFFFFFF)
        order = "little" if main.order == "<" else "big"
        data = dots.to_bytes(4, order) + (1000).to_bytes(4, order)  # type: ignore[arg-type]  # a Literal
        main.tags[number] = Tag(5, 1, data)
    main.set_number(t.RESOLUTION_UNIT, 2)
