"""Read the descriptive tags and EXIF of a TIFF file or EXIF block, and add them to a TIFF file.

libvips keeps ICC, XMP and IPTC of TIFF files but neither EXIF nor the tags that name camera,
artist and date.
"""

from __future__ import annotations

import io
import struct
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from restore.errors import PhotoError

# Descriptive tags of the main directory, and what libvips calls them in EXIF.
TEXT_TAGS = {
    269: "exif-ifd0-DocumentName",
    270: "exif-ifd0-ImageDescription",
    271: "exif-ifd0-Make",
    272: "exif-ifd0-Model",
    305: "exif-ifd0-Software",
    306: "exif-ifd0-DateTime",
    315: "exif-ifd0-Artist",
    33432: "exif-ifd0-Copyright",
}
_KEPT = {*TEXT_TAGS, 285, 316}  # and page name, host computer
_COMPRESSION, _EXIF_IFD, _GPS_IFD, _INTEROPERABILITY_IFD = 259, 34665, 34853, 40965
# Bytes of one value, and of what is swapped in it, by TIFF type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_SWAPS = {**_SIZES, 5: 4, 10: 4}
_MAX_TAGS, _MAX_VALUE_BYTES = 500, 1 << 20


@dataclass(frozen=True)
class Tag:
    """A value: TIFF type, count, and its bytes in this machine's order."""

    kind: int
    count: int
    data: bytes


@dataclass
class Tags:
    """Descriptive tags of the main directory, EXIF and GPS."""

    main: dict[int, Tag] = field(default_factory=dict)
    exif: dict[int, Tag] = field(default_factory=dict)
    gps: dict[int, Tag] = field(default_factory=dict)
    compression: int = 0

    def texts(self) -> dict[int, str]:
        """The main directory's texts."""
        texts = {}
        for number, tag in self.main.items():
            text = tag.data.split(b"\0")[0].decode("utf-8", "replace").strip()
            if tag.kind == 2 and number in TEXT_TAGS and text:
                texts[number] = text
        return texts

    def set_text(self, number: int, text: str) -> None:
        """Set a text of the main directory."""
        data = text.encode() + b"\0"
        self.main[number] = Tag(2, len(data), data)


def read_tiff(path: Path | None) -> Tags:
    """Read a TIFF file's tags; None, or a file with a damaged directory, gives none."""
    if path is None:
        return Tags()
    try:
        with open(path, "rb") as file:
            return _Reader(file).tags()
    except (OSError, struct.error, ValueError):
        return Tags()


