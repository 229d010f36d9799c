"""Metadata in JPEG files: application segments and comments.

Source:
    JPEG (ITU-T T.81) B.1; Exif 3.0, 4.7; XMP part 3, 1.1.3; Photoshop File Formats, resources.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from restore.scan.metadata import tags as t
from restore.scan.metadata.block import Metadata, Segment, Text
from restore.scan.metadata.directories import MAKER_NOTE, Directory, read_block, write_block
from restore.scan.metadata.photoshop import (
    IPTC_RESOURCE,
    iptc_resource,
    keep_resources,
    read_resources,
    write_resources,
)
from restore.scan.metadata.xmp import (
    JPEG_MAX_BYTES,
    extended_guid,
    forget_extended,
    join_extended,
    split_extended,
    trim,
)

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_EXTENDED, _PHOTOSHOP = b"http://ns.adobe.com/xmp/extension/\0", b"Photoshop 3.0\0"
_ICC, _JFIF, _JFXX, _ADOBE = b"ICC_PROFILE\0", b"JFIF\0", b"JFXX\0", b"Adobe"
_MPF, _JUMBF, _DUCKY = b"MPF\0", b"JP", b"Ducky"
_MAX_SEGMENT = 65_533
_MAX_BYTES = 128 << 20


def read_jpeg(file: BinaryIO) -> Metadata:
    """Read all that a JPEG file says beside its pixels."""
    found = Metadata("jpeg")
    exif = photoshop = b""
    extended: dict[bytes, list[tuple[int, int, bytes]]] = {}
    for marker, data in _segments(file):
        if marker == 0xFE:
            found.comments.append(data)
        elif data.startswith(_EXIF) and not exif:
            exif = data[len(_EXIF) :]
        elif data.startswith(_XMP) and not found.xmp:
            found.xmp = data[len(_XMP) :]
        elif data.startswith(_EXTENDED) and len(data) >= len(_EXTENDED) + 40:
            guid, (full, offset) = data[35:67], struct.unpack_from(">II", data, 67)
            extended.setdefault(guid, []).append((offset, full, data[75:]))
        elif data.startswith(_PHOTOSHOP):
            photoshop += data[len(_PHOTOSHOP) :]
        else:
            _read_other(found, marker, data)
    read_photoshop(found, photoshop)
    read_exif(found, exif)
    _read_extended(found, extended)
    return found


def read_exif(found: Metadata, block: bytes) -> None:
    """Take an EXIF block into the record."""
    block = block.removeprefix(_EXIF)
    if not block:
        return
    try:
        found.exif = read_block(block)
    except ValueError:
        found.lost.append("EXIF (damaged)")
        return
    main = found.exif
    if t.XMP in main.tags and not found.xmp:
        found.xmp = main.tags[t.XMP].data
    if t.IPTC in main.tags:
        found.take_iptc(main.tags[t.IPTC].data)
    found.lost += t.describe_only(main, of_tiff=False)
    if found.exif.num_damaged:
        found.lost.append(f"{found.exif.num_damaged} damaged EXIF entries")
    if found.exif.has_next:
        found.lost.append("EXIF's preview")


def read_photoshop(found: Metadata, block: bytes) -> None:
    """Take Photoshop's resources into the record, IPTC by itself."""
    resources, whole = read_resources(block)
    if not whole:
        found.lost.append("damaged Photoshop resources")
    for resource in resources:
        if resource.number == IPTC_RESOURCE:
            found.take_iptc(resource.data)
    kept, lost = keep_resources(resources)
    found.resources += kept
    found.lost += lost


def write_jpeg(path: Path, metadata: Metadata, resolution: tuple[float, float] | None) -> None:
    """Put metadata into a JPEG file that libvips wrote without any but its profile."""
    inserted = [(0xE0, _jfif(resolution))]
    if metadata.exif is not None and not metadata.exif.is_empty:
        inserted.append((0xE1, _EXIF + _fit_exif(metadata)))
    if metadata.xmp:
        inserted += _xmp_segments(metadata)
    resources = list(metadata.resources)
    if metadata.iptc:
        resources.append(iptc_resource(metadata.iptc))
    block = write_resources(resources)
    step = _MAX_SEGMENT - len(_PHOTOSHOP)
    for start in range(0, len(block), step):
        inserted.append((0xED, _PHOTOSHOP + block[start : start + step]))
    inserted += [(segment.marker, segment.data) for segment in metadata.segments]
    comments = metadata.comments + [_comment(text) for text in metadata.texts]
    for comment in comments:
        for start in range(0, len(comment) or 1, _MAX_SEGMENT):
            inserted.append((0xFE, comment[start : start + _MAX_SEGMENT]))
    aside = path.with_name(path.name + ".aside")
    with path.open("rb") as file, aside.open("wb") as out:
        out.write(b"\xff\xd8")
        for marker, data in inserted:
            out.write(b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data)
        file.seek(2)
        if (head := file.read(4))[:2] == b"\xff\xe0":  # libvips' JFIF
            file.seek(2 + 2 + struct.unpack(">H", head[2:])[0])
        else:
            file.seek(2)
        shutil.copyfileobj(file, out, 1 << 20)
    aside.replace(path)


