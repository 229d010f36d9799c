"""Private folders of a server: only this user enters them, and the next server sweeps them.

Whether the server that made one still runs is told by a lock that dies with its process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

from restore.errors import RestoreError

PREFIX = "restore-serve-"
_LOCK_NAME = "lock"


class OwnFolder:
    """A folder of this server's own.

    Attributes:
        path: Where it lies.
    """

    def __init__(self, parent: Path, *, hidden: bool = False) -> None:
        """Make it.

        Raises:
            RestoreError: If it can't be made.
        """
        try:
            prefix = f".{PREFIX}" if hidden else PREFIX
            self.path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            self._lock = open(self.path / _LOCK_NAME, "wb")  # noqa: SIM115  # held until the end
        except OSError as error:
            raise RestoreError(f"{parent}: can't be written to ({error.strerror})") from error
        _try_lock(self._lock)

    def remove(self) -> None:
        """Remove it, and all that is in it."""
        self._lock.close()
        shutil.rmtree(self.path, ignore_errors=True)


def sweep(parent: Path) -> int:
    """Remove what servers that no longer run left in a folder.

    Returns:
        How many folders were removed.
    """
    num_removed = 0
    for pattern in (f"{PREFIX}*", f".{PREFIX}*"):
        for folder in parent.glob(pattern):
            with contextlib.suppress(OSError):
                if folder.is_symlink() or not folder.is_dir() or not _is_ours(folder):
                    continue
                if (folder / _LOCK_NAME).exists():
                    with open(folder / _LOCK_NAME, "r+b") as lock:
                        if not _try_lock(lock):
                            continue
                shutil.rmtree(folder, ignore_errors=True)
                num_removed += 1
    return num_removed


def _is_ours(folder: Path) -> bool:
    return not hasattr(os, "getuid") or folder.stat().st_uid == os.getuid()


def _try_lock(file: IO[bytes]) -> bool:
    """Lock a file until it is closed, if no other process has."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]  # Windows
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def put_in_place(written: Path, target: Path, *, replace: bool) -> None:
    """Give a finished file its final name, at once.

    Args:
        written: The file, on the same disk.
        target: Its name.
        replace: Whether a file that is there goes.

    Raises:
        RestoreError: If there is a file and it isn't to go, or it can't be written.
    """
    try:
        with open(written, "rb") as file:
            os.fsync(file.fileno())
        if replace:
            os.replace(written, target)
            return
        try:
            os.link(written, target)  # unlike a rename, fails where there is a file
        except FileExistsError:
            raise RestoreError(f"{target.name}: exists, and is never overwritten") from None
        except OSError:  # a disk that knows no links
            if os.path.lexists(target):
                raise RestoreError(f"{target.name}: exists, and is never overwritten") from None
            os.replace(written, target)
    except OSError as error:
        raise RestoreError(f"{target.name}: can't be written ({error.strerror})") from error
