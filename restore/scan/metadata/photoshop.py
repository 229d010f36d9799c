"""Photoshop's image resources, and the IPTC records that JPEG files keep among them."""

from __future__ import annotations

import struct
from typing import NamedTuple

IPTC_RESOURCE = 0x0404
# What describes the old pixels: resolution, previews, layers' state, the JPEG quality.
_RESOLUTION = 0x03ED
_PREVIEWS = (0x0409, 0x040C)
_STATE = (0x0400, 0x0406, 0x0408, 0x040D, 0x0410, 0x0426, 0x042D, 0x0430)
# Held by other blocks: profile, EXIF, XMP.
_ELSEWHERE = (0x040F, 0x0422, 0x0423, 0x0424)
_KINDS = (b"8BIM", b"PHUT", b"DCSR", b"AgHg", b"MeSa")


class Resource(NamedTuple):
    """One resource: its kind, number, name with its length and padding, and content."""

    kind: bytes
    number: int
    name: bytes
    data: bytes


def read_resources(block: bytes) -> tuple[list[Resource], bool]:
    """Resources of a block, and whether all of it was understood."""
    found: list[Resource] = []
    place = 0
    while place < len(block):
        if not block[place:].strip(b"\0"):
            break
        if len(block) < place + 12 or block[place : place + 4] not in _KINDS:
            return found, False
        kind = block[place : place + 4]
        (number,) = struct.unpack_from(">H", block, place + 4)
        name_size = block[place + 6] + 1
        name_size += name_size % 2
        name = block[place + 6 : place + 6 + name_size]
        start = place + 6 + name_size + 4
        if start > len(block):
            return found, False
        (size,) = struct.unpack_from(">I", block, start - 4)
        data = block[start : start + size]
        if len(data) < size:
            return found, False
        found.append(Resource(kind, number, name, data))
        place = start + size + size % 2
    return found, True


def write_resources(resources: list[Resource]) -> bytes:
    """A block of resources."""
    parts = []
    for kind, number, name, data in resources:
        parts += [kind, struct.pack(">H", number), name, struct.pack(">I", len(data)), data]
        parts.append(b"\0" * (len(data) % 2))
    return b"".join(parts)


def iptc_resource(iptc: bytes) -> Resource:
    """IPTC records as a resource."""
    return Resource(b"8BIM", IPTC_RESOURCE, b"\0\0", iptc)


def keep_resources(resources: list[Resource]) -> tuple[list[Resource], list[str]]:
    """Resources that still hold of the restored photograph, and names of what is left out."""
    kept, lost = [], []
    for resource in resources:
        if resource.number in _PREVIEWS:
            lost.append("Photoshop's preview")
        elif resource.number not in (IPTC_RESOURCE, _RESOLUTION, *_STATE, *_ELSEWHERE):
            kept.append(resource)
    return kept, lost


def trim_iptc(data: bytes) -> tuple[bytes, bool]:
    """IPTC records without the padding after them, and whether all of them could be read.

    Some writers store them as 32-bit numbers in TIFF, whose bytes others then swap; that is undone.
    """
    if data[:1] != b"\x1c" and data[3:4] == b"\x1c":
        data += b"\0" * (-len(data) % 4)
        data = b"".join(data[i : i + 4][::-1] for i in range(0, len(data), 4))
    size = iptc_size(data)
    return data[:size], not data[size:].strip(b"\0")


def iptc_size(data: bytes) -> int:
    """Length of the whole records at the beginning."""
    place = 0
    while data[place : place + 1] == b"\x1c" and place + 5 <= len(data):
        (size,) = struct.unpack_from(">H", data, place + 3)
        start = place + 5
        if size & 0x8000:  # an extended record: the length of its length
            num = size & 0x7FFF
            if num > 4 or start + num > len(data):
                break
            size = int.from_bytes(data[start : start + num], "big")
            start += num
        if start + size > len(data):
            break
        place = start + size
    return place
