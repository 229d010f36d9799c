"""TIFF directories, as they stand in TIFF files and in EXIF blocks: read, and written anew.

Values stay bytes in the order that they came in, whatever their tag means: so vendors' tags,
unknown ones and texts in old encodings survive.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

EXIF, GPS, INTEROPERABILITY, SUB_DIRECTORIES = 34665, 34853, 40965, 330
MAKER_NOTE = 37500
# Bytes of one value, and of what is swapped in it, by TIFF type.
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}
_SWAPS = {**_SIZES, 5: 4, 10: 4}
_MAX_TAGS, MAX_VALUE_BYTES = 4096, 16 << 20
_MAX_BYTES = 128 << 20
_MAX_DEPTH, _MAX_DIRECTORIES = 4, 64
_MAX_PAGES = 10_000


@dataclass(frozen=True)
class Tag:
    """A value: TIFF type, count, bytes in its directory's order, and where they lay."""

    kind: int
    count: int
    data: bytes
    offset: int = 0

    def numbers(self, order: str) -> tuple[int, ...]:
        """The values of an unsigned integer tag; none if it is of another type."""
        form = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(self.kind)
        return struct.unpack(f"{order}{self.count}{form}", self.data) if form else ()

    def swapped(self) -> Tag:
        """The same value in the other byte order."""
        size = _SWAPS[self.kind]
        if size == 1:
            return self
        data = self.data
        turned = b"".join(data[i : i + size][::-1] for i in range(0, len(data), size))
        return replace(self, data=turned)


@dataclass
class Directory:
    """One directory with those that it points to.

    Attributes:
        order: "<" or ">", of all its values.
        tags: By number; without those that point to other directories.
        children: EXIF, GPS, interoperability, and what vendors keep so, by number.
        num_damaged: Entries that couldn't be read, here and below.
        has_next: Whether another directory follows.
    """

    order: str = "<"
    tags: dict[int, Tag] = field(default_factory=dict)
    children: dict[int, list[Directory]] = field(default_factory=dict)
    num_damaged: int = 0
    has_next: bool = False

    def number(self, tag: int, default: int = 0) -> int:
        """A tag's first number."""
        values = self.tags[tag].numbers(self.order) if tag in self.tags else ()
        return values[0] if values else default

    def set_number(self, tag: int, value: int) -> None:
        """Set a tag to a number, SHORT if it is small enough."""
        kind, form = (3, "H") if value < 65536 else (4, "I")
        self.tags[tag] = Tag(kind, 1, struct.pack(self.order + form, value))

    def set_bytes(self, tag: int, data: bytes, kind: int = 7) -> None:
        """Set a tag to bytes."""
        self.tags[tag] = Tag(kind, len(data), data)

    def set_text(self, tag: int, text: str) -> None:
        """Set a text, in UTF-8."""
        self.set_bytes(tag, text.encode("utf-8", "replace").replace(b"\0", b"") + b"\0", kind=2)

    def child(self, tag: int) -> Directory:
        """The directory that a tag points to; made if there is none."""
        if not self.children.get(tag):
            self.children[tag] = [Directory(self.order)]
        return self.children[tag][0]

    def in_order(self, order: str) -> Directory:
        """The same directory, its values in the order wanted."""
        if order == self.order:
            return self
        return Directory(
            order,
            {number: tag.swapped() for number, tag in self.tags.items()},
            {number: [c.in_order(order) for c in some] for number, some in self.children.items()},
            self.num_damaged,
        )

    def walk(self) -> Iterator[Directory]:
        """This directory and all below."""
        yield self
        for some in self.children.values():
            for child in some:
                yield from child.walk()

    @property
    def is_empty(self) -> bool:
        """Whether it holds nothing."""
        return not self.tags and all(c.is_empty for some in self.children.values() for c in some)


