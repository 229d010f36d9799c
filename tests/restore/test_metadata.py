"""What a photograph says beside its pixels is in the restored file, or its loss is named.

Read back by software other than ours: Pillow, exifread, tifffile, and exiftool where installed.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from photo_zoo import DPI, draw_photo, load_restorer, profile
from PIL import Image, PngImagePlugin
from rich_metadata import (
    ARTIST,
    CAPTION,
    COMMENT,
    HAS_EXIFTOOL,
    IPTC,
    NOTE,
    PRIVATE,
    RESOURCE,
    TEXTS,
    XMP,
    exiftool,
    insert_segments,
    make_exif,
    read_blocks,
    read_iptc,
    resource,
    write_rich,
)

from restore.album.job import Done, run_job
from restore.album.plan import Job
from restore.scan.metadata.areas import Turning, turn_areas, turn_subject
from restore.scan.metadata.block import BLOCKS, HOLDS
from restore.scan.metadata.directories import Directory, Tag, read_block, write_block
from restore.scan.metadata.xmp import is_well_formed, join_extended, split_extended
from restore.settings import RestoreSettings

UNTOUCHED = load_restorer("identity")
SUFFIXES = {"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "webp": ".webp", "heif": ".avif"}
ROOT = Path(__file__).parents[2]


def restore(photo: Path, output: Path, **options: Any) -> list[str]:
    """Restore a photograph; returns the notices."""
    settings = RestoreSettings(colorize=False)
    *_, done = run_job(UNTOUCHED, Job(photo, output, version="0", **options), settings)
    assert isinstance(done, Done)
    notices: list[str] = done.report["notices"]
    return notices


def documented_table() -> dict[str, dict[str, str]]:
    """docs/restore.md's table: what each format does with each block."""
    text = (ROOT / "docs" / "restore.md").read_text("utf-8")
    rows = re.search(r"\| \| (JPEG .*)\n\|[-|]+\n((?:\|.*\n)+)", text)
    assert rows
    names = [name.strip() for name in rows.group(1).split("|")][:-1]
    table: dict[str, dict[str, str]] = {name: {} for name in names}
    for line in rows.group(2).splitlines():
        block, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        for name, cell in zip(names, cells, strict=True):
            table[name][block] = cell.replace("-", "")
    return table


def test_documented_table_is_what_the_code_says() -> None:
    """docs/restore.md and the table that decides are one."""
    names = {"JPEG": "jpeg", "PNG": "png", "TIFF": "tiff", "WebP": "webp", "AVIF": "heif"}
    said = {names[name]: cells for name, cells in documented_table().items()}
    assert said == {name: dict(zip(BLOCKS, held, strict=True)) for name, held in HOLDS.items()}


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", SUFFIXES)
def test_every_block_is_where_the_table_says(source: str, target: str, tmp_path: Path) -> None:
    """From every format to every other: each block kept, moved, or its loss named."""
    photo = write_rich(tmp_path / f"photo{SUFFIXES[source]}")
    output = tmp_path / f"out{SUFFIXES[target]}"
    notices = restore(photo, output)
    before, after = read_blocks(photo), read_blocks(output)
    lost = " ".join(notice for notice in notices if "left out" in notice)
    holds = dict(zip(BLOCKS, HOLDS[target], strict=True))

    assert after["EXIF"][1:] == before["EXIF"][1:] == (4, "1932:06:01 12:00:00")
    assert after["GPS"] == (48.0, 30.0, 0.0)
    assert after["maker's and unknown tags"] == (NOTE, PRIVATE)
    assert after["ICC profile"] == profile("adobe")
    assert b"Gro\xc3\x9fmutter" in after["XMP"]
    assert is_well_formed(after["XMP"].decode().removeprefix("\ufeff"))
    if before["dpi"] is not None:
        assert after["dpi"] == pytest.approx((DPI, DPI), abs=0.1)

    if target != "webp":  # exifread finds no EXIF in WebP, not even in Pillow's
        assert str(after["exifread"]["EXIF DateTimeOriginal"]) == "1932:06:01 12:00:00"

    if source in ("jpeg", "png", "tiff"):
        if holds["IPTC"]:
            assert read_iptc(output) == CAPTION
            assert after["Photoshop's resources"][0x040B] == RESOURCE
        else:
            assert "IPTC" in lost
            assert "Photoshop's resources" in lost
    if source == "jpeg":
        description = (after["description"] or "").encode("latin-1")  # as Pillow reads it
        kept = [after["comment"], after["texts"].get("Comment", "").encode(), description]
        assert COMMENT.encode() in kept
        assert ("segment APP7 (Vendor)" in lost) == (target != "jpeg")
    if source == "png":
        if holds["PNG's texts"] == "kept":
            assert TEXTS.items() <= after["texts"].items()
        else:
            content = output.read_bytes()
            assert "Hochzeit Müller".encode() in content  # the title has a field of its own
            for text in ("Shelf: Zürich 7", "Creation Time: 1932"):
                # The user comment is taken in this photograph.
                assert text.encode() in content or f"text ({text})" in lost