def _segments(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Markers and contents of application segments and comments before the pixels."""
    file.seek(2)
    left = _MAX_BYTES
    while left > 0:
        byte = file.read(1)
        while byte and byte != b"\xff":
            byte = file.read(1)
        while byte == b"\xff":
            byte = file.read(1)
        if not byte or byte[0] in (0xD9, 0xDA):
            return
        if byte[0] in (0, 1) or 0xD0 <= byte[0] <= 0xD8:
            continue
        size = file.read(2)
        if len(size) < 2 or struct.unpack(">H", size)[0] < 2:
            return
        data = file.read(struct.unpack(">H", size)[0] - 2)
        left -= len(data)
        if 0xE0 <= byte[0] <= 0xEF or byte[0] == 0xFE:
            yield byte[0], data


def _read_other(found: Metadata, marker: int, data: bytes) -> None:
    if data.startswith((_JFIF, _ICC, _ADOBE, _DUCKY)) or not data.strip(b"\0"):
        return  # how the pixels are encoded
    for start, name in (
        *((_JFXX, "JFIF's preview"), (_MPF, "further pictures (MPF)")),
        (_JUMBF, "content credentials (they hold of the old file only)"),
        *((_EXIF, "a second EXIF block"), (_XMP, "a second XMP packet")),
        *((_EXTENDED, "damaged extended XMP"), (b"AROT", "a gain map"), (b"urn:iso", "a gain map")),
    ):
        if data.startswith(start):
            found.lost.append(name)
            return
    found.segments.append(Segment(marker, data))


def _read_extended(found: Metadata, extended: dict[bytes, list[tuple[int, int, bytes]]]) -> None:
    guid = extended_guid(found.xmp)
    parts = extended.pop(guid.encode("ascii", "replace"), [])
    if extended:
        found.lost.append("extended XMP that belongs to no packet")
    if not guid:
        return
    whole = b"".join(data for _, _, data in sorted(parts))
    digest = hashlib.md5(whole, usedforsecurity=False).hexdigest()
    sizes = {full for _, full, _ in parts}
    joined = None
    if digest.upper() == guid.upper() and sizes == {len(whole)}:
        joined = join_extended(found.xmp, whole)
        found.xmp_extended = b"" if joined else whole
    if joined is None and not found.xmp_extended:
        found.lost.append("extended XMP (incomplete)")
        found.xmp = forget_extended(found.xmp)
    elif joined is not None:
        found.xmp = joined


def _jfif(resolution: tuple[float, float] | None) -> bytes:
    unit, x, y = 0, 1, 1
    if resolution is not None:
        dpi = [round(side * 25.4) for side in resolution]
        if all(0 < side < 65536 for side in dpi):
            unit, (x, y) = 1, dpi
    return _JFIF + struct.pack(">HBHHBB", 0x0102 if unit else 0x0101, unit, x, y, 0, 0)


def _fit_exif(metadata: Metadata) -> bytes:
    """The EXIF block; where it is too long without its largest values, which are named."""
    main = metadata.directory()
    block = write_block(main)
    while len(block) > _MAX_SEGMENT - len(_EXIF):
        size, number, holder = max(
            ((len(t.data), n, d) for d in main.walk() for n, t in d.tags.items()),
            key=lambda found: found[0],
        )
        del holder.tags[number]
        name = "the maker's note" if number == MAKER_NOTE else f"tag {number}"
        metadata.lost.append(f"{name} ({size} bytes, too long for JPEG)")
        block = write_block(main)
    return block


def _xmp_segments(metadata: Metadata) -> list[tuple[int, bytes]]:
    packet, extended = metadata.xmp, metadata.xmp_extended
    if len(packet) > JPEG_MAX_BYTES:
        packet = trim(packet)
    if len(packet) > JPEG_MAX_BYTES:
        parts = None if extended else split_extended(packet)
        if parts is None:
            metadata.lost.append("XMP (too long for JPEG)")
            return []
        packet, extended = parts
        metadata.changed.append("XMP (too long for one segment: now extended XMP)")
    found = [(0xE1, _XMP + packet)]
    guid = hashlib.md5(extended, usedforsecurity=False).hexdigest().upper().encode()
    for start in range(0, len(extended), 65_400):
        head = _EXTENDED + guid + struct.pack(">II", len(extended), start)
        found.append((0xE1, head + extended[start : start + 65_400]))
    return found


def _comment(text: Text) -> bytes:
    """PNG's text as a comment; a comment stays what it was."""
    said = text.raw or text.text.encode()
    if text.keyword == "Comment":
        return said
    return f"{text.keyword}: {text.text}".encode()


def exif_block(metadata: Metadata) -> bytes:
    """The EXIF block for formats that set no limit; empty if there is nothing to say."""
    main: Directory | None = metadata.exif
    return b"" if main is None or main.is_empty else write_block(main)