def read_exif(block: bytes) -> Tags:
    """Read the tags of an EXIF block."""
    try:
        return _Reader(io.BytesIO(block.removeprefix(b"Exif\0\0"))).tags()
    except (struct.error, ValueError):
        return Tags()


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        head = self._at(0, 16)
        if head[:2] not in (b"II", b"MM"):
            raise ValueError("no TIFF header")
        self.order = "<" if head[:2] == b"II" else ">"
        (version,) = struct.unpack_from(self.order + "H", head, 2)
        self.big = version == 43
        self.start = struct.unpack_from(self.order + ("8xQ" if self.big else "4xI"), head)[0]

    def tags(self) -> Tags:
        main = self.directory(self.start)
        tags = Tags(main={number: main[number] for number in sorted(_KEPT & set(main))})
        tags.compression = _number(main.get(_COMPRESSION))
        if _EXIF_IFD in main:
            tags.exif = self.directory(_number(main[_EXIF_IFD]))
            tags.exif.pop(_INTEROPERABILITY_IFD, None)
        if _GPS_IFD in main:
            tags.gps = self.directory(_number(main[_GPS_IFD]))
        return tags

    def directory(self, offset: int) -> dict[int, Tag]:
        count_form, entry_form, inline = ("Q", "HHQ", 8) if self.big else ("H", "HHI", 4)
        count_size, entry_size = (8, 20) if self.big else (2, 12)
        (num,) = struct.unpack(self.order + count_form, self._at(offset, count_size))
        entries = self._at(offset + count_size, min(num, _MAX_TAGS) * entry_size)
        tags = {}
        for i in range(len(entries) // entry_size):
            entry = entries[i * entry_size : (i + 1) * entry_size]
            number, kind, count = struct.unpack_from(self.order + entry_form, entry)
            length = _SIZES.get(kind, 0) * count
            if not 0 < length <= _MAX_VALUE_BYTES:
                continue
            data = entry[-inline:][:length]
            if length > inline:
                where = struct.unpack(self.order + ("Q" if self.big else "I"), entry[-inline:])[0]
                data = self._at(where, length)
            if len(data) == length:
                tags[number] = Tag(kind, count, self._native(data, kind))
        return tags

    def _at(self, offset: int, length: int) -> bytes:
        self.file.seek(offset)
        return self.file.read(length)

    def _native(self, data: bytes, kind: int) -> bytes:
        size = _SWAPS[kind]
        if size == 1 or self.order == _native_order():
            return data
        return b"".join(data[i : i + size][::-1] for i in range(0, len(data), size))


def append_tags(path: Path, tags: Tags) -> None:
    """Add tags to a TIFF file that libvips wrote; tags that it has already stay.

    Raises:
        PhotoError: If the file can't be written.
    """
    try:
        with open(path, "r+b") as file:
            reader = _Reader(file)
            if reader.order != _native_order():
                return
            count_form, inline = ("Q", 8) if reader.big else ("H", 4)
            count_size, entry_size = (8, 20) if reader.big else (2, 12)
            (num,) = struct.unpack("=" + count_form, reader._at(reader.start, count_size))
            raw = reader._at(reader.start + count_size, num * entry_size)
            entries = [raw[i : i + entry_size] for i in range(0, len(raw), entry_size)]
            known = {struct.unpack("=H", entry[:2])[0] for entry in entries}
            writer = _Writer(file, reader.big)
            added = {n: tag for n, tag in tags.main.items() if n not in known}
            for number, directory in ((_EXIF_IFD, tags.exif), (_GPS_IFD, tags.gps)):
                if directory and number not in known:
                    offset = writer.directory([writer.entry(n, t) for n, t in directory.items()])
                    added[number] = Tag(13 if reader.big else 4, 1, struct.pack("=I", offset))
            entries += [writer.entry(number, tag) for number, tag in added.items()]
            start = writer.directory(entries)
            file.seek(inline if not reader.big else 8)
            file.write(struct.pack("=Q" if reader.big else "=I", start))
    except (OSError, struct.error, ValueError) as error:
        raise PhotoError(f"{path.name}: its tags can't be written ({error})") from error


class _Writer:
    """Appends values and directories to the end of a file."""

    def __init__(self, file: BinaryIO, big: bool) -> None:
        self.file = file
        self.inline = 8 if big else 4
        self.big = big

    def entry(self, number: int, tag: Tag) -> bytes:
        data = tag.data
        if len(data) > self.inline:
            data = struct.pack("=Q" if self.big else "=I", self._append(data))
        form = "=HHQ" if self.big else "=HHI"
        return struct.pack(form, number, tag.kind, tag.count) + data.ljust(self.inline, b"\0")

    def directory(self, entries: list[bytes]) -> int:
        entries = sorted(entries, key=lambda entry: struct.unpack("=H", entry[:2])[0])
        count = struct.pack("=Q" if self.big else "=H", len(entries))
        return self._append(count + b"".join(entries) + b"\0" * self.inline)

    def _append(self, data: bytes) -> int:
        offset = self.file.seek(0, io.SEEK_END)
        if offset % 2:
            self.file.write(b"\0")
            offset += 1
        self.file.write(data)
        return offset


def _number(tag: Tag | None) -> int:
    if tag is None:
        return 0
    form = {3: "=H", 4: "=I", 13: "=I", 16: "=Q", 18: "=Q"}.get(tag.kind)
    return int(struct.unpack_from(form, tag.data)[0]) if form else 0


def _native_order() -> str:
    return "<" if sys.byteorder == "little" else ">"
