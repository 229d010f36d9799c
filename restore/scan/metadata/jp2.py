"""Metadata in JPEG 2000 files: boxes that hold EXIF, IPTC, XMP and the resolution.

Source:
    ISO/IEC 15444-1, annex I; XMP part 3, 1.1.7; ExifTool's tag names, Jpeg2000.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from restore.scan.metadata.block import Metadata
from restore.scan.metadata.jpeg import read_exif

_EXIF = b"JpgTiffExif->JP2"
_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_IPTC = bytes.fromhex("33c7a4d2b81d4723a0baf1a3e097ad38")
_MAX_BYTES = 16 << 20


def read_jp2(file: BinaryIO) -> Metadata:
    """Read all that a JPEG 2000 file says beside its pixels."""
    found = Metadata("jp2")
    for kind, start, size in _boxes(file, 0, file.seek(0, 2)):
        if kind != b"uuid" or size > _MAX_BYTES:
            continue
        file.seek(start)
        data = file.read(size)
        name, data = data[:16], data[16:]
        if name == _EXIF and found.exif is None:
            read_exif(found, data)
        elif name == _XMP:
            found.xmp = found.xmp or data
        elif name == _IPTC:
            found.take_iptc(data)
    return found


def read_jp2_header(file: BinaryIO) -> tuple[bytes | None, tuple[float, float] | None]:
    """The ICC profile, and the resolution in px/mm; None for what isn't there."""
    icc = resolution = None
    for kind, start, size in _boxes(file, 0, file.seek(0, 2)):
        if kind != b"jp2h":
            continue
        for inner, begin, length in _boxes(file, start, start + size):
            file.seek(begin)
            if inner == b"colr" and length <= _MAX_BYTES and icc is None:
                data = file.read(length)
                icc = data[3:] if data[:1] == b"\2" else None
            elif inner == b"res ":
                resolution = _read_resolution(file, begin, begin + length)
    return icc, resolution


def _read_resolution(file: BinaryIO, start: int, end: int) -> tuple[float, float] | None:
    for kind, begin, size in _boxes(file, start, end):
        if kind in (b"resc", b"resd") and size >= 10:
            file.seek(begin)
            vn, vd, hn, hd, ve, he = struct.unpack(">HHHHbb", file.read(10))
            if vn and vd and hn and hd and max(abs(ve), abs(he)) < 12:
                return hn / hd * 10.0**he / 1000, vn / vd * 10.0**ve / 1000
    return None


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind of each box, and start and size of its content."""
    while start + 8 <= end:
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            return
        size, kind = struct.unpack_from(">I4s", head)
        skipped = 8
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack_from(">Q", head, 8)
            skipped = 16
        size = size or end - start
        if size < skipped or start + size > end:
            return
        yield kind, start + skipped, size - skipped
        start += size
