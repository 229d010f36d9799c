"""Keep two processes from writing into one folder."""

from __future__ import annotations

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


@contextmanager
def hold_lock(path: Path) -> Iterator[bool]:
    """Hold a lock for as long as the block runs; the system lets go of it if the process dies.

    Args:
        path: The lock's file; made if it is missing, and left there.

    Yields:
        Whether nobody else holds it.

    Raises:
        OSError: If the file cannot be made.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            _try_lock(handle)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
