"""Where clean photographs come from: LSUN's LMDB files and folders of photographs.

A source lists its keys in ascending order of their bytes and reads one photograph at a time; it
can be pickled, and opens what it needs in each process. A key is text; bytes of it that aren't
UTF-8 stand in it as Python's surrogate escapes, and the plan leaves such photographs out.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import lmdb

from degrade.errors import SourceError, StoreError
from degrade.store.lmdb_files import (
    check_whole,
    hold_environment,
    is_lmdb,
    release_environment,
    shorten,
)
from degrade.store.manifest import DATA_NAME, MANIFEST_NAME, SHARD_INFO_NAME

PHOTO_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff"),
        *(".bmp", ".dib", ".jp2", ".ppm", ".pgm", ".pnm"),
    )
)
_GLIMPSE = 256
_MAX_LMDB_KEY = 511


class Source(Protocol):
    """A collection of encoded clean photographs."""

    kind: str
    path: Path

    def stamp(self) -> str | None:
        """What tells cheaply that nothing changed since, or None if only a new look would."""

    def list_keys(self) -> Iterable[str]:
        """List the keys in ascending order, bytes that aren't UTF-8 escaped.

        Raises:
            SourceError: If there are none, or they cannot all be listed.
        """

    def glimpse(self, key: str) -> bytes:
        """Summarise a photograph by its length and a few bytes of its middle.

        Returns:
            8 bytes: equal for equal photographs; zeros for one that is empty or unreadable.
        """

    def read(self, key: str) -> bytes:
        """Read an encoded photograph.

        Raises:
            SourceError: If it has gone since the keys were listed.
            OSError: If it cannot be read.
        """

    def make_portable(self) -> Source:
        """The same source for a process elsewhere, which reads photographs but lists no keys."""

    def close(self) -> None:
        """Let go of what is open in this process; it opens again when needed."""


def open_source(path: Path, list_file: Path | None = None) -> Source:
    """Find out what kind of source a path is.

    Args:
        path: A folder of photographs, or the folder or file of an LMDB such as LSUN's.
        list_file: Names the photographs to use, one a line: paths relative to the folder, or
            the LMDB's keys; the others are left alone.

    Raises:
        SourceError: If it is missing, unreadable or neither.
    """
    names = None if list_file is None else _read_list(list_file)
    try:
        return _open_path(path, names)
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise _cannot_read(error, path) from error
    except StoreError as error:
        raise SourceError(str(error)) from error


def _open_path(path: Path, names: list[str] | None) -> Source:
    is_folder = stat.S_ISDIR(path.stat().st_mode)
    data_path = path / DATA_NAME if is_folder else path
    if not is_folder and not is_lmdb(path):
        if zipfile.is_zipfile(path):
            raise SourceError(f"{path}: unzip it first")
        raise SourceError(f"{path}: neither a folder nor an LMDB file")
    if data_path.exists():
        if (data_path.parent / SHARD_INFO_NAME).exists():
            raise SourceError(f"{path}: a shard of pairs, not a source of clean photographs")
        check_whole(data_path)
        return LsunSource(path, data_path, names)
    if (path / MANIFEST_NAME).exists() and any(path.glob("*.lmdb")):
        raise SourceError(f"{path}: a store of pairs, not a source of clean photographs")
    return FolderSource(path, names)


def _cannot_read(error: OSError, path: Path) -> SourceError:
    return SourceError(
        f"{show_key(str(error.filename or path))}: cannot be read: {error.strerror or error}"
    )


def _read_list(list_file: Path) -> list[str]:
    try:
        # Not splitlines: names may hold the rarer characters it splits at.
        lines = list_file.read_text("utf-8", errors="surrogateescape").split("\n")
    except OSError as error:
        raise _cannot_read(error, list_file) from error
    if any("\0" in line for line in lines):
        raise SourceError(f"{list_file}: not UTF-8 text")
    names = [line.rstrip("\r") for line in lines if line.strip()]
    if not names:
        raise SourceError(f"{list_file}: names no photographs")
    return names


def show_key(key: str) -> str:
    r"""A key as text that can be printed: bytes that aren't UTF-8 as ``\xff``."""
    return key.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _find_suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _summarise(size: int, middle: bytes) -> bytes:
    return hashlib.blake2b(size.to_bytes(8, "little") + middle, digest_size=8).digest()


