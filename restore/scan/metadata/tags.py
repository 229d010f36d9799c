"""Which tags of TIFF and EXIF say something of the photograph, and which only of its pixels."""

from __future__ import annotations

from dataclasses import replace

from restore.scan.metadata.block import Metadata, decode_text
from restore.scan.metadata.directories import (
    EXIF,
    INTEROPERABILITY,
    MAKER_NOTE,
    SUB_DIRECTORIES,
    Directory,
    Tag,
)

WIDTH, HEIGHT, COMPRESSION, PHOTOMETRIC, ORIENTATION, SOFTWARE = 256, 257, 259, 262, 274, 305
BITS, NUM_SAMPLES, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 258, 277, 282, 283, 296
SUBFILE_TYPE, EXTRA_SAMPLES, XMP, IPTC, RESOURCES, ICC = 254, 338, 700, 33723, 34377, 34675
DESCRIPTION, ARTIST, COPYRIGHT, DOCUMENT_NAME, DATE_TIME = 270, 315, 33432, 269, 306
COLOR_SPACE, PIXEL_X, PIXEL_Y, USER_COMMENT = 0xA001, 0xA002, 0xA003, 0x9286
SUBJECT_AREA, SUBJECT_LOCATION, OFFSET_SCHEMA = 0x9214, 0xA214, 0xEA1D
_LAYERS, _INTEROPERABILITY_INDEX = 37724, 1

# How the pixels are stored and coloured: the writer of the restored file says it anew.
STRUCTURE = frozenset(
    {SUBFILE_TYPE, 255, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, *range(263, 267), 273}
    | {ORIENTATION, NUM_SAMPLES, 278, 279, 280, 281, 284, *range(288, 294), 317, *range(320, 329)}
    | {SUB_DIRECTORIES, 332, 333, 334, 336, 337, EXTRA_SAMPLES, *range(339, 348), 351}
    | {*range(512, 522), *range(529, 533), 559, 32995, 32996, 32997, 32998, ICC}
)
# Colours as TIFF tells them without a profile: transfer function, white, primaries.
_COLORS = frozenset({301, 318, 319})
# Blocks of their own.
_BLOCKS = frozenset({XMP, IPTC, RESOURCES})
# Tags of DNG files, in which they tell how to develop the pixels; elsewhere they mean nothing.
_DNG_VERSION = 50706
_RAW = frozenset({*range(50706, 51200), *range(52525, 52600)})
UNREAD = frozenset({_LAYERS, ICC, 273, 279, 324, 325, 347, 320})
# In an EXIF block beside other pixels these would point at nothing.
_POINTERS = frozenset({273, 279, 324, 325, 347, 512, 513, 514, SUB_DIRECTORIES, ICC})


def describe_only(main: Directory, *, of_tiff: bool) -> list[str]:
    """Leave in a directory what describes the photograph; returns names of what is left out."""
    lost = []
    if _LAYERS in main.tags:
        lost.append("an editor's layers")
    if SUB_DIRECTORIES in main.tags or SUB_DIRECTORIES in main.children:
        lost.append("previews")
    raw = _RAW if _DNG_VERSION in main.tags else frozenset()
    if raw:
        lost.append("DNG's tags")
    dropped = _BLOCKS | raw | {_LAYERS} | (STRUCTURE if of_tiff else _POINTERS)
    for number in dropped & set(main.tags):
        del main.tags[number]
    for directory in main.walk():
        directory.tags.pop(SUB_DIRECTORIES, None)
        directory.children.pop(SUB_DIRECTORIES, None)
    return lost


def fit_tiff(main: Directory) -> Directory:
    """A copy without what the TIFF writer says itself."""
    tags = {n: t for n, t in main.tags.items() if n not in STRUCTURE | _BLOCKS}
    return Directory(main.order, tags, dict(main.children))