class DirectoryReader:
    """Reads directories from a file or block that begins with a TIFF header."""

    def __init__(self, file: BinaryIO, skipped: frozenset[int] = frozenset()) -> None:
        """Read the header.

        Args:
            file: From its beginning.
            skipped: Tags whose values are not to be read: they come back empty.

        Raises:
            ValueError: If there is no TIFF header.
        """
        self._file = file
        self._skipped = skipped
        self._left = _MAX_BYTES
        self._seen: set[int] = set()
        head = self._at(0, 16)
        if head[:2] not in (b"II", b"MM") or len(head) < 8:
            raise ValueError("no TIFF header")
        self.order = "<" if head[:2] == b"II" else ">"
        version = struct.unpack_from(self.order + "H", head, 2)[0]
        if version not in (42, 43) or len(head) < 8 * (version - 41):
            raise ValueError("no TIFF header")
        self.big = version == 43
        self.start = struct.unpack_from(self.order + ("8xQ" if self.big else "4xI"), head)[0]

    @property
    def forms(self) -> tuple[str, str, str, int]:
        """Of a count, an entry's head, an offset; bytes of values that stand in the entry."""
        return ("Q", "HHQ", "Q", 8) if self.big else ("H", "HHI", "I", 4)

    def main(self) -> Directory:
        """The first directory."""
        return self.directory(self.start)

    def page_offsets(self) -> list[int]:
        """Where the directories of the main chain lie."""
        count_form, _, offset_form, inline = self.forms
        count_size, entry_size = struct.calcsize("<" + count_form), inline * 2 + 4
        offsets: list[int] = []
        offset = self.start
        while offset and offset not in offsets and len(offsets) < _MAX_PAGES:
            raw = self._at(offset, count_size)
            if len(raw) < count_size:
                break
            offsets.append(offset)
            num = struct.unpack(self.order + count_form, raw)[0]
            raw = self._at(offset + count_size + num * entry_size, inline)
            offset = struct.unpack(self.order + offset_form, raw)[0] if len(raw) == inline else 0
        return offsets

    def directory(self, offset: int, depth: int = 0) -> Directory:
        """The directory at an offset, with those below."""
        count_form, head_form, _, inline = self.forms
        count_size, entry_size = struct.calcsize("<" + count_form), inline * 2 + 4
        found = Directory(self.order)
        raw = self._at(offset, count_size)
        if len(raw) < count_size or offset in self._seen or len(self._seen) > _MAX_DIRECTORIES:
            found.num_damaged = 1
            return found
        self._seen.add(offset)
        num = struct.unpack(self.order + count_form, raw)[0]
        entries = self._at(offset + count_size, min(num, _MAX_TAGS) * entry_size + inline)
        found.num_damaged = max(num - len(entries) // entry_size, 0)
        for i in range(min(num, len(entries) // entry_size)):
            entry = entries[i * entry_size : (i + 1) * entry_size]
            number, kind, count = struct.unpack_from(self.order + head_form, entry)
            self._read_entry(found, number, kind, count, entry[-inline:], depth)
        after = entries[num * entry_size :][:inline]
        found.has_next = len(after) == inline and any(after)
        return found

    def _read_entry(
        self, found: Directory, number: int, kind: int, count: int, value: bytes, depth: int
    ) -> None:
        length, offset = _SIZES.get(kind, 0) * count, 0
        if number in found.tags or number in found.children:
            found.num_damaged += 1
            return
        if number in self._skipped:
            found.tags[number] = Tag(kind, 0, b"")
            return
        data = value[:length]
        if length > len(value):
            offset = struct.unpack(self.order + self.forms[2], value)[0]
            data = self._at(offset, length) if length <= MAX_VALUE_BYTES else b""
            self._left -= len(data)
        if not 0 < length == len(data) or self._left < 0:
            found.num_damaged += length > 0 or kind not in _SIZES
            return
        tag = Tag(kind, count, data, offset)
        if number in (EXIF, GPS, INTEROPERABILITY) or kind in (13, 18):
            below = [
                self.directory(where, depth + 1)
                for where in tag.numbers(self.order)[:8]
                if depth < _MAX_DEPTH
            ]
            found.num_damaged += sum(d.num_damaged for d in below)
            below = [d for d in below if not d.is_empty]
            if below:
                found.children[number] = below
            return
        found.tags[number] = tag

    def _at(self, offset: int, length: int) -> bytes:
        if offset >= 1 << 63:
            return b""
        self._file.seek(offset)
        return self._file.read(length)


class DirectoryWriter:
    """Writes directories and their values, each where `place` puts it."""

    def __init__(self, order: str, big: bool, place: Callable[[int, bytes], int]) -> None:
        """Take the byte order, whether it is BigTIFF, and what takes (tag, bytes) to an offset."""
        self._order, self._big, self._place = order, big, place

    def entry(self, number: int, tag: Tag) -> bytes:
        """An entry; what doesn't fit into it is placed."""
        inline, data = 8 if self._big else 4, tag.data
        if len(data) > inline:
            data = self._offset(self._place(number, data))
        form = self._order + ("HHQ" if self._big else "HHI")
        return struct.pack(form, number, tag.kind, tag.count) + data.ljust(inline, b"\0")

    def entries(self, directory: Directory) -> list[bytes]:
        """All entries of a directory; those below are placed."""
        directory = directory.in_order(self._order)
        found = [self.entry(number, tag) for number, tag in directory.tags.items()]
        for number, some in directory.children.items():
            offsets = [
                self._place(0, self.table(self.entries(child)))
                for child in some
                if not child.is_empty
            ]
            if offsets:
                kind, form = (4, "I") if not self._big else (16, "Q")
                data = b"".join(struct.pack(self._order + form, offset) for offset in offsets)
                found.append(self.entry(number, Tag(kind, len(offsets), data)))
        return found

    def table(self, entries: list[bytes], next_offset: int = 0) -> bytes:
        """A directory of entries, sorted."""
        entries = sorted(entries, key=lambda entry: struct.unpack(self._order + "H", entry[:2])[0])
        count = struct.pack(self._order + ("Q" if self._big else "H"), len(entries))
        return count + b"".join(entries) + self._offset(next_offset)

    def _offset(self, offset: int) -> bytes:
        return struct.pack(self._order + ("Q" if self._big else "I"), offset)


def read_block(block: bytes) -> Directory:
    """Read an EXIF block's directories.

    Raises:
        ValueError: If it is none.
    """
    return DirectoryReader(io.BytesIO(block)).main()


def write_block(main: Directory) -> bytes:
    """An EXIF block of directories.

    Maker notes point by offsets into the block, so they stay where they were wherever possible.
    """
    order = main.order
    note = next((d.tags[MAKER_NOTE] for d in main.walk() if MAKER_NOTE in d.tags), None)
    keeps_note = note is not None and 8 <= note.offset < 60_000 and len(note.data) > 4
    barred = (note.offset, note.offset + len(note.data)) if note and keeps_note else (0, 0)
    body = bytearray(8)

    def place(number: int, data: bytes) -> int:
        if number == MAKER_NOTE and keeps_note and len(data) == barred[1] - barred[0]:
            body.extend(bytes(max(barred[1] - len(body), 0)))
            body[barred[0] : barred[1]] = data
            return barred[0]
        gaps = len(body) % 2
        start = len(body) + gaps
        if start < barred[1] and start + len(data) > barred[0]:
            start = barred[1] + barred[1] % 2
        body.extend(bytes(start - len(body)))
        body.extend(data)
        return start

    writer = DirectoryWriter(order, False, place)
    # The main directory comes first, as EXIF readers of old expect; its size is known beforehand.
    num = len(main.tags) + sum(
        any(not child.is_empty for child in some) for some in main.children.values()
    )
    size = 2 + 12 * num + 4
    if keeps_note and barred[0] < 8 + size:
        entries = writer.entries(main)
        start = place(0, writer.table(entries))
    else:
        start = place(0, bytes(size))
        table = writer.table(writer.entries(main))
        assert len(table) == size
        body[start : start + size] = table
    body[:8] = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return bytes(body)
