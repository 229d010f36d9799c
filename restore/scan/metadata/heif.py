"""Metadata in HEIF files (AVIF, HEIC): items that hold EXIF and XMP.

libheif writes the picture; two items are then added to the file's table, which moves what follows.

Source:
    ISO/IEC 14496-12 (boxes, iloc, iinf, iref) and 23008-12, annex A.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from restore.scan.metadata.block import Metadata
from restore.scan.metadata.jpeg import exif_block, read_exif

_XMP_TYPE = b"application/rdf+xml"
_MAX_META_BYTES = 16 << 20


@dataclass
class _Item:
    """An entry of iloc: how its extents are given, and where they lie."""

    number: int
    method: int = 0
    extents: list[tuple[int, int]] = field(default_factory=list)


def read_heif(file: BinaryIO) -> Metadata:
    """Read EXIF and XMP of a HEIF file; its transformations have been applied to the pixels."""
    found = Metadata("heif")
    try:
        for start, size, kind in _top_boxes(file):
            if kind == b"meta" and size <= _MAX_META_BYTES:
                file.seek(start)
                _read_meta(found, file, file.read(size))
                break
    except (struct.error, ValueError, IndexError):
        found.lost.append("EXIF and XMP (damaged)")
    return found


def write_heif(path: Path, metadata: Metadata) -> None:
    """Add EXIF and XMP to a HEIF file that libvips wrote without them."""
    items = []
    if block := exif_block(metadata):
        items.append((b"Exif\0", struct.pack(">I", 0) + block))
    if metadata.xmp:
        items.append((b"mime\0" + _XMP_TYPE + b"\0", metadata.xmp))
    if not items:
        return
    aside = path.with_name(path.name + ".aside")
    with path.open("rb") as file, aside.open("wb") as out:
        boxes = list(_top_boxes(file))
        meta_start, meta_size = next((s, n) for s, n, kind in boxes if kind == b"meta")
        end = file.seek(0, 2)
        file.seek(meta_start)
        meta = file.read(meta_size)
        grown = len(_add_items(meta, items, 0, 0))
        moved = grown - meta_size
        meta = _add_items(meta, items, moved, end + moved + 8)
        file.seek(0)
        out.write(file.read(meta_start))
        out.write(meta)
        file.seek(meta_start + meta_size)
        shutil.copyfileobj(file, out, 1 << 20)
        data = b"".join(data for _, data in items)
        out.write(struct.pack(">I4s", len(data) + 8, b"mdat") + data)
    aside.replace(path)


def _top_boxes(file: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Start, size and kind of the file's boxes."""
    end = file.seek(0, 2)
    start = 0
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
        size = size or end - start
        if size < 8:
            return
        yield start, size, kind
        start += size