@pytest.mark.parametrize("target", SUFFIXES)
def test_texts_of_tiff_become_utf8_elsewhere(target: str, tmp_path: Path) -> None:
    """In TIFF the bytes stay; other formats' readers expect UTF-8."""
    photo = write_rich(tmp_path / "photo.tif")
    output = tmp_path / f"out{SUFFIXES[target]}"
    restore(photo, output)
    content = output.read_bytes()
    if target == "tiff":
        assert ARTIST in content
    else:
        assert ARTIST.decode("latin-1").encode() in content
        assert b"\xef\xbf\xbd" not in content


@pytest.mark.parametrize("target", ["jpeg", "png", "webp", "heif"])
def test_texts_of_exif_keep_their_bytes(target: str, tmp_path: Path) -> None:
    """An EXIF block that goes from file to file is not decoded."""
    output = tmp_path / f"out{SUFFIXES[target]}"
    restore(write_rich(tmp_path / "photo.jpg"), output)
    assert ARTIST in output.read_bytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("target", SUFFIXES)
def test_maker_note_stays_at_its_offset(target: str, order: str, tmp_path: Path) -> None:
    """Its pointers are offsets into the EXIF block; where it must move, a line says so."""
    photo = write_rich(tmp_path / "photo.jpg", exif=make_exif(order=order))
    output = tmp_path / f"out{SUFFIXES[target]}"
    notices = restore(photo, output)

    def offset(path: Path) -> int:
        content = path.read_bytes()
        start = content.index(b"II*\0" if order == "<" else b"MM\0*")
        return content.index(NOTE) - start

    if target == "tiff":
        assert any("maker's note" in notice for notice in notices)
        assert NOTE in output.read_bytes()
    else:
        assert offset(output) == offset(photo)
        assert not any("maker's note" in notice for notice in notices)


@pytest.mark.parametrize("kind", [1, 4, 7])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_iptc_of_tiff_is_whole_whatever_its_type(kind: int, byteorder: str, tmp_path: Path) -> None:
    """Libtiff counts it in bytes, libvips in words: a quarter was written."""
    import tifffile

    data = IPTC + b"\0" * (-len(IPTC) % 4)
    count = len(data) // 4 if kind == 4 else len(data)
    value: Any = data
    if kind == 4:
        value = struct.unpack(f"<{count}I", data)  # tifffile swaps it
    photo, output = tmp_path / "photo.tif", tmp_path / "out.tif"
    tags = [(33723, kind, count, value, True)]
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None, "byteorder": byteorder}
    tifffile.imwrite(photo, draw_photo(), extratags=tags, **options)
    restore(photo, output)
    with tifffile.TiffFile(output) as file:
        assert bytes(file.pages[0].tags[33723].value) == IPTC
    restore(photo, tmp_path / "out.jpg")
    assert read_iptc(tmp_path / "out.jpg") == CAPTION


