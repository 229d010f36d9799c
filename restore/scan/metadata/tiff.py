"""Metadata in TIFF files: tags of a page's directory, and what its values are blocks of.

libvips writes the pixels; their page's directory is then written anew at the end of the file, with
all tags. Pages of several files are joined the same way.

Source:
    TIFF 6.0; BigTIFF; XMP part 3, 1.1.4 (tag 700); Photoshop TIFF Technical Notes (34377).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from restore.scan.metadata import tags as t
from restore.scan.metadata.block import Metadata
from restore.scan.metadata.directories import (
    SUB_DIRECTORIES,
    Directory,
    DirectoryReader,
    DirectoryWriter,
    Tag,
)
from restore.scan.metadata.jpeg import read_photoshop
from restore.scan.metadata.photoshop import write_resources

_OFFSETS, _COUNTS = (273, 324), (279, 325)


@dataclass(frozen=True)
class Page:
    """How a TIFF file's page is stored.

    Attributes:
        width: px.
        height: px.
        bits: Of the first sample.
        num_samples: A pixel.
        photometric: What they are.
        compression: As TIFF numbers it.
        extra: What further samples mean, as declared: 0 nothing, 1 and 2 transparency.
        is_reduced: Whether it says that it is a small copy of another page.
        sub_pages: Pages that it points to.
    """

    width: int
    height: int
    bits: int
    num_samples: int
    photometric: int
    compression: int
    extra: tuple[int, ...]
    is_reduced: bool
    sub_pages: tuple[Page, ...] = field(default=(), repr=False)


def read_pages(file: BinaryIO, limit: int = 10_000) -> list[Page]:
    """The pages of a TIFF file; none if it is too damaged.

    Args:
        file: From its beginning.
        limit: How many to read at most.
    """
    try:
        reader = DirectoryReader(file, t.UNREAD | {t.XMP, t.IPTC, t.RESOURCES})
        offsets = reader.page_offsets()[:limit]
        return [_read_page(DirectoryReader(file, _UNREAD_IN_PAGES), o) for o in offsets]
    except (ValueError, OSError, struct.error):
        return []


_UNREAD_IN_PAGES = t.UNREAD | {t.XMP, t.IPTC, t.RESOURCES, 34665, 34853}


def _read_page(reader: DirectoryReader, offset: int, depth: int = 0) -> Page:
    main = reader.directory(offset)
    extra = main.tags[t.EXTRA_SAMPLES].numbers(main.order) if t.EXTRA_SAMPLES in main.tags else ()
    below = main.tags[SUB_DIRECTORIES].numbers(main.order) if SUB_DIRECTORIES in main.tags else ()
    sub_pages = [_read_page(reader, o, depth + 1) for o in below[:16] if depth == 0]
    sub_pages += [_page(d) for d in main.children.get(SUB_DIRECTORIES, [])]
    return _page(main, extra, tuple(sub_pages))


def _page(main: Directory, extra: tuple[int, ...] = (), sub_pages: tuple[Page, ...] = ()) -> Page:
    return Page(
        width=main.number(t.WIDTH),
        height=main.number(t.HEIGHT),
        bits=main.number(t.BITS, 1),
        num_samples=main.number(t.NUM_SAMPLES, 1),
        photometric=main.number(t.PHOTOMETRIC),
        compression=main.number(t.COMPRESSION, 1),
        extra=extra,
        is_reduced=bool(main.number(t.SUBFILE_TYPE) & 1) or main.number(255) == 2,
        sub_pages=sub_pages,
    )


def read_tiff(file: BinaryIO, page: int = 0) -> Metadata:
    """Read all that a page says beside its pixels."""
    found = Metadata("tiff")
    try:
        reader = DirectoryReader(file, t.UNREAD)
        offsets = reader.page_offsets()
        main = reader.directory(offsets[page])
    except (ValueError, IndexError, struct.error):
        found.lost.append("tags (damaged)")
        return found
    if t.XMP in main.tags:
        found.xmp = main.tags[t.XMP].data
    if t.RESOURCES in main.tags:
        read_photoshop(found, main.tags[t.RESOURCES].data)
    if t.IPTC in main.tags:
        found.iptc = b""  # Photoshop's copy is the second choice
        found.take_iptc(main.tags[t.IPTC].data)
    if main.num_damaged:
        found.lost.append(f"{main.num_damaged} damaged tags")
    found.lost += t.describe_only(main, of_tiff=True)
    found.exif = main
    return found


def write_tiff(
    path: Path,
    metadata: Metadata,
    extra: tuple[int, ...] | None = None,
    *,
    knows_resolution: bool = True,
) -> None:
    """Put metadata into a TIFF file that libvips wrote without any but its profile.

    Args:
        path: The file.
        metadata: What to put in.
        knows_resolution: Whether the resolution that libvips wrote is that of the photograph.
        extra: What its further samples mean; None leaves what libvips says.
    """
    with path.open("r+b") as file:
        reader = DirectoryReader(file)
        written = reader.main()
        directory = t.to_order(t.fit_tiff(metadata.directory()), reader.order)
        if not {t.X_RESOLUTION, t.Y_RESOLUTION} <= set(directory.tags):
            for number in (t.X_RESOLUTION, t.Y_RESOLUTION, t.RESOLUTION_UNIT):
                directory.tags.pop(number, None)
        if not knows_resolution and t.X_RESOLUTION not in directory.tags:
            one = Tag(5, 1, struct.pack(f"{reader.order}II", 1, 1))
            directory.tags |= {t.X_RESOLUTION: one, t.Y_RESOLUTION: one}
            directory.set_number(t.RESOLUTION_UNIT, 1)  # none
        for number, tag in written.tags.items():
            if number in t.STRUCTURE or number in (t.X_RESOLUTION, t.Y_RESOLUTION):
                directory.tags.setdefault(number, tag)
            elif number == t.RESOLUTION_UNIT and number not in directory.tags:
                directory.tags[number] = tag
        if metadata.xmp:
            directory.set_bytes(t.XMP, metadata.xmp, kind=1)
        if metadata.iptc:
            directory.set_bytes(t.IPTC, metadata.iptc)
        if metadata.resources:
            directory.set_bytes(t.RESOURCES, write_resources(metadata.resources))
        if extra is not None:
            directory.tags.pop(t.EXTRA_SAMPLES, None)
            if extra:
                data = struct.pack(f"{reader.order}{len(extra)}H", *extra)
                directory.tags[t.EXTRA_SAMPLES] = Tag(3, len(extra), data)
        writer = DirectoryWriter(reader.order, reader.big, _appender(file))
        start = writer._place(0, writer.table(writer.entries(directory)))
        file.seek(8 if reader.big else 4)
        file.write(struct.pack(reader.order + ("Q" if reader.big else "I"), start))


def join_pages(path: Path, pages: list[Path], *, big: bool) -> None:
    """Join TIFF files of one page each to one of as many pages.

    Args:
        path: To write.
        pages: Of the same byte order.
        big: Whether BigTIFF is needed.
    """
    with path.open("w+b") as file:
        with pages[0].open("rb") as one:
            order = DirectoryReader(one).order
        file.write(b"II" if order == "<" else b"MM")
        file.write(
            struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 0) if big else (42, 0)))
        )
        where = 8 if big else 4
        form = "Q" if big else "I"
        for page in pages:
            with page.open("rb") as one:
                reader = DirectoryReader(one)
                main = reader.main()
                for offsets, counts in zip(_OFFSETS, _COUNTS, strict=True):
                    if offsets in main.tags:
                        _copy_strips(one, file, main, offsets, counts, big=big)
            writer = DirectoryWriter(order, big, _appender(file))
            entries = writer.entries(main)
            start = writer._place(0, writer.table(entries))
            file.seek(where)
            file.write(struct.pack(order + form, start))
            where = start + (8 + 20 * len(entries) if big else 2 + 12 * len(entries))


def _copy_strips(
    source: BinaryIO, file: BinaryIO, main: Directory, offsets: int, counts: int, *, big: bool
) -> None:
    moved = []
    starts = main.tags[offsets].numbers(main.order)
    for start, size in zip(starts, main.tags[counts].numbers(main.order), strict=True):
        moved.append(file.seek(0, io.SEEK_END))
        source.seek(start)
        left = size
        while left > 0 and (part := source.read(min(left, 1 << 20))):
            file.write(part)
            left -= len(part)
    kind, form = (16, "Q") if big else (4, "I")
    main.tags[offsets] = Tag(
        kind, len(moved), struct.pack(f"{main.order}{len(moved)}{form}", *moved)
    )


def _appender(file: BinaryIO) -> Callable[[int, bytes], int]:
    """What writes bytes at the end of a file, on even offsets, and tells where."""

    def append(number: int, data: bytes) -> int:
        offset = file.seek(0, io.SEEK_END)
        if offset % 2:
            file.write(b"\0")
            offset += 1
        file.write(data)
        return offset

    return append
