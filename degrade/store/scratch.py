"""A local folder to build shards in, where the pairs' own folder lies on a network file system.

Each process has a folder of its own in it and holds a lock beside that, so that the folders of
processes that died can be told, and are swept by the next one.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from degrade.errors import ScratchError
from degrade.store.lock import hold_lock


@contextmanager
def open_scratch(folder: Path) -> Iterator[Path]:
    """Make a folder of this process's own, and sweep those of processes that died.

    Args:
        folder: On a local disk; made if it is missing.

    Yields:
        An empty folder. It goes when the block ends.

    Raises:
        ScratchError: If it cannot be written.
    """
    name = f".degrade-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        lock = hold_lock(folder / f"{name}.lock")
        lock.__enter__()  # before the folder is made, or another process might sweep it
    except OSError as error:
        raise ScratchError(f"{folder}: cannot be written: {error.strerror}") from error
    own = folder / f"{name}.tmp"
    try:
        own.mkdir()
        yield own
    except OSError as error:
        raise ScratchError(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(own, ignore_errors=True)
        (folder / f"{name}.lock").unlink(missing_ok=True)
        lock.__exit__(None, None, None)


def copy_whole(path: Path, target: Path) -> None:
    """Copy a file, down to the disk, and see that nothing was cut off.

    Raises:
        OSError: If it cannot be copied.
    """
    with path.open("rb") as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
    if target.stat().st_size != path.stat().st_size:
        raise OSError(f"{target}: a copy that was cut short")


def _sweep(folder: Path) -> None:
    for lock_path in folder.glob(".degrade-*.lock"):
        with suppress(OSError), hold_lock(lock_path) as alone:
            if alone:
                shutil.rmtree(lock_path.with_suffix(".tmp"), ignore_errors=True)
                lock_path.unlink(missing_ok=True)