def _xmp_of(size: int, *, padding: int = 0) -> bytes:
    filling = hashlib.sha256(b"x").hexdigest() * (size // 64 + 1)
    packet = XMP.replace(b"K\xc3\xb6ln", b"K\xc3\xb6ln" + filling.encode())
    packet = packet[: -len(b'<?xpacket end="w"?>')]
    excess = len(packet) + len(b'<?xpacket end="w"?>') + padding - size
    packet = packet.replace(filling.encode(), filling[: len(filling) - excess].encode())
    return packet + b" " * padding + b'<?xpacket end="w"?>'


def _jpeg_with_xmp(path: Path, xmp: bytes, extended: bytes = b"") -> Path:
    Image.fromarray(draw_photo()).save(path)
    segments = [(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)]
    guid = hashlib.md5(extended).hexdigest().upper().encode()
    for start in range(0, len(extended), 60_000):
        head = guid + struct.pack(">II", len(extended), start)
        part = extended[start : start + 60_000]
        segments.append((0xE1, b"http://ns.adobe.com/xmp/extension/\0" + head + part))
    insert_segments(path, segments)
    return path


def test_full_packet_comes_before_our_entry(tmp_path: Path) -> None:
    """Where both don't fit, the user's packet stays and the entry is left out, with a line."""
    photo = _jpeg_with_xmp(tmp_path / "photo.jpg", _xmp_of(65_400))
    notices = restore(photo, tmp_path / "out.jpg")
    assert read_blocks(tmp_path / "out.jpg")["XMP"] == _xmp_of(65_400).replace(b"?><", b"?><")
    assert any("isn't noted" in notice for notice in notices)


def test_white_space_makes_room_for_our_entry(tmp_path: Path) -> None:
    """What writers leave empty for later edits isn't content."""
    photo = _jpeg_with_xmp(tmp_path / "photo.jpg", _xmp_of(65_400, padding=3000))
    assert restore(photo, tmp_path / "out.jpg") == []
    found = read_blocks(tmp_path / "out.jpg")["XMP"]
    assert b"restored with identity" in found
    assert b"Gro\xc3\x9fmutter" in found


EXTENDED = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:t="test:"'
    b' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"'
    b' photoshop:Headline="In the extended part" t:own="7"/></rdf:RDF></x:xmpmeta>'
)


def _announce(xmp: bytes, extended: bytes) -> bytes:
    guid = hashlib.md5(extended).hexdigest().upper().encode()
    note = b' xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="' + guid + b'"'
    return xmp.replace(b" photoshop:City", note + b" photoshop:City")


@pytest.mark.parametrize("target", SUFFIXES)
def test_extended_xmp_is_joined(target: str, tmp_path: Path) -> None:
    """What was split over segments is one packet, and announces no extension any more."""
    photo = _jpeg_with_xmp(tmp_path / "photo.jpg", _announce(XMP, EXTENDED), EXTENDED)
    output = tmp_path / f"out{SUFFIXES[target]}"
    assert restore(photo, output) == []
    found = read_blocks(output)["XMP"]
    assert b"In the extended part" in found
    assert b"HasExtendedXMP" not in found
    assert is_well_formed(found.decode().removeprefix("\ufeff"))


def test_damaged_extension_is_named(tmp_path: Path) -> None:
    """No announcement is left dangling."""
    photo = _jpeg_with_xmp(tmp_path / "photo.jpg", _announce(XMP, EXTENDED), EXTENDED)
    photo.write_bytes(photo.read_bytes().replace(b"In the extended", b"In the damaged."))
    notices = restore(photo, tmp_path / "out.jpg")
    assert any("extended XMP" in notice for notice in notices)
    assert b"HasExtendedXMP" not in (tmp_path / "out.jpg").read_bytes()


def test_large_packet_is_split_for_jpeg_and_joined_again(tmp_path: Path) -> None:
    """From PNG to JPEG and back, 200 KB of XMP."""
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", _xmp_of(200_000).decode())
    Image.fromarray(draw_photo()).save(tmp_path / "photo.png", pnginfo=texts)
    notices = restore(tmp_path / "photo.png", tmp_path / "out.jpg")
    assert any("extended XMP" in notice for notice in notices)
    restore(tmp_path / "out.jpg", tmp_path / "back.png")
    found = read_blocks(tmp_path / "back.png")["XMP"]
    filling = hashlib.sha256(b"x").hexdigest().encode() * 2000
    assert filling in found
    assert b"HasExtendedXMP" not in found
    if HAS_EXIFTOOL:
        assert exiftool(tmp_path / "out.jpg", "-s3", "-XMP-dc:Title").strip() == "Großmutter"


