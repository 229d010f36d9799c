"""Photographs that say much beside their pixels, written by other software; and readers of that."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import exifread
import tifffile
from photo_zoo import DPI, draw_photo, profile
from PIL import Image, IptcImagePlugin, PngImagePlugin

XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
 photoshop:City="Köln"><dc:title><rdf:Alt><rdf:li xml:lang="x-default">Großmutter</rdf:li></rdf:Alt>
</dc:title></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()
CAPTION = "Großmutter am Fluß".encode("latin-1")
ARTIST = "José Núñez".encode("latin-1")
COMMENT = "Élise à la plage"
TEXTS = {"Title": "Hochzeit Müller", "Creation Time": "1932", "Shelf": "Zürich 7"}
NOTE = b"Maker\0" + bytes(range(200))
PRIVATE_TAG, PRIVATE = 0xC7F0, b"unknown to all"
RESOURCE = b"http://example.org/7"


def iptc_record(number: int, value: bytes) -> bytes:
    """An IIM record of the application part."""
    return struct.pack(">BBBH", 0x1C, 2, number, len(value)) + value


KEYWORD = "été".encode("latin-1")
IPTC = iptc_record(0, b"\0\4") + iptc_record(25, KEYWORD) + iptc_record(120, CAPTION)


def resource(number: int, data: bytes) -> bytes:
    """One of Photoshop's."""
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + b"\0" * (len(data) % 2)


def make_exif(*, order: str = "<", orientation: int = 1) -> Image.Exif:
    """EXIF with GPS, a maker's note, an unknown tag, texts and a comment."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x013B], exif[0x0112] = "Voigtländer", "José Núñez", orientation
    exif[0x9C9B] = "Hochzeit\0".encode("utf-16-le")
    exif[0x4746] = 4
    exif[PRIVATE_TAG] = PRIVATE
    inner = exif.get_ifd(0x8769)
    inner[0x9003] = "1932:06:01 12:00:00"
    inner[0x9286] = b"ASCII\0\0\0" + b"at the river"
    inner[0x927C] = NOTE
    inner[0xA002], inner[0xA003] = 71, 46
    place = exif.get_ifd(0x8825)
    place[1], place[2] = "N", (48.0, 30.0, 0.0)
    place[3], place[4] = "E", (9.0, 5.0, 0.0)
    return exif


def write_rich(path: Path, *, exif: Image.Exif | None = None, **options: Any) -> Path:
    """A photograph with everything that its format can hold, by the suffix of its name."""
    exif = make_exif() if exif is None else exif
    image, icc = Image.fromarray(draw_photo()), profile("adobe")
    suffix = path.suffix
    common: dict[str, Any] = {"exif": exif, "icc_profile": icc, **options}
    if suffix == ".jpg":
        image.save(path, dpi=(DPI, DPI), xmp=XMP, comment=COMMENT.encode(), quality=95, **common)
        photoshop = resource(0x0404, IPTC) + resource(0x040B, RESOURCE)
        insert_segments(path, [(0xED, b"Photoshop 3.0\0" + photoshop), (0xE7, b"Vendor\0thing")])
    elif suffix == ".png":
        texts = PngImagePlugin.PngInfo()
        for keyword, text in TEXTS.items():
            texts.add_text(keyword, text)
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        data = resource(0x0404, IPTC)
        lines = f"\niptc\n{len(data):8d}\n{data.hex()}\n"
        texts.add_text("Raw profile type iptc", lines, zip=True)
        data = resource(0x040B, RESOURCE)
        lines = f"\n8bim\n{len(data):8d}\n{data.hex()}\n"
        texts.add_text("Raw profile type 8bim", lines)
        image.save(path, dpi=(DPI, DPI), pnginfo=texts, **common)
    elif suffix == ".tif":
        tags = {700: XMP, 33723: IPTC, 34377: resource(0x040B, RESOURCE)}
        info = exif
        for number, data in tags.items():
            info[number] = data
        image.save(path, dpi=(DPI, DPI), tiffinfo=_as_tiffinfo(info), icc_profile=icc)
    else:
        image.save(path, xmp=XMP, **common)
    if suffix != ".png":  # whose checksum would break: Pillow writes no other texts than ASCII
        path.write_bytes(path.read_bytes().replace(b"Jos? N??ez", ARTIST))
    return path


def _as_tiffinfo(exif: Image.Exif) -> Any:
    """Pillow writes TIFF's tags from a directory of this kind, sub-directories as dictionaries."""
    from PIL import TiffImagePlugin

    info = TiffImagePlugin.ImageFileDirectory_v2()
    for number, value in exif.items():
        if number in (0x8769, 0x8825):
            continue
        if isinstance(value, bytes):
            info.tagtype[number] = 7
        info[number] = value
    for number in (0x8769, 0x8825):
        info[number] = dict(exif.get_ifd(number))
    return info