def colors_changed(main: Directory, *, is_srgb: bool) -> None:
    """Say in a directory that the colours are others now: of a profile, or sRGB."""
    for number in _COLORS & set(main.tags):
        del main.tags[number]
    for exif in main.children.get(EXIF, []):
        if COLOR_SPACE in exif.tags:
            exif.set_number(COLOR_SPACE, 1 if is_srgb else 0xFFFF)
        for other in exif.children.get(INTEROPERABILITY, []):
            if is_srgb and _INTEROPERABILITY_INDEX in other.tags:
                other.set_text(_INTEROPERABILITY_INDEX, "R98")


def says_adobe_rgb(main: Directory | None) -> bool:
    """Whether EXIF declares Adobe RGB, as cameras do by the rules of DCF."""
    for exif in main.children.get(EXIF, []) if main else []:
        for other in exif.children.get(INTEROPERABILITY, []):
            index = other.tags.get(_INTEROPERABILITY_INDEX)
            if index and index.data[:3] == b"R03" and exif.number(COLOR_SPACE) != 1:
                return True
    return False


def to_utf8(main: Directory) -> None:
    """Make every text UTF-8: what is another encoding is taken for Windows' Latin-1."""
    for directory in main.walk():
        for number, tag in directory.tags.items():
            if tag.kind == 2 and not tag.data.isascii():
                data = decode_text(tag.data).encode() + b"\0"
                directory.tags[number] = Tag(2, len(data), data)


def to_order(main: Directory, order: str) -> Directory:
    """A directory in another byte order, the comment's UTF-16 with it."""
    if main.order == order:
        return main
    turned = main.in_order(order)
    for directory in turned.walk():
        tag = directory.tags.get(USER_COMMENT)
        if tag and tag.data[:8] == b"UNICODE\0" and len(tag.data) % 2 == 0:
            text = tag.data[8:]
            swapped = b"".join(text[i : i + 2][::-1] for i in range(0, len(text), 2))
            directory.tags[USER_COMMENT] = replace(tag, data=tag.data[:8] + swapped)
    return turned


def has_note(main: Directory) -> bool:
    """Whether there is a maker's note, which points by offsets into the file it came in."""
    return any(MAKER_NOTE in directory.tags for directory in main.walk())


_KEYWORDS = {
    "title": DOCUMENT_NAME,
    "author": ARTIST,
    "description": DESCRIPTION,
    "copyright": COPYRIGHT,
    "software": SOFTWARE,
    "comment": DESCRIPTION,
}


def has_room(main: Directory | None, keyword: str) -> bool:
    """Whether EXIF's field for a keyword of PNG is free."""
    field = _KEYWORDS.get(keyword.lower())
    return field is not None and (main is None or field not in main.tags)


def fold_texts(metadata: Metadata, *, comments: bool) -> None:
    """Move PNG's texts, and comments if wanted, to EXIF's fields; the rest to its user comment.

    A field that is taken already is left as it is, unless it says the same.
    """
    lines = [(t.keyword, t.text) for t in metadata.texts]
    if comments:
        lines += [("Comment", decode_text(comment)) for comment in metadata.comments]
        metadata.comments = []
    metadata.texts = []
    if not lines:
        return
    main = metadata.directory()
    left = []
    for keyword, said in lines:
        field, text = _KEYWORDS.get(keyword.lower()), said.replace("\0", " ")
        if field is not None and field not in main.tags:
            main.set_text(field, text)
        elif field is None or decode_text(main.tags[field].data) != text:
            left.append(text if keyword == "Comment" else f"{keyword}: {text}")
    if not left:
        return
    exif = main.child(EXIF)
    known = exif.tags.get(USER_COMMENT)
    if known is None or not known.data[8:].strip(b"\0 "):
        form = "utf-16-le" if exif.order == "<" else "utf-16-be"
        text = "\n".join(left)
        exif.set_bytes(USER_COMMENT, b"UNICODE\0" + text.encode(form, "replace"))
    else:
        metadata.lost += [f"text ({line[:40]})" for line in left]