def test_exif_too_long_for_jpeg_loses_its_largest_value(tmp_path: Path) -> None:
    """It is named; the rest stays."""
    exif = make_exif()
    exif[0xC7F1] = bytes(70_000)
    photo = write_rich(tmp_path / "photo.tif", exif=exif)
    notices = restore(photo, tmp_path / "out.jpg")
    assert any("tag 51185 (70000 bytes, too long for JPEG)" in notice for notice in notices)
    assert read_blocks(tmp_path / "out.jpg")["maker's and unknown tags"] == (NOTE, PRIVATE)
    assert restore(photo, tmp_path / "out.png") is not None
    assert read_blocks(tmp_path / "out.png")["main"][0xC7F1] == bytes(70_000)


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_what_follows_from_turning_is_changed_and_said(orientation: int, tmp_path: Path) -> None:
    """Orientation, sizes, areas."""
    exif = make_exif(orientation=orientation)
    inner = exif.get_ifd(0x8769)
    inner[0x9214] = (10, 20, 6, 4)
    photo = write_rich(tmp_path / "photo.jpg", exif=exif)
    notices = restore(photo, tmp_path / "out.jpg")
    found = read_blocks(tmp_path / "out.jpg")
    swaps = orientation > 4
    assert found["size"] == ((46, 71) if swaps else (71, 46))
    assert (found["inner"][0xA002], found["inner"][0xA003]) == found["size"]
    expected = {3: (61, 26, 6, 4), 6: (26, 10, 4, 6), 8: (20, 61, 4, 6)}[orientation]
    assert found["inner"][0x9214] == expected
    assert found["main"].get(0x0112, 1) == 1
    line = next(notice for notice in notices if notice.startswith("metadata changed"))
    assert "orientation" in line
    assert "areas" in line
    assert ("sizes" in line) == swaps


_REGIONS = {
    "mwg": '<a:Area xmlns:a="m" xmlns:stArea="s" stArea:x="{x}" stArea:y="{y}" stArea:w="{w}" '
    'stArea:h="{h}" stArea:unit="normalized"/>',
    "mwg elements": '<a:Area xmlns:a="m" xmlns:stArea="s" xmlns:r="r" r:parseType="Resource">'
    "<stArea:h>{h}</stArea:h><stArea:w>{w}</stArea:w><stArea:x>{x}</stArea:x>"
    "<stArea:y>{y}</stArea:y></a:Area>",
    "acdsee": '<a:DLYArea xmlns:a="m" xmlns:acdsee-stArea="s" acdsee-stArea:x="{x}" '
    'acdsee-stArea:y="{y}" acdsee-stArea:w="{w}" acdsee-stArea:h="{h}"/>',
}


@pytest.mark.parametrize("name", _REGIONS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_regions_turn_with_the_pixels(name: str, orientation: int) -> None:
    """The area covers the same pixels, turned as Pillow turns them."""
    import numpy as np
    from PIL import ImageOps

    box = (8, 2, 24, 10)  # left, top, right, bottom of 40 x 20
    canvas = np.zeros((20, 40), np.uint8)
    canvas[box[1] : box[3], box[0] : box[2]] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(canvas)
    image.info["exif"] = exif.tobytes()
    image.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(image))
    rows, columns = np.nonzero(upright)
    height, width = upright.shape
    expected = (
        (columns.min() + columns.max() + 1) / 2 / width,
        (rows.min() + rows.max() + 1) / 2 / height,
        (columns.max() + 1 - columns.min()) / width,
        (rows.max() + 1 - rows.min()) / height,
    )
    text = _REGIONS[name].format(x=16 / 40, y=6 / 20, w=16 / 40, h=8 / 20)
    turned = turn_areas(text, Turning(orientation, 40, 20))
    found = [
        float(re.search(rf"stArea:{n}(?:=\"|>)([-\d.e]+)", turned).group(1))  # type: ignore[union-attr]  # there
        for n in "xywh"
    ]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_ways_of_giving_boxes_agree(orientation: int) -> None:
    """Microsoft's and IPTC's boxes by their corner are MWG's by its centre."""
    turning = Turning(orientation, 40, 20)
    centre = turning.point(0.4, 0.3)
    width, height = turning.extent(0.2, 0.1)
    corner = (centre[0] - width / 2, centre[1] - height / 2)
    text = turn_areas('<a MPReg:Rectangle="0.3, 0.25, 0.2, 0.1"/>', turning)
    values = re.search(r'"(.*)"', text)
    assert values
    assert [float(v) for v in values.group(1).split(",")] == pytest.approx([*corner, width, height])
    text = turn_areas(
        '<e:RegionBoundary e:rbUnit="relative"><b e:rbX="0.3" e:rbY="0.25" e:rbW="0.2" '
        'e:rbH="0.1"/></e:RegionBoundary>',
        turning,
    )
    found = [float(v) for v in re.findall(r'rb[XYWH]="([^"]*)"', text)]
    assert found == pytest.approx([*corner, width, height])
    assert turn_subject((16, 6), turning) == (
        round(centre[0] * turning.size[0]),
        round(centre[1] * turning.size[1]),
    )


