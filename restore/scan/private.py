"""Folders that only this user can enter, and that no killed process leaves behind for good.

A folder is locked while its process lives; the next run sweeps those whose locks are free.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

PREFIX = ".restore-"
_LOCK = "in-use"
# Folders without a lock are being made just now, or are those of version 0.2.
_UNLOCKED_SECONDS = 24 * 3600


class PrivateFolder:
    """A folder of a random name; removed at the end.

    Attributes:
        path: Where it lies.
    """

    def __init__(self, parent: Path) -> None:
        """Make it, and sweep away those of dead processes beside it.

        Raises:
            OSError: If it can't be made.
        """
        sweep(parent)
        self._folder = tempfile.TemporaryDirectory(prefix=PREFIX, dir=parent)
        self.path = Path(self._folder.name)
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
        with contextlib.suppress(FileNotFoundError):
            self._folder.cleanup()


def sweep(parent: Path) -> None:
    """Remove private folders whose processes are dead."""
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False):
                _sweep_one(Path(entry.path))


def _sweep_one(folder: Path) -> None:
    with contextlib.suppress(OSError):
        status = folder.stat()
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            return
        if not (folder / _LOCK).exists():
            if time.time() - status.st_mtime > _UNLOCKED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
            return
        lock = _lock(folder / _LOCK, make=False)
        if lock is None:
            return
        if sys.platform == "win32":  # where what is open can't be removed
            os.close(lock)
            shutil.rmtree(folder, ignore_errors=True)
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
