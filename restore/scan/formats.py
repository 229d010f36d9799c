"""Which formats are read, told by content; and what files of other formats are.

What can't be read is not damaged: it is named, and so is what the user can do.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import BinaryIO

# By suffix: what a file's content must be.
FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "jpeg"),
    **dict.fromkeys((".tif", ".tiff"), "tiff"),
    **dict.fromkeys((".heic", ".heif", ".hif", ".avif"), "heif"),
    **dict.fromkeys((".bmp", ".dib"), "bmp"),
    **dict.fromkeys((".jp2", ".jpx", ".jpf", ".j2k", ".j2c", ".jpc"), "jp2"),
    ".png": "png",
    ".webp": "webp",
    ".gif": "gif",
}
KNOWN_FORMATS = "JPEG, PNG, TIFF, WebP, HEIC, AVIF, GIF, BMP, JPEG 2000"
_HEIF_BRANDS = (
    *(b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1", b"miaf"),
    *(b"avif", b"avis"),
)
# Files that users take for photographs: a pattern of their first bytes, what they are, the remedy.
_EXPORT = "export it as TIFF or PNG first"
_DEVELOP = "develop it with a raw converter to 16-bit TIFF first"
_CONVERT = "convert it to TIFF or PNG first"
_OTHERS = (
    (rb"8BPS", "a Photoshop document", _EXPORT),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL", _CONVERT),
    (rb"II\xbc\x01", "JPEG XR", _CONVERT),
    (rb"%PDF", "a PDF document", "export its pages as TIFF or PNG first"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript document", _EXPORT),
    (rb"gimp xcf", "a GIMP document", _EXPORT),
    (rb"AT&TFORM", "a DjVu document", _EXPORT),
    (rb"P[1-7][\s#]", "PNM", _CONVERT),
    (rb"\x76\x2f\x31\x01", "OpenEXR", _CONVERT),
    (rb"#\?(RADIANCE|RGBE)", "Radiance HDR", _CONVERT),
    (rb"\0\0[\x01\x02]\0", "an icon", _CONVERT),
    (rb"SIMPLE  =", "FITS", _CONVERT),
    (rb"\x0a[\0-\5]\x01[\x01\x02\x04\x08]", "PCX", _CONVERT),
    (rb".{128}DICM", "DICOM", _CONVERT),
    (rb"\s*(\xef\xbb\xbf)?\s*<(\?xml|svg)", "an SVG or XML document", _EXPORT),
    (rb"FUJIFILMCCD-RAW|FOVb|IIU\0|IIRO|IIRS|MMOR|.{4}ftypcrx ", "a camera's raw file", _DEVELOP),
    (rb".{4}ftyp|\x1aE\xdf\xa3|RIFF.{4}AVI ", "a film", "save a frame of it as PNG first"),
    (rb"PK\x03\x04|\x1f\x8b|7z\xbc\xaf|Rar!", "an archive", "unpack it first"),
)
_TIFF_COMPRESSIONS = {
    6: "old-style JPEG",
    9: "JBIG",
    10: "JBIG",
    22610: "JPEG XR",
    32809: "ThunderScan",
    32895: "a printer's compression",
    34661: "JBIG",
    34676: "LogLuv",
    34677: "LogLuv",
    34712: "JPEG 2000",
    34713: "a Nikon camera's raw compression",
    34887: "LERC",
    34892: "lossy raw JPEG",
    34925: "LZMA",
    34933: "PNG",
    34934: "JPEG XR",
    50000: "Zstandard (ZSTD)",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}


def sniff(head: bytes) -> str | None:
    """A file's format by its first 32 bytes; None if it isn't one of ours."""
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "tiff"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return "heif"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "gif"
    if head[:2] == b"BM" and len(head) > 18 and head[14:18] in _BMP_HEADERS:
        return "bmp"
    if head.startswith((b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51")):
        return "jp2"
    return None


_BMP_HEADERS = [struct.pack("<I", size) for size in (12, 16, 40, 52, 56, 64, 108, 124)]


def name_other(head: bytes) -> str | None:
    """What a file is that is none of ours, and what to do; None if nobody knows."""
    for pattern, kind, remedy in _OTHERS:
        if re.match(pattern, head, re.DOTALL):
            return f"{kind}, which can't be restored; {remedy}"
    return None


def name_unsupported(path: Path, file_format: str) -> str | None:
    """What of a file's kind no decoder here understands, and what to do; None if nothing is.

    Args:
        path: A photograph that couldn't be decoded.
        file_format: What `sniff` said.
    """
    try:
        with path.open("rb") as file:
            if file_format == "jpeg":
                return _name_jpeg(file)
            if file_format == "heif":
                return _name_heif(file.read(1 << 16))
    except (OSError, struct.error, ValueError):
        pass
    return None


def name_tiff(compression: int, bits: int, photometric: int) -> str | None:
    """What of a TIFF file that couldn't be decoded isn't supported, and what to do."""
    if photometric in (32803, 34892):
        return f"a camera's raw file; {_DEVELOP}"
    if compression == 6:
        return (
            "old-style JPEG inside TIFF, which can't be decoded; open it with another program and "
            "save it again, as TIFF without compression"
        )
    if bits not in (1, 2, 4, 8, 16):
        return (
            f"its samples have {bits} bits, which can't be decoded; save it with 8 or 16 bits a "
            "channel"
        )
    if compression in _TIFF_COMPRESSIONS:
        return (
            f"{_TIFF_COMPRESSIONS[compression]} compression inside TIFF, which this installation "
            "can't decode; save it again with LZW or deflate, or without compression"
        )
    return None


def _name_jpeg(file: BinaryIO) -> str | None:
    """A JPEG file's frame header tells its process and depth."""
    file.seek(2)
    while (marker := _next_marker(file)) is not None:
        size = struct.unpack(">H", file.read(2))[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            bits = file.read(1)[0]
            if bits != 8:
                return f"JPEG of {bits} bits, which can't be decoded; save it as TIFF or PNG first"
            if marker in (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF):
                kind = "lossless" if marker in (0xC3, 0xC7, 0xCB, 0xCF) else "hierarchical"
                return f"{kind} JPEG, which can't be decoded; save it as TIFF or PNG first"
            return None
        file.seek(size - 2, 1)
    return None


def _next_marker(file: BinaryIO) -> int | None:
    while file.read(1) == b"\xff":
        code = file.read(1)
        while code == b"\xff":
            code = file.read(1)
        if code and code[0] not in (0, 1, 0xD8, 0xD9, 0xDA) and not 0xD0 <= code[0] <= 0xD7:
            return code[0]
        if not code or code[0] == 0xDA:
            return None
    return None


def _name_heif(head: bytes) -> str | None:
    """The kinds of a HEIF file's items tell who can decode it."""
    for kind, name in (
        *((b"hvc1", "HEIC"), (b"hev1", "HEIC"), (b"vvc1", "HEIF with VVC"), (b"lhv1", "HEIC")),
        *((b"j2k1", "HEIF with JPEG 2000"), (b"evc1", "HEIF with EVC"), (b"unci", "raw HEIF")),
        *((b"avc1", "HEIF with AVC"), (b"jpeg", "HEIF with JPEG"), (b"av01", "AVIF")),
    ):
        # In an entry of the items' table: size, "infe", version, number, protection, kind.
        if re.search(rb"infe[\2\3].{5,7}" + kind, head, re.DOTALL):
            return f"{name} can't be decoded by this installation; convert it to JPEG or PNG first"
    return None
