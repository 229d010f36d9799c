"""Metadata in GIF files: comments and XMP.

Source:
    GIF89a, 24 and 26; XMP part 3, 1.1.2.
"""

from __future__ import annotations

from typing import BinaryIO

from restore.scan.metadata.block import Metadata

_XMP = b"XMP DataXMP"
_XMP_TRAILER_BYTES = 257  # after the packet, which isn't cut into blocks
_MAX_BYTES = 16 << 20


def read_gif(file: BinaryIO) -> Metadata:
    """Read all that a GIF file says beside its pixels."""
    found = Metadata("gif")
    file.seek(10)
    flags = file.read(3)
    if len(flags) == 3 and flags[0] & 0x80:
        file.seek(3 << (flags[0] & 7) + 1, 1)
    while (kind := file.read(1)) in (b"!", b","):
        if kind == b",":
            head = file.read(9)
            if len(head) == 9 and head[8] & 0x80:
                file.seek(3 << (head[8] & 7) + 1, 1)
            file.seek(1, 1)
            _read_blocks(file)
            continue
        label = file.read(1)
        if label == b"\xfe":
            found.comments.append(_read_blocks(file))
        elif label == b"\xff" and _read_name(file) == _XMP:
            found.xmp = found.xmp or _read_xmp(file)
        else:
            _read_blocks(file)
    return found


def _read_name(file: BinaryIO) -> bytes:
    size = file.read(1)
    return file.read(size[0]) if size else b""


def _read_blocks(file: BinaryIO) -> bytes:
    data = bytearray()
    while (size := file.read(1)) and size[0] and len(data) < _MAX_BYTES:
        data += file.read(size[0])
    return bytes(data)


def _read_xmp(file: BinaryIO) -> bytes:
    """The packet's letters are read as block lengths, which the trailer makes end."""
    data = bytearray()
    while (size := file.read(1)) and size[0] and len(data) < _MAX_BYTES:
        data += size + file.read(size[0])
    return bytes(data[: -(_XMP_TRAILER_BYTES - 1)])
