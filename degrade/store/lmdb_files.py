"""LMDB files: how long they must be, and which of them this process holds open."""

from __future__ import annotations

import os
import struct
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lmdb

from degrade.errors import StoreError

_MAX_OPEN = 64
_MAGIC = b"\xde\xc0\xef\xbe"


def shorten(error: Exception) -> str:
    """LMDB's error without the path that it repeats."""
    return str(error).rsplit(": ", 1)[-1]


def find_needed_size(data_path: Path) -> int:
    """Read from LMDB's two meta pages how long the file must at least be.

    Reading a file that was cut off ends the process with SIGBUS, so look before opening it.

    Raises:
        StoreError: If the file is missing or no LMDB file.
    """
    try:
        with data_path.open("rb") as file:
            head = file.read(152)
            page_size = int.from_bytes(head[40:44], "little")
            if page_size & (page_size - 1) or not 256 <= page_size <= 1 << 16:
                raise StoreError(f"{data_path}: not an LMDB file")
            file.seek(page_size)
            pages = [head, file.read(152)]
    except OSError as error:
        raise StoreError(f"{data_path}: cannot be read: {error.strerror}") from error
    metas = [
        struct.unpack_from("<QQ", page, 136)  # the last page's number, the transaction's
        for page in pages
        if len(page) == 152 and page[16:20] == _MAGIC
    ]
    if len(metas) != 2:
        raise StoreError(f"{data_path}: not an LMDB file, or cut off")
    last_page, _ = max(metas, key=lambda meta: meta[1])
    return (int(last_page) + 1) * page_size


def is_lmdb(path: Path) -> bool:
    """Tell an LMDB file from others by its first bytes, whatever its name.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        return file.read(20)[16:] == _MAGIC


def check_whole(data_path: Path) -> None:
    """Check that an LMDB file is as long as it says.

    Raises:
        StoreError: If it is cut off, missing or no LMDB file.
    """
    needed = find_needed_size(data_path)
    size = data_path.stat().st_size
    if size < needed:
        raise StoreError(f"{data_path}: cut off: {size:,} bytes of {needed:,}; copy it again")


@dataclass
class _Held:
    env: lmdb.Environment
    num_holders: int


_held: dict[tuple[int, str], _Held] = {}
_lock = threading.Lock()


def hold_environment(data_path: Path) -> lmdb.Environment:
    """Open a file that is read for long, or share it with others of this process that hold it.

    LMDB refuses to open a file twice in one process. `release_environment` lets go of it.

    Raises:
        lmdb.Error: If it cannot be opened.
    """
    key = os.getpid(), os.path.realpath(data_path)
    with _lock:
        if key not in _held:
            for stale in [other for other in _held if other[0] != key[0]]:
                _held.pop(stale).env.close()  # the parent's, before a fork
            env = lmdb.open(key[1], subdir=False, readonly=True, lock=False, readahead=False)
            _held[key] = _Held(env, 0)
        _held[key].num_holders += 1
        return _held[key].env


def release_environment(data_path: Path) -> None:
    """Let go of a file; the last who does closes it."""
    key = os.getpid(), os.path.realpath(data_path)
    with _lock:
        held = _held.get(key)
        if held is None:
            return
        held.num_holders -= 1
        if held.num_holders == 0:
            _held.pop(key).env.close()


class Environments:
    """The LMDB environments this process holds open, least recently used first.

    LMDB allows one environment per file and process, and none may be used across a fork: so all
    readers share this cache, and a process that finds its parent's environments in it drops them.
    """

    def __init__(self) -> None:
        self._pid = 0
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, int], lmdb.Environment] = OrderedDict()

    def fetch(self, data_path: str, keys: Sequence[bytes]) -> list[bytes | None]:
        """Read values of one file, opening it if need be."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()  # the parent's may have been held at the fork
            for env in self._open.values():
                env.close()
            self._open.clear()
            self._pid = os.getpid()
        with self._lock:
            try:
                env = self._find(data_path)
                with env.begin() as transaction:
                    return [transaction.get(key) for key in keys]
            except lmdb.Error as error:
                raise StoreError(f"{data_path}: cannot be read: {shorten(error)}") from error
            except FileNotFoundError:
                raise StoreError(f"{data_path}: no such file") from None

    def _find(self, data_path: str) -> lmdb.Environment:
        # A shard may have been built anew under the same name: its inode tells.
        handle = data_path, os.stat(data_path).st_ino
        env = self._open.get(handle)
        if env is None:
            stale = [other for other in self._open if other[0] == data_path]
            while len(self._open) - len(stale) >= _MAX_OPEN:
                self._open.popitem(last=False)[1].close()
            for other in stale:
                self._open.pop(other).close()
            check_whole(Path(data_path))
            # Without reading ahead each page of a value comes from the disk by itself, when first
            # read: thirteen of them for a pair of 256 px, at three times the processor's time.
            env = self._open[handle] = lmdb.open(
                data_path, subdir=False, readonly=True, lock=False, readahead=True
            )
        self._open.move_to_end(handle)
        return env


environments = Environments()
"""The one cache of this process."""
