"""Keep two processes from writing into one folder."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


_TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)


@contextmanager
def hold_lock(path: Path) -> Iterator[bool]:
    """Hold a lock for as long as the block runs; the system lets go of it if the process dies.

    Args:
        path: The lock's file; made if it is missing, and left there.

    Yields:
        Whether nobody else holds it.

    Raises:
        OSError: If the file cannot be made or locked.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        is_ours = True
        try:
            _try_lock(handle)
        except OSError as error:
            if error.errno not in _TAKEN:  # a file system that knows no locks, for one
                raise
            is_ours = False
        yield is_ours
    finally:
        os.close(handle)
