"""A photograph's metadata as one record, whatever file it came from; and what each format holds.

Readers (a file each container) fill the record, `adapt` makes it true of the restored photograph,
writers take from it what their container can hold. What gets lost on the way is named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from restore.scan.metadata.directories import Directory
from restore.scan.metadata.photoshop import Resource, trim_iptc


class Text(NamedTuple):
    """A text with the keyword that PNG files give it.

    Attributes:
        keyword: Latin-1, at most 79 characters.
        text: What it says.
        raw: Its bytes, where they were Latin-1 (PNG's tEXt and zTXt); empty for UTF-8 (iTXt).
        language: Of iTXt: the language, a zero, and the keyword in that language.
    """

    keyword: str
    text: str
    raw: bytes = b""
    language: bytes = b"\0"


class Segment(NamedTuple):
    """An application segment of a JPEG file that no standard explains.

    Attributes:
        marker: 0xE0..0xEF.
        data: Without marker and length.
    """

    marker: int
    data: bytes

    @property
    def name(self) -> str:
        """What it calls itself."""
        label = self.data[:32].split(b"\0")[0].decode("latin-1")
        label = "".join(c for c in label if c.isprintable())[:20]
        return f"segment APP{self.marker - 0xE0}" + (f" ({label})" if label else "")


@dataclass
class Metadata:
    """Everything that a file says beside its pixels and their colours.

    Attributes:
        source: Format that it was read from.
        exif: Directories; of a TIFF file its descriptive tags, EXIF and GPS.
        iptc: IIM records.
        resources: Photoshop's, without IPTC.
        xmp: The packet; what was extended is joined to it.
        xmp_extended: The part that couldn't be joined to the packet.
        comments: Of JPEG and GIF.
        texts: Of PNG.
        segments: Of JPEG.
        lost: What couldn't be read or kept, named.
        changed: What was altered because the pixels were.
        remarks: What else the user should know.
    """

    source: str = ""
    exif: Directory | None = None
    iptc: bytes = b""
    resources: list[Resource] = field(default_factory=list)
    xmp: bytes = b""
    xmp_extended: bytes = b""
    comments: list[bytes] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def take_iptc(self, data: bytes) -> None:
        """Take IPTC records in, unless there are some; what of them is damaged is lost."""
        if self.iptc:
            return
        self.iptc, is_whole = trim_iptc(data)
        if not is_whole:
            self.lost.append("damaged IPTC records")

    def directory(self) -> Directory:
        """The main directory, made if there is none."""
        if self.exif is None:
            self.exif = Directory()
        return self.exif


# What each format holds: "kept" byte for byte, "moved" to another place that says the same, "" not
# at all. docs/restore.md has this table, and tests read every field of it back.
BLOCKS = (
    *("EXIF", "GPS", "maker's and unknown tags", "IPTC", "Photoshop's resources", "XMP"),
    *("extended XMP", "comments", "PNG's texts", "resolution", "ICC profile"),
)
HOLDS = {
    "jpeg": (
        "kept",
        "kept",
        "kept",
        "kept",
        "kept",
        "kept",
        "kept",
        "kept",
        "moved",
        *["kept"] * 2,
    ),
    "png": (
        "kept",
        "kept",
        "kept",
        "kept",
        "kept",
        "kept",
        "moved",
        "moved",
        "kept",
        *["kept"] * 2,
    ),
    "tiff": ("kept", "kept", "kept", "kept", "kept", "kept", *["moved"] * 3, *["kept"] * 2),
    "webp": ("kept", "kept", "kept", "", "", "kept", *["moved"] * 4, "kept"),
    "heif": ("kept", "kept", "kept", "", "", "kept", *["moved"] * 4, "kept"),
}


def holds(file_format: str, block: str) -> str:
    """How a format holds a block."""
    return HOLDS[file_format][BLOCKS.index(block)]


def decode_text(data: bytes) -> str:
    """Bytes of unknown encoding as text: UTF-8, else Windows' Latin-1."""
    data = data.rstrip(b"\0")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "".join(_decode_byte(byte) for byte in data)


def _decode_byte(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:  # five bytes have no meaning there
        return chr(byte)