def test_regions_of_the_upright_photo_stay(tmp_path: Path) -> None:
    """Some programs say them of the upright photograph, and tell by its dimensions."""
    text = (
        '<r:AppliedToDimensions stDim:w="20" stDim:h="40"/>'
        '<r:Area stArea:x="0.1" stArea:y="0.2" stArea:w="0.1" stArea:h="0.1"/>'
    )
    assert turn_areas(text, Turning(6, 40, 20)) == text


def test_previews_are_dropped_and_named(tmp_path: Path) -> None:
    """They show the damaged photograph: EXIF's, JFIF's, Photoshop's, XMP's, further pictures."""
    photo = tmp_path / "photo.jpg"
    small = tmp_path / "small.jpg"
    Image.fromarray(draw_photo(16, 16)).save(small)
    block = write_block(read_block(make_exif().tobytes()[6:]))
    start = len(block) + len(block) % 2
    thumbnail = small.read_bytes()
    entries = [
        (0x0103, 3, 1, 6),
        (0x0201, 4, 1, start + 2 + 36 + 4),
        (0x0202, 4, 1, len(thumbnail)),
    ]
    table = struct.pack("<H", 3) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
    block = block.ljust(start, b"\0") + table + thumbnail
    first = struct.unpack_from("<I", block, 4)[0]
    place = first + 2 + 12 * struct.unpack_from("<H", block, first)[0]
    block = block[:place] + struct.pack("<I", start) + block[place + 4 :]
    xmp = XMP.replace(
        b"<dc:title>",
        b'<xmp:Thumbnails xmlns:xmp="http://ns.adobe.com/xap/1.0/">/9j/4AAQ</xmp:Thumbnails>'
        b"<dc:title>",
    )
    Image.fromarray(draw_photo()).save(photo, xmp=xmp)
    segments = [
        (0xE1, b"Exif\0\0" + block),
        (0xE0, b"JFXX\0\x10" + thumbnail),
        (0xED, b"Photoshop 3.0\0" + resource(0x040C, thumbnail) + resource(0x0404, IPTC)),
        (0xE2, b"MPF\0" + bytes(40)),
    ]
    insert_segments(photo, segments)
    (line,) = (n for n in restore(photo, tmp_path / "out.jpg") if "left out" in n)
    for name in ("EXIF's preview", "JFIF's", "Photoshop's preview", "XMP's preview", "(MPF)"):
        assert name in line
    content = (tmp_path / "out.jpg").read_bytes()
    assert thumbnail[20:] not in content
    assert b"/9j/4AAQ" not in content
    assert read_iptc(tmp_path / "out.jpg") == CAPTION


@pytest.mark.parametrize("name", ["photo.xmp", "photo.jpg.xmp"])
def test_sidecar_goes_along(name: str, tmp_path: Path) -> None:
    """Under the result's name, true of the upright photograph."""
    photo = write_rich(tmp_path / "photo.jpg", exif=make_exif(orientation=6))
    side = XMP.replace(b"photoshop:City", b'xmlns:tiff="t" tiff:Orientation="6" photoshop:City')
    (tmp_path / name).write_bytes(side)
    restore(photo, tmp_path / "out.png")
    copied = tmp_path / name.replace("photo.jpg", "out.png").replace("photo.xmp", "out.xmp")
    assert copied.read_bytes() == side.replace(b'Orientation="6"', b'Orientation="1"')


def test_gif_comment_reaches_png(tmp_path: Path) -> None:
    """A GIF's comment and resolutionless pixels."""
    Image.fromarray(draw_photo()).convert("P").save(tmp_path / "a.gif", comment="Oma 1932")
    restore(tmp_path / "a.gif", tmp_path / "a.png")
    assert read_blocks(tmp_path / "a.png")["texts"]["Comment"] == "Oma 1932"