@dataclass
class FolderSource:
    """Photographs in a folder and the folders below it, by relative POSIX path."""

    path: Path
    names: list[str] | None = None
    kind: str = field(default="folder", init=False)

    def stamp(self) -> None:
        """A folder has no cheap stamp: look at it again."""

    def list_keys(self) -> list[str]:
        """List the photographs: links are followed but not in circles, hidden files left out."""
        keys = sorted(self._list_files() if self.names is None else self._resolve(self.names))
        if not keys:
            known = " ".join(sorted(PHOTO_SUFFIXES))
            raise SourceError(f"{self.path}: holds no photographs (looked for {known})")
        return keys

    def glimpse(self, key: str) -> bytes:
        """Summarise a photograph by its length and middle."""
        try:
            with open(self.path / key, "rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if size == 0:
                    return bytes(8)
                file.seek(max(0, (size - _GLIMPSE) // 2))
                return _summarise(size, file.read(_GLIMPSE))
        except OSError:
            return bytes(8)

    def read(self, key: str) -> bytes:
        """Read a photograph."""
        path = self.path / key
        try:
            return path.read_bytes()
        except FileNotFoundError:
            if path.is_symlink():
                raise
            raise SourceError(f"{path}: gone since the photographs were listed") from None

    def make_portable(self) -> FolderSource:
        """With an absolute path and without a list."""
        return FolderSource(Path(os.path.abspath(self.path)))

    def close(self) -> None:
        """Nothing is held open."""

    def _list_files(self) -> Iterator[str]:
        try:
            yield from self._walk()
        except OSError as error:
            raise _cannot_read(error, self.path) from error

    def _walk(self) -> Iterator[str]:
        def fail(error: OSError) -> None:
            raise error

        above: dict[str, frozenset[tuple[int, int]]] = {}
        for folder, folders, files in os.walk(self.path, onerror=fail, followlinks=True):
            status = os.stat(folder)
            lineage = above.pop(folder, frozenset()) | {(status.st_dev, status.st_ino)}
            kept = []
            for name in folders:
                if name.startswith("."):
                    continue
                inside = os.path.join(folder, name)
                try:
                    status = os.stat(inside)
                except FileNotFoundError:
                    continue  # removed meanwhile
                # A link to a folder that we are in would never end.
                if (status.st_dev, status.st_ino) not in lineage:
                    kept.append(name)
                    above[inside] = lineage
            folders[:] = kept
            for name in files:
                # Hidden files are other programs' (thumbnails, macOS's "._" companions).
                if name.startswith(".") or _find_suffix(name) not in PHOTO_SUFFIXES:
                    continue
                path = os.path.join(folder, name)
                if _is_readable_kind(path):
                    yield os.path.relpath(path, self.path).replace(os.sep, "/")

    def _resolve(self, names: Iterable[str]) -> set[str]:
        root = os.path.abspath(self.path)
        keys = set()
        for name in names:
            inside = os.path.relpath(os.path.abspath(os.path.join(root, name)), root)
            if inside.startswith(os.pardir):
                raise SourceError(f"{show_key(name)}: listed, but outside of {self.path}")
            if not os.path.isfile(os.path.join(root, inside)):
                raise SourceError(f"{show_key(name)}: listed, but no file of {self.path}")
            keys.add(inside.replace(os.sep, "/"))
        return keys


def _is_readable_kind(path: str) -> bool:
    """Whether a name is a file's; what cannot be told is found out, and rejected, when read."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except OSError:  # a broken link, or a folder whose names alone may be read
        return True


@dataclass
class LsunSource:
    """Photographs in an LMDB as LSUN ships them: a key and an encoded image each."""

    path: Path
    data_path: Path
    names: list[str] | None = None
    kind: str = field(default="lsun", init=False)
    _open: tuple[int, lmdb.Environment, lmdb.Transaction] | None = field(default=None, init=False)

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_open": None}

    def stamp(self) -> str:
        """The file's size, time and last transaction."""
        try:
            status = self.data_path.stat()
        except OSError as error:
            raise _cannot_read(error, self.data_path) from error
        last = self._begin()[0].info()["last_txnid"]
        return f"{status.st_size} {status.st_mtime_ns} {last}"

    def list_keys(self) -> Iterator[str]:
        """List the keys, reading only the pages that hold them."""
        if self.names is not None:
            yield from self._find_listed(self.names)
            return
        key = None
        try:
            for key in self._begin()[1].cursor().iternext(keys=True, values=False):
                yield bytes(key).decode(errors="surrogateescape")
        except lmdb.Error as error:
            raise SourceError(f"{self.data_path}: damaged: {shorten(error)}") from error
        if key is None:
            raise SourceError(f"{self.path}: holds no photographs")

    def glimpse(self, key: str) -> bytes:
        """Summarise a photograph by its length and middle, touching a page or two."""
        try:
            value = self._begin()[1].get(key.encode())
        except lmdb.Error:
            return bytes(8)
        if not value:
            return bytes(8)
        start = max(0, (len(value) - _GLIMPSE) // 2)
        return _summarise(len(value), bytes(value[start : start + _GLIMPSE]))

    def read(self, key: str) -> bytes:
        """Read a photograph."""
        try:
            value = self._begin()[1].get(key.encode())
        except lmdb.Error as error:
            raise OSError(errno.EIO, f"a damaged page: {shorten(error)}") from error
        if value is None:
            raise SourceError(f"{self.path}: {key} has gone since the keys were listed")
        return bytes(value)

    def _begin(self) -> tuple[lmdb.Environment, lmdb.Transaction]:
        if self._open is None or self._open[0] != os.getpid():
            try:
                env = hold_environment(self.data_path)
            except lmdb.Error as error:
                raise SourceError(f"{self.data_path}: cannot be read: {shorten(error)}") from error
            # Buffers let glimpse see a value's length without reading its pages.
            self._open = os.getpid(), env, env.begin(buffers=True)
        return self._open[1], self._open[2]

    def make_portable(self) -> LsunSource:
        """With absolute paths and without a list."""
        return LsunSource(Path(os.path.abspath(self.path)), Path(os.path.abspath(self.data_path)))

    def close(self) -> None:
        """Close the database; it opens again when needed."""
        if self._open is not None:
            if self._open[0] == os.getpid():
                self._open[2].abort()
                release_environment(self.data_path)
            self._open = None

    def _find_listed(self, names: Iterable[str]) -> Iterator[str]:
        transaction = self._begin()[1]
        listed = {name.strip().encode(errors="surrogateescape") for name in names}
        for encoded in sorted(listed):
            key = encoded.decode(errors="surrogateescape")
            if len(encoded) > _MAX_LMDB_KEY or transaction.get(encoded) is None:
                raise SourceError(f"{show_key(key)}: listed, but no key of {self.path}")
            yield key
