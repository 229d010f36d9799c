"""What a request brings: files with names that are names, and of a kind that is known."""

from __future__ import annotations

import os
import re
import shutil
import unicodedata
from pathlib import Path, PurePath
from typing import BinaryIO

from restore.errors import RestoreError
from restore.scan.formats import FORMATS, KNOWN_FORMATS, sniff

_MAX_NAME_BYTES = 200
_SUFFIXES = {
    **{"jpeg": ".jpg", "png": ".png", "tiff": ".tif", "webp": ".webp"},
    **{"heif": ".heic", "gif": ".gif", "bmp": ".bmp", "jp2": ".jp2"},
}
# What else people drop here, so that it can be named.
_OTHERS = (
    (b"BM", "BMP"),
    (b"8BPS", "a Photoshop document"),
    (b"%PDF", "PDF"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
    (b"<!DOCTYPE", "a web page"),
    (b"\x1aE\xdf\xa3", "a video"),
)


class BadName(RestoreError):
    """A file's name is a path, or none."""


class UnknownFormat(RestoreError):
    """A file is no photograph that can be read."""


def check_name(name: str | None) -> str:
    """A file's name as it may stand in a folder; other names than plain ones are refused.

    Raises:
        BadName: If it names a path, a drive or nothing.
    """
    name = unicodedata.normalize("NFC", name or "")
    plain = name.strip()
    if not plain or plain in (".", "..") or plain.startswith("."):
        raise BadName(f"{name[:80]!r} is no name of a photograph")
    if re.search(r'[/\\\0-\x1f\x7f<>"|?*]', plain) or re.match(r"[A-Za-z]:", plain):
        raise BadName(f"{name[:80]!r} is a path or holds signs that names can't; rename the file")
    if len(plain.encode("utf-8", "surrogatepass")) > _MAX_NAME_BYTES or not plain.isprintable():
        raise BadName(f"{plain[:40]!r}... is no name that can be written; rename the file")
    return plain


def save_photo(file: BinaryIO, name: str, folder: Path) -> Path:
    """Save an upload under its name; what it is, its content decides.

    Args:
        file: What was sent.
        name: From `check_name`.
        folder: Private.

    Returns:
        The file; its suffix is that of its format, if the name's was of another.

    Raises:
        UnknownFormat: If it is no photograph.
        RestoreError: If it can't be written.
    """
    file.seek(0)
    head = file.read(32)
    kind = sniff(head)
    if kind is None:
        other = next((text for start, text in _OTHERS if head.lstrip().startswith(start)), None)
        what = "not a photograph in a known format" if other is None else f"is {other}"
        if not head:
            raise UnknownFormat(f"{name}: the file is empty")
        raise UnknownFormat(f"{name}: {what}; what is read is {KNOWN_FORMATS}")
    if FORMATS.get(PurePath(name).suffix.lower()) != kind:
        is_suffix = PurePath(name).suffix.lower() in FORMATS
        suffix = ".avif" if head[8:12] in (b"avif", b"avis") else _SUFFIXES[kind]
        name = (PurePath(name).stem if is_suffix else name) + suffix
    path = folder / name
    file.seek(0)
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    except OSError as error:
        raise RestoreError(f"{name}: can't be written ({error.strerror})") from error
    return path