def test_comment_without_a_place_is_named(tmp_path: Path) -> None:
    """Description and user comment are taken: then the line says what is lost."""
    exif = make_exif()
    exif[0x010E] = "another caption"
    photo = write_rich(tmp_path / "photo.jpg", exif=exif)
    (line,) = (n for n in restore(photo, tmp_path / "out.webp") if "left out" in n)
    assert COMMENT in line
    found = read_blocks(tmp_path / "out.webp")
    assert found["description"] == "another caption"
    assert found["user comment"] == b"ASCII\0\0\0at the river"


@pytest.mark.parametrize("target", ["tiff", "webp", "heif"])
def test_texts_without_a_field_go_to_the_user_comment(target: str, tmp_path: Path) -> None:
    """Where that is free."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Shelf", "Zürich 7")
    texts.add_text("Creation Time", "1932")
    Image.fromarray(draw_photo()).save(tmp_path / "photo.png", pnginfo=texts)
    output = tmp_path / f"out{SUFFIXES[target]}"
    assert restore(tmp_path / "photo.png", output) == []
    said = read_blocks(output)["user comment"]
    assert said == b"UNICODE\0" + "Shelf: Zürich 7\nCreation Time: 1932".encode("utf-16-le")


def test_png_text_with_language_is_kept(tmp_path: Path) -> None:
    """ITXt names its language and the keyword in it."""
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Title", "Großmutter", lang="de", tkey="Titel", zip=True)
    Image.fromarray(draw_photo()).save(tmp_path / "a.png", pnginfo=texts)
    restore(tmp_path / "a.png", tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        text = image.text["Title"]  # type: ignore[attr-defined]  # of PNG
    assert (text, text.lang, text.tkey) == ("Großmutter", "de", "Titel")


def test_utf16_comment_is_turned_with_its_byte_order(tmp_path: Path) -> None:
    """A Motorola EXIF block becomes Intel in TIFF, and its UTF-16 with it."""
    exif = make_exif(order=">")
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + COMMENT.encode("utf-16-be")
    photo = write_rich(tmp_path / "photo.jpg", exif=exif)
    restore(photo, tmp_path / "out.tif")
    found = read_blocks(tmp_path / "out.tif")["user comment"]
    assert found == b"UNICODE\0" + COMMENT.encode("utf-16-le")


def test_xmp_in_utf16_is_extended(tmp_path: Path) -> None:
    """JPEG wants UTF-8."""
    photo = _jpeg_with_xmp(tmp_path / "photo.jpg", XMP.decode().encode("utf-16"))
    restore(photo, tmp_path / "out.jpg")
    found = read_blocks(tmp_path / "out.jpg")["XMP"].decode()
    assert "Großmutter" in found
    assert "restored with" in found


def test_unreadable_xmp_stays_as_it_is(tmp_path: Path) -> None:
    """What is no XML may still be somebody's words."""
    photo = _jpeg_with_xmp(tmp_path / "photo.jpg", b"<broken>Oma")
    notices = restore(photo, tmp_path / "out.jpg")
    assert read_blocks(tmp_path / "out.jpg")["XMP"] == b"<broken>Oma"
    assert any("XMP is damaged" in notice for notice in notices)


def test_split_and_joined_packets_are_the_same() -> None:
    """Splitting loses nothing, and digests are right."""
    parts = split_extended(XMP)
    assert parts
    joined = join_extended(*parts)
    assert joined is not None
    assert b"K\xc3\xb6ln" in joined
    assert hashlib.md5(parts[1]).hexdigest().upper().encode() in parts[0]


_KINDS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8, 12: 8}
_tags = st.dictionaries(
    st.integers(1, 65535).filter(lambda n: n not in (330, 34665, 34853, 40965, 37500)),
    st.sampled_from(sorted(_KINDS)).flatmap(
        lambda kind: st.integers(1, 40).flatmap(
            lambda count: st.binary(
                min_size=_KINDS[kind] * count, max_size=_KINDS[kind] * count
            ).map(lambda data: (kind, count, data))
        )
    ),
    max_size=12,
)


