"""Folders that only this user can enter, and that no killed process leaves behind for good.

A folder is locked while its process lives; the next run sweeps those whose locks are free.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sys
import tempfile
import time
import weakref
from pathlib import Path
from typing import Self

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PREFIX = ".restore-"
_LOCK = "in-use"
# What `tempfile` puts after the prefix.
_RANDOM = r"[a-z0-9_]{8}"
# An empty folder without a lock is being made just now, or was left so.
_UNLOCKED_SECONDS = 24 * 3600


class PrivateFolder:
    """A folder of a random name; removed at the end.

    Attributes:
        path: Where it lies.
    """

    def __init__(self, parent: Path, prefix: str = PREFIX, *, is_shared: bool = True) -> None:
        """Make it, and sweep away those of dead processes beside it.

        Args:
            parent: Where.
            prefix: What its name begins with.
            is_shared: Whether files leave it for folders that others see: on Windows they keep who
                may read them.

        Raises:
            OSError: If it can't be made.
        """
        sweep(parent, prefix)
        self.path = _make(parent, prefix, is_shared=is_shared)
        self._remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)
        self._lock = _lock(self.path / _LOCK, make=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._remove()
        _leave_to_sweep(self.path)


def _make(parent: Path, prefix: str, *, is_shared: bool) -> Path:
    """Make a folder of a random name."""
    if sys.platform != "win32" or not is_shared:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    path = parent / f"{prefix}{secrets.token_hex(4)}"  # mkdtemp's would be closed to all others
    path.mkdir()
    return path


def _leave_to_sweep(folder: Path) -> None:
    """Let the next run remove what is still there: on Windows, files that were open."""
    with contextlib.suppress(OSError):
        if folder.exists():
            (folder / _LOCK).touch()


def sweep(parent: Path, prefix: str = PREFIX) -> None:
    """Remove private folders whose processes are dead, and nothing else of such a name."""
    name = re.compile(re.escape(prefix) + _RANDOM)
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if name.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                _sweep_one(Path(entry.path))


def _sweep_one(folder: Path) -> None:
    with contextlib.suppress(OSError):
        status = folder.stat()
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            return
        if not (folder / _LOCK).exists():
            if time.time() - status.st_mtime > _UNLOCKED_SECONDS:
                folder.rmdir()  # fails if there is anything in it
            return
        lock = _lock(folder / _LOCK, make=False)
        if lock is None:
            return
        if sys.platform == "win32":  # where what is open can't be removed
            os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)
            _leave_to_sweep(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)


def _lock(path: Path, *, make: bool) -> int | None:
    """Lock a file as long as its descriptor is open; None where another process has, or can't."""
    descriptor = None
    try:
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o600)
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        if descriptor is not None:
            os.close(descriptor)
        return None
    return descriptor