def insert_segments(path: Path, segments: list[tuple[int, bytes]]) -> None:
    """Put application segments after the first one of a JPEG file."""
    content = path.read_bytes()
    place = 4 + struct.unpack(">H", content[4:6])[0]
    added = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data
        for marker, data in segments
    )
    path.write_bytes(content[:place] + added + content[place:])


def read_blocks(path: Path) -> dict[str, Any]:
    """What Pillow, exifread and tifffile find in a file, by block; absent where they find none."""
    found: dict[str, Any] = {}
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.load()
        exif, info = image.getexif(), dict(image.info)
        inner, place = dict(exif.get_ifd(0x8769)), dict(exif.get_ifd(0x8825))
        if image.format == "TIFF":
            info["xmp"] = _as_bytes(image.tag_v2.get(700, b""))
            info["photoshop"] = _read_resources(_as_bytes(image.tag_v2.get(34377, b"")))
        found["EXIF"] = (exif.get(0x013B), exif.get(0x4746), inner.get(0x9003))
        found["GPS"] = tuple(map(float, place[2])) if 2 in place else None
        note, private = inner.get(0x927C), exif.get(PRIVATE_TAG)
        found["maker's and unknown tags"] = (note, private)
        found["iptc records"] = None
        if image.format != "PNG":
            found["iptc records"] = IptcImagePlugin.getiptcinfo(image)
        found["XMP"] = info.get("xmp") or info.get("XML:com.adobe.xmp") or b""
        found["Photoshop's resources"] = info.get("photoshop", {})
        found["comment"] = info.get("comment", b"")
        found["texts"] = dict(getattr(image, "text", {}))
        found["user comment"] = inner.get(0x9286)
        found["description"] = exif.get(0x010E)
        found["main"] = dict(exif)
        found["inner"] = inner
        found["dpi"] = info.get("dpi")
        if found["dpi"] is None and 0x011A in exif:
            found["dpi"] = (float(exif[0x011A]), float(exif[0x011B]))
        found["ICC profile"] = info.get("icc_profile")
        found["size"] = image.size
    for name in ("iptc", "8bim"):
        raw = found["texts"].get(f"Raw profile type {name}")
        if raw:
            found["Photoshop's resources"] |= _read_resources(bytes.fromhex(raw.split(None, 2)[2]))
    if isinstance(found["XMP"], str):
        found["XMP"] = found["XMP"].encode()
    with path.open("rb") as file:
        found["exifread"] = exifread.process_file(file, details=False)
    return found


def _as_bytes(value: Any) -> bytes:
    return bytes(value[0]) if isinstance(value, tuple) else bytes(value)


def _read_resources(block: bytes) -> dict[int, bytes]:
    found, place = {}, 0
    while block[place : place + 4] == b"8BIM":
        number, _, size = struct.unpack_from(">HHI", block, place + 4)
        found[number] = block[place + 12 : place + 12 + size]
        place += 12 + size + size % 2
    return found


def read_iptc(path: Path) -> bytes | None:
    """The caption, by other software."""
    found = read_blocks(path)
    if found["iptc records"]:
        caption: bytes = found["iptc records"].get((2, 120))
        return caption
    if 0x0404 in found["Photoshop's resources"]:
        data = found["Photoshop's resources"][0x0404]
        return data.split(b"\x1c\x02\x78", 1)[1][2:]
    if path.suffix == ".tif":
        with tifffile.TiffFile(path) as file:
            tag = file.pages[0].tags.get(33723)
            return None if tag is None else bytes(tag.value).split(b"\x1c\x02\x78", 1)[1][2:]
    return None


def exiftool(path: Path, *arguments: str) -> str:
    """What exiftool says, where it is installed."""
    done = subprocess.run(["exiftool", *arguments, path], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "surrogateescape")


HAS_EXIFTOOL = shutil.which("exiftool") is not None