@given(order=st.sampled_from("<>"), main=_tags, exif=_tags, note=st.binary(min_size=5, max_size=90))
def test_directories_come_back_as_they_were(
    order: str, main: dict, exif: dict, note: bytes
) -> None:
    """Written and read, in both byte orders, with a maker's note that keeps its offset."""
    directory = Directory(order, {n: Tag(*tag) for n, tag in main.items()})
    inner = directory.child(34665)
    inner.tags = {n: Tag(*tag) for n, tag in exif.items()}
    inner.tags[37500] = Tag(7, len(note), note, 300)
    found = read_block(write_block(directory))
    assert {n: (t.kind, t.count, t.data) for n, t in found.tags.items()} == main
    below = found.children[34665][0].tags
    assert below.pop(37500) == Tag(7, len(note), note, 300)
    assert {n: (t.kind, t.count, t.data) for n, t in below.items()} == exif
    assert found.num_damaged == 0


@pytest.mark.skipif(not HAS_EXIFTOOL, reason="exiftool isn't installed")
@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", ["jpeg", "tiff", "png"])
def test_exiftool_finds_the_same(source: str, target: str, tmp_path: Path) -> None:
    """EXIF, GPS, IPTC and XMP, tag by tag, and no new warning."""
    photo = write_rich(tmp_path / f"photo{SUFFIXES[source]}")
    output = tmp_path / f"out{SUFFIXES[target]}"
    restore(photo, output)
    groups = ["-ExifIFD:all", "-GPS:all", "-XMP-dc:all", "-XMP-photoshop:all"]
    if HOLDS[target][BLOCKS.index("IPTC")]:
        groups.append("-IPTC:all")

    def tags(path: Path) -> set[str]:
        lines = exiftool(path, "-G1", "-s", "-a", "-n", "-u", *groups).splitlines()
        return {line for line in lines if "UserComment" not in line and "ColorSpace" not in line}

    assert tags(photo) <= tags(output)
    warnings = set(exiftool(output, "-warning", "-a", "-s3").splitlines())
    assert warnings <= set(exiftool(photo, "-warning", "-a", "-s3").splitlines())


def test_png_chunks_have_right_checksums(tmp_path: Path) -> None:
    """Every chunk that is written."""
    restore(write_rich(tmp_path / "photo.png"), tmp_path / "out.png")
    content, place, names = (tmp_path / "out.png").read_bytes(), 8, []
    while place < len(content):
        (size,) = struct.unpack_from(">I", content, place)
        body = content[place + 4 : place + 8 + size]
        assert struct.unpack_from(">I", content, place + 8 + size)[0] == zlib.crc32(body)
        names.append(body[:4])
        place += 12 + size
    assert names[0] == b"IHDR"
    assert names.count(b"eXIf") == names.count(b"pHYs") == 1
    assert names.index(b"pHYs") < names.index(b"IDAT")


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("source", [".jpg", ".png", ".tif", ".webp"])
def test_unknown_resolution_stays_unknown(source: str, target: str, tmp_path: Path) -> None:
    """Nobody's 72 dpi."""
    photo, output = tmp_path / f"photo{source}", tmp_path / f"out{SUFFIXES[target]}"
    Image.fromarray(draw_photo()).save(photo)
    restore(photo, output)
    with Image.open(output) as image:
        if target != "jpeg":  # for which Pillow makes 72 up
            assert image.info.get("dpi", (1, 1)) == (1, 1)
        assert image.info.get("jfif_unit", 0) == 0
        assert image.getexif().get(0x0128, 1) == 1


def test_text_with_a_zero_byte_is_carried(tmp_path: Path) -> None:
    """Found by fuzzing: EXIF's texts end at zero."""
    texts = PngImagePlugin.PngInfo()
    texts.add(b"zTXt", b"Title\0\0" + zlib.compress(b"Oma\0Opa"))
    Image.fromarray(draw_photo()).save(tmp_path / "a.png", pnginfo=texts)
    restore(tmp_path / "a.png", tmp_path / "a.webp")
    assert read_blocks(tmp_path / "a.webp")["main"][0x010D] == "Oma Opa"


def test_damaged_profile_is_left_out(tmp_path: Path) -> None:
    """Found by fuzzing: a profile whose lengths don't fit is refused by other programs."""
    icc = profile("adobe")
    for damaged in (icc[:200], icc[:3] + b"\x07" + icc[4:], icc[:140] + b"\x7f" * 4 + icc[144:]):
        Image.fromarray(draw_photo()).save(tmp_path / "a.png", icc_profile=damaged)
        notices = restore(tmp_path / "a.png", tmp_path / "b.png")
        assert any("profile is damaged" in notice for notice in notices)
        (tmp_path / "b.png").unlink()
