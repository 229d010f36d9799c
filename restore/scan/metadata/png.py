"""Metadata in PNG files: chunks of text, EXIF, XMP, and IPTC as ImageMagick and ExifTool put it.

Source:
    PNG third edition, 11.3; ExifTool's tag names, PNG TextualData ("Raw profile type").
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from restore.scan.metadata.block import Metadata, Text, decode_text
from restore.scan.metadata.jpeg import exif_block, read_exif, read_photoshop
from restore.scan.metadata.photoshop import iptc_resource, write_resources

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_MAX_TEXT_BYTES = 16 << 20
_COMMENT = "Comment"


def read_png(file: BinaryIO) -> Metadata:
    """Read all that a PNG file says beside its pixels."""
    found = Metadata("png")
    exif = b""
    for kind, data in _chunks(file):
        if kind == b"eXIf" and not exif:
            exif = data
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            keyword, text, language = _read_text(kind, data)
            profile = re.fullmatch(rb"Raw profile type ([\w ]+)", keyword)
            if text is None:
                found.lost.append(f"text {keyword[:79].decode('latin-1')!r} (damaged)")
            elif keyword == _XMP_KEYWORD:
                found.xmp = found.xmp or text
            elif profile:
                exif = _read_profile(found, profile.group(1).lower(), text) or exif
            elif language is None:
                found.texts.append(Text(keyword.decode("latin-1"), decode_text(text), text))
            else:
                said = text.decode("utf-8", "replace")
                found.texts.append(Text(keyword.decode("latin-1"), said, language=language))
        elif kind == b"caBX":
            found.lost.append("content credentials (they hold of the old file only)")
        elif kind == b"acTL":
            found.lost.append("further frames")
        elif kind == b"tIME":
            continue  # when the old file was last changed
    read_exif(found, exif)
    return found


def write_png(path: Path, metadata: Metadata, resolution: tuple[float, float] | None) -> None:
    """Put metadata into a PNG file that libvips wrote without any but its profile."""
    inserted: list[tuple[bytes, bytes]] = []
    if resolution is not None:
        per_metre = [min(max(round(side * 1000), 1), 0x7FFFFFFF) for side in resolution]
        inserted.append((b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if block := exif_block(metadata):
        inserted.append((b"eXIf", block))
    if metadata.xmp:
        inserted.append((b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp))
    if metadata.iptc:
        block = write_resources([iptc_resource(metadata.iptc)])
        inserted.append((b"zTXt", _raw_profile(b"iptc", block)))
    if metadata.resources:
        inserted.append((b"zTXt", _raw_profile(b"8bim", write_resources(metadata.resources))))
    for text in metadata.texts:
        inserted.append(_text_chunk(text))
    for comment in metadata.comments:
        inserted.append(_text_chunk(Text(_COMMENT, decode_text(comment))))
    aside = path.with_name(path.name + ".aside")
    with path.open("rb") as file, aside.open("wb") as out:
        out.write(file.read(len(_SIGNATURE)))
        while len(head := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", head)
            if kind in (b"pHYs", b"tIME", b"eXIf", b"tEXt"):
                file.seek(size + 4, 1)
                continue
            out.write(head)
            left = size + 4
            while left > 0 and (part := file.read(min(left, 1 << 20))):
                out.write(part)
                left -= len(part)
            if kind == b"IHDR":
                for name, data in inserted:
                    crc = zlib.crc32(name + data)
                    out.write(struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc))
    aside.replace(path)


def read_header_chunks(file: BinaryIO) -> dict[bytes, bytes]:
    """Chunks before the pixels that tell what the samples mean, by name."""
    wanted = (b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"pHYs")
    found: dict[bytes, bytes] = {}
    for kind, data in _chunks(file, before_pixels=True):
        if kind in wanted:
            found.setdefault(kind, data)
    return found


def _chunks(file: BinaryIO, *, before_pixels: bool = False) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents of all chunks but the pixels."""
    file.seek(len(_SIGNATURE))
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind == b"IEND" or (before_pixels and kind == b"IDAT"):
            return
        if kind in (b"IDAT", b"fdAT", b"PLTE") or size > _MAX_TEXT_BYTES:
            file.seek(size + 4, 1)
            continue
        data = file.read(size)
        crc = file.read(4)
        if len(data) < size or crc != struct.pack(">I", zlib.crc32(kind + data)):
            continue
        yield kind, data


def _read_text(kind: bytes, data: bytes) -> tuple[bytes, bytes | None, bytes | None]:
    """Keyword, text (None if it is damaged), and the language of what isn't Latin-1."""
    keyword, _, rest = data.partition(b"\0")
    if kind == b"tEXt":
        return keyword, rest, None
    if kind == b"zTXt":
        return keyword, _inflate(rest[1:]) if rest[:1] == b"\0" else None, None
    if len(rest) < 2 or rest.count(b"\0", 2) < 2:
        return keyword, None, None
    language, translated, text = rest[2:].split(b"\0", 2)
    return keyword, _inflate(text) if rest[0] else text, language + b"\0" + translated


def _inflate(data: bytes) -> bytes | None:
    engine = zlib.decompressobj()
    try:
        text = engine.decompress(data, _MAX_TEXT_BYTES)
    except zlib.error:
        return None
    return text if engine.eof else None


def _read_profile(found: Metadata, name: bytes, text: bytes) -> bytes:
    """Take in what ImageMagick writes as "Raw profile type"; returns EXIF."""
    words = text.split(None, 2)
    try:
        data = bytes.fromhex(words[2].decode("ascii")) if len(words) > 2 else b""
    except ValueError:
        data = b""
    if not data:
        found.lost.append(f"profile {name.decode()!r} (damaged)")
    elif name in (b"exif", b"app1") and data.startswith(b"Exif\0\0"):
        return data
    elif name in (b"iptc", b"8bim"):
        if data[:1] == b"\x1c":
            found.take_iptc(data)
        else:
            read_photoshop(found, data)
    elif name in (b"xmp", b"app1"):
        found.xmp = found.xmp or data.removeprefix(b"http://ns.adobe.com/xap/1.0/\0")
    elif name not in (b"icc", b"icm"):
        found.lost.append(f"profile {name.decode()!r}")
    return b""


def _raw_profile(name: bytes, data: bytes) -> bytes:
    digits = data.hex()
    lines = "\n".join(digits[i : i + 72] for i in range(0, len(digits), 72))
    text = f"\n{name.decode()}\n{len(data):8d}\n{lines}\n".encode()
    return b"Raw profile type " + name + b"\0\0" + zlib.compress(text)


def _text_chunk(text: Text) -> tuple[bytes, bytes]:
    keyword = text.keyword.encode("latin-1", "replace")[:79] or b"Comment"
    if text.raw:
        if len(text.raw) > 1024:
            return b"zTXt", keyword + b"\0\0" + zlib.compress(text.raw)
        return b"tEXt", keyword + b"\0" + text.raw
    if text.text.isascii() and text.language == b"\0":
        return b"tEXt", keyword + b"\0" + text.text.encode()
    return b"iTXt", keyword + b"\0\0\0" + text.language + b"\0" + text.text.encode()
