"""Make metadata true of the restored photograph: upright, of its size, in its colours."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from restore.scan.metadata import tags as t
from restore.scan.metadata.areas import Turning, turn_subject
from restore.scan.metadata.block import Metadata, holds
from restore.scan.metadata.directories import EXIF, Directory, Tag
from restore.scan.metadata.xmp import decode_packet, forget_extended, set_srgb, set_upright


@dataclass(frozen=True)
class Pixels:
    """What the restored pixels are.

    Attributes:
        turning: From the photograph as stored.
        is_converted: Whether its colours were converted to sRGB.
    """

    turning: Turning
    is_converted: bool


def adapt(metadata: Metadata, pixels: Pixels) -> None:
    """Set orientation, sizes, areas and colours."""
    turning = pixels.turning
    if turning.orientation != 1:
        metadata.changed.append("orientation (the photograph is upright now)")
    if metadata.exif is not None:
        _adapt_exif(metadata, metadata.exif, turning)
        if pixels.is_converted:
            t.colors_changed(metadata.exif, is_srgb=True)
    if metadata.xmp and decode_packet(metadata.xmp) is None:
        metadata.remarks.append("its XMP is damaged, and kept as it is")
    if metadata.xmp:
        metadata.xmp, changed = set_upright(metadata.xmp, turning)
        if "areas" in changed:
            metadata.changed.append("areas (turned with the photograph)")
        if "preview" in changed:
            metadata.lost.append("XMP's preview")
        if pixels.is_converted:
            metadata.xmp = set_srgb(metadata.xmp)


def _adapt_exif(metadata: Metadata, main: Directory, turning: Turning) -> None:
    width, height = turning.size
    if t.ORIENTATION in main.tags:
        main.set_number(t.ORIENTATION, 1)
    if metadata.source != "tiff":
        for number, side in ((t.WIDTH, width), (t.HEIGHT, height)):
            if number in main.tags:
                main.set_number(number, side)
    if turning.swaps and {t.X_RESOLUTION, t.Y_RESOLUTION} <= set(main.tags):
        x, y = main.tags[t.X_RESOLUTION], main.tags[t.Y_RESOLUTION]
        main.tags[t.X_RESOLUTION], main.tags[t.Y_RESOLUTION] = y, x
    for exif in main.children.get(EXIF, []):
        for number, side in ((t.PIXEL_X, width), (t.PIXEL_Y, height)):
            if number in exif.tags and exif.number(number) != side:
                exif.set_number(number, side)
                if "sizes" not in metadata.changed:
                    metadata.changed.append("sizes")
        for number in (t.SUBJECT_AREA, t.SUBJECT_LOCATION):
            tag = exif.tags.get(number)
            if tag is not None and turning.orientation != 1 and tag.kind == 3:
                values = turn_subject(tag.numbers(exif.order), turning)
                data = struct.pack(f"{exif.order}{len(values)}H", *(min(v, 65535) for v in values))
                exif.tags[number] = Tag(3, len(values), data)
                if "areas (turned with the photograph)" not in metadata.changed:
                    metadata.changed.append("areas (turned with the photograph)")


def fit_format(metadata: Metadata, file_format: str) -> None:
    """Move what a format has another place for, and leave out, by name, what it can't hold."""
    if metadata.exif is not None and file_format != "tiff" and metadata.source == "tiff":
        t.to_utf8(metadata.exif)
    moves_note = (metadata.source == "tiff") != (file_format == "tiff") or file_format == "tiff"
    if metadata.exif is not None and moves_note and t.has_note(metadata.exif):
        metadata.changed.append("place of the maker's note (kept byte for byte)")
    kept_texts = holds(file_format, "PNG's texts") == "kept"
    if file_format == "jpeg":
        _texts_to_exif_fields(metadata)
    elif not kept_texts:
        t.fold_texts(metadata, comments=holds(file_format, "comments") != "kept")
    if not holds(file_format, "IPTC") and metadata.iptc:
        metadata.iptc = b""
        metadata.lost.append("IPTC")
    if not holds(file_format, "Photoshop's resources") and metadata.resources:
        metadata.resources = []
        metadata.lost.append("Photoshop's resources")
    if metadata.segments and file_format != "jpeg":
        metadata.lost += [segment.name for segment in metadata.segments]
        metadata.segments = []
    if metadata.xmp_extended and file_format != "jpeg":
        metadata.lost.append("extended XMP (it can't be joined)")
        metadata.xmp = forget_extended(metadata.xmp)
        metadata.xmp_extended = b""


def _texts_to_exif_fields(metadata: Metadata) -> None:
    """JPEG holds comments: only texts that EXIF has a free field for move there."""
    fields = Metadata(metadata.source, metadata.exif)
    keywords = ("title", "author", "description", "copyright", "software")
    fields.texts = [text for text in metadata.texts if text.keyword.lower() in keywords]
    fields.texts = [text for text in fields.texts if t.has_room(metadata.exif, text.keyword)]
    metadata.texts = [text for text in metadata.texts if text not in fields.texts]
    t.fold_texts(fields, comments=False)
    metadata.exif = fields.exif
