"""Metadata in WebP files: the chunks EXIF and XMP.

Source:
    WebP Container Specification, "Extended File Format".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from restore.scan.metadata.block import Metadata
from restore.scan.metadata.jpeg import exif_block, read_exif

_HAS_ICC, _HAS_ALPHA, _HAS_EXIF, _HAS_XMP = 0x20, 0x10, 0x08, 0x04
_MAX_BYTES = 64 << 20


def read_webp(file: BinaryIO) -> Metadata:
    """Read all that a WebP file says beside its pixels."""
    found = Metadata("webp")
    for name, data in _chunks(file, (b"EXIF", b"XMP ")):
        if name == b"EXIF" and found.exif is None:
            read_exif(found, data)
        elif name == b"XMP " and not found.xmp:
            found.xmp = data
    return found


def write_webp(path: Path, metadata: Metadata) -> None:
    """Put EXIF and XMP into a WebP file of one frame that libvips wrote without them."""
    with path.open("rb") as file:
        chunks = dict(_chunks(file, None))
    block = exif_block(metadata)
    if not block and not metadata.xmp:
        return
    head = chunks.pop(b"VP8X", b"") or _extended_head(chunks)
    flags = head[0] | (_HAS_EXIF if block else 0) | (_HAS_XMP if metadata.xmp else 0)
    parts = [(b"VP8X", bytes([flags]) + head[1:]), *chunks.items()]
    parts += [(b"EXIF", block)] * bool(block) + [(b"XMP ", metadata.xmp)] * bool(metadata.xmp)
    body = b"".join(
        name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in parts
    )
    aside = path.with_name(path.name + ".aside")
    aside.write_bytes(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body)
    aside.replace(path)


def _chunks(file: BinaryIO, wanted: tuple[bytes, ...] | None) -> Iterator[tuple[bytes, bytes]]:
    file.seek(12)
    left = _MAX_BYTES if wanted else 1 << 32
    while len(head := file.read(8)) == 8:
        name, size = struct.unpack("<4sI", head)
        if (wanted is None or name in wanted) and size <= left:
            data = file.read(size)
            left -= size
            if len(data) == size:
                yield name, data
            file.seek(size % 2, 1)
        else:
            file.seek(size + size % 2, 1)


def _extended_head(chunks: dict[bytes, bytes]) -> bytes:
    """VP8X of a simple file: alpha and size stand in the head of its bit stream."""
    if b"VP8L" in chunks:
        bits = struct.unpack_from("<I", chunks[b"VP8L"], 1)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        flags = _HAS_ALPHA if bits >> 28 & 1 else 0
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", chunks[b"VP8 "], 6))
        flags = _HAS_ALPHA if b"ALPH" in chunks else 0
    flags |= _HAS_ICC if b"ICCP" in chunks else 0
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes([flags, 0, 0, 0]) + sides
