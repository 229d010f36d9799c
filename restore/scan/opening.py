"""Open photographs without waiting, and say in one line what went wrong, and whose fault it is."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyvips

from restore.errors import OutputError, PhotoError
from restore.scan.formats import FORMATS, KNOWN_FORMATS, name_other, name_unsupported, sniff

_PLACE_ERRORS = (
    *(errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.EFBIG),
    getattr(errno, "EDQUOT", errno.ENOSPC),
)
_PROBE_BYTES = 1 << 20
# What libvips says where a decoder is missing, by format; anything else is damage.
_LACKING = {
    "heif": re.compile("plugin|not been built|unsupported codec", re.IGNORECASE),
    "tiff": re.compile(
        "not supported|not configured|not implemented|doesn't support|whole number of bytes"
    ),
}


@contextlib.contextmanager
def open_file(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file and nothing else: no folder, pipe, device or socket, and no waiting.

    Raises:
        PhotoError: If it can't be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        regular = stat.S_ISREG(path.stat().st_mode)
        descriptor = os.open(path, flags) if regular else -1
    except OSError as error:
        raise PhotoError(f"{path}: {explain_os(error)}") from None
    except ValueError:
        raise PhotoError(f"{str(path)!r}: not a possible file name") from None
    if not regular:
        kind = "a folder" if path.is_dir() else "a pipe, device or other special file"
        raise PhotoError(f"{path}: is {kind}, not a photograph")
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise PhotoError(f"{path}: was replaced by a special file while it was opened")
        yield file


def is_same_place(first: Path, second: Path) -> bool:
    """Whether two paths lead to the same file, there or not."""
    try:
        return first.samefile(second)
    except (OSError, ValueError):
        return os.path.normcase(os.path.abspath(first)) == os.path.normcase(os.path.abspath(second))


def examine(path: Path) -> tuple[str, int, int]:
    """A photograph's format by content, its size in bytes and its permissions.

    Raises:
        PhotoError: If it is no photograph in a format that is read, or not what its name says.
    """
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        try:
            head = file.read(512)
        except OSError as error:
            raise PhotoError(f"{path}: {error.strerror}") from error
    kind, expected = sniff(head[:32]), FORMATS.get(path.suffix.lower())
    if status.st_size == 0:
        raise PhotoError(f"{path}: the file is empty")
    if kind is None:
        other = name_other(head)
        if other is not None:
            raise PhotoError(f"{path}: is {other}")
        raise PhotoError(f"{path}: not a photograph in a known format ({KNOWN_FORMATS})")
    if expected is not None and kind != expected:
        raise PhotoError(
            f"{path}: is {kind.upper()} inside, not {expected.upper()} as its name says; rename it"
        )
    return kind, status.st_size, stat.S_IMODE(status.st_mode)


@contextlib.contextmanager
def as_photo_error(path: Path, file_format: str, unsupported: str | None = None) -> Iterator[None]:
    """Turn libvips' errors into ours, in one line.

    Args:
        path: The photograph.
        file_format: Its format.
        unsupported: What no decoder here understands in it, if it is known already.
    """
    try:
        yield
    except pyvips.Error as error:
        reason = unsupported or name_unsupported(path, file_format)
        lacking = _LACKING.get(file_format)
        damaged = lacking is not None and not lacking.search(f"{error.message} {error.detail}")
        if reason is None or damaged:
            reason = explain_vips(error)
        raise PhotoError(f"{path}: {reason}") from error


def explain_vips(error: pyvips.Error) -> str:
    """What libvips complains of, in one line."""
    lines = [line.strip() for line in str(error.detail or error.message).splitlines()]
    lines = list(dict.fromkeys(line for line in lines if line))
    text = "; ".join(lines[:2]) or str(error.message)
    return f"damaged or not readable ({text[:200]})"


def explain_os(error: OSError) -> str:
    """What the system complains of."""
    if error.errno == errno.ELOOP:
        return "a loop of symbolic links"
    if error.errno == errno.ENOENT:
        return "no such file"
    if error.errno == errno.EACCES:
        return "no permission to read it"
    if error.errno == errno.ENAMETOOLONG:
        return "the name is too long"
    return str(error.strerror or error)


@contextlib.contextmanager
def as_output_error(output: Path) -> Iterator[None]:
    """Turn the system's errors while a file is written into ours, which blame its place."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{output}: can't be written: {error.strerror or error}") from error


def explain_write(error: pyvips.Error, folder: Path, output: Path) -> PhotoError:
    """What kept libvips from writing: the place, where a small file can't be written there either.

    Args:
        error: Of libvips, which seldom says why.
        folder: Where it wrote.
        output: What the result would be called.
    """
    for number in _PLACE_ERRORS:
        if os.strerror(number) in str(error.detail):
            return OutputError(f"{output}: can't be written: {os.strerror(number)}")
    try:
        with open(folder / "probe", "wb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as found:
        return OutputError(f"{output}: can't be written: {found.strerror or found}")
    return PhotoError(f"{output}: can't be encoded: {explain_vips(error)}")