def _boxes(data: bytes, start: int) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and kind of boxes inside another."""
    while start + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, start)
        size = size or len(data) - start
        if size < 8 or start + size > len(data):
            return
        yield start, start + size, kind
        start += size


def _read_meta(found: Metadata, file: BinaryIO, meta: bytes) -> None:
    parts = {kind: meta[start + 8 : end] for start, end, kind in _boxes(meta, 12)}
    kinds = _read_kinds(parts.get(b"iinf", b""))
    for item in _read_locations(parts.get(b"iloc", b""))[1]:
        kind = kinds.get(item.number, b"")
        if kind != b"Exif" and not (kind.startswith(b"mime") and _XMP_TYPE in kind):
            continue
        data = b""
        for offset, size in item.extents:
            if item.method == 1:
                data += parts.get(b"idat", b"")[offset : offset + size]
            elif size <= _MAX_META_BYTES:
                file.seek(offset)
                data += file.read(size)
        if kind == b"Exif":
            skipped = 4 + (struct.unpack_from(">I", data)[0] if len(data) >= 4 else 0)
            read_exif(found, data[skipped:])
        elif not found.xmp:
            found.xmp = data


def _read_kinds(iinf: bytes) -> dict[int, bytes]:
    """Item types by number; those of mime items with all that follows."""
    found = {}
    start = 6 if iinf[:1] == b"\0" else 8
    for begin, end, kind in _boxes(iinf, start):
        if kind == b"infe" and iinf[begin + 8] in (2, 3):
            wide = iinf[begin + 8] == 3
            (number,) = struct.unpack_from(">I" if wide else ">H", iinf, begin + 12)
            place = begin + 12 + (4 if wide else 2) + 2
            name = iinf[place : place + 4]
            found[number] = iinf[place:end] if name == b"mime" else name
    return found


def _read_locations(iloc: bytes) -> tuple[int, list[_Item]]:
    """Version and items of iloc."""
    if len(iloc) < 8:
        return 0, []
    version = iloc[0]
    sizes = (iloc[4] >> 4, iloc[4] & 15, iloc[5] >> 4, iloc[5] & 15 if version else 0)
    place = 6

    def take(size: int) -> int:
        nonlocal place
        if place + size > len(iloc):
            raise ValueError("iloc ends early")
        value = int.from_bytes(iloc[place : place + size], "big")
        place += size
        return value

    items = []
    for _ in range(take(4 if version == 2 else 2)):
        item = _Item(take(4 if version == 2 else 2))
        item.method = take(2) & 15 if version else 0
        take(2)
        base = take(sizes[2])
        for _ in range(take(2)):
            take(sizes[3])
            offset, size = take(sizes[0]), take(sizes[1])
            item.extents.append((base + offset, size))
        items.append(item)
    return version, items


def _add_items(meta: bytes, added: list[tuple[bytes, bytes]], moved: int, data_start: int) -> bytes:
    """The meta box with further items, what lies behind it having moved."""
    parts = [(kind, meta[start + 8 : end]) for start, end, kind in _boxes(meta, 12)]
    by_kind = dict(parts)
    _, items = _read_locations(by_kind[b"iloc"])
    (primary,) = struct.unpack_from(">H" if by_kind[b"pitm"][0] == 0 else ">I", by_kind[b"pitm"], 4)
    first = max(item.number for item in items) + 1
    for item in items:
        if item.method == 0:
            item.extents = [(offset + moved, size) for offset, size in item.extents]
    infos = references = b""
    for number, (kind, data) in enumerate(added, first):
        # Version 2: number, no protection, type, an empty name, then the type of a mime item.
        about = struct.pack(">IHH", 2 << 24, number, 0) + kind[:4] + b"\0" + kind[5:]
        infos += _box(b"infe", about)
        references += _box(b"cdsc", struct.pack(">HHH", number, 1, primary))
        items.append(_Item(number, 0, [(data_start, len(data))]))
        data_start += len(data)
    body = b""
    for kind, data in parts:
        if kind == b"iloc":
            data = _locations(items)
        elif kind == b"iinf":
            form, start = (">H", 6) if data[0] == 0 else (">I", 8)
            (num,) = struct.unpack_from(form, data, 4)
            data = data[:4] + struct.pack(form, num + len(added)) + data[start:] + infos
        elif kind == b"iref":
            if data[0]:
                raise ValueError("item references with wide numbers")
            data += references
        body += _box(kind, data)
    if b"iref" not in by_kind:
        body += _box(b"iref", bytes(4) + references)
    return _box(b"meta", meta[8:12] + body)


def _locations(items: list[_Item]) -> bytes:
    """An iloc of version 1, with offsets and lengths of 8 bytes."""
    data = struct.pack(">IBBH", 1 << 24, 0x88, 0, len(items))
    for item in items:
        data += struct.pack(">HHHH", item.number, item.method, 0, len(item.extents))
        data += b"".join(struct.pack(">QQ", *extent) for extent in item.extents)
    return data


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data) + 8, kind) + data
