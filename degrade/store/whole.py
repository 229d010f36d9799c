"""Files and folders that are there as a whole or not at all.

What is written goes under another name beside its place and is renamed when it is whole. That
name begins with a dot and ends with ``.tmp``.
"""

import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from degrade.errors import StoreError


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut, where the system lets us ask for that."""
    if os.name == "nt":  # Windows opens no folders, and writes names down by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _name_aside(path: Path) -> Path:
    """A name of its own for every process, on whatever machine it runs."""
    return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def write_whole(path: Path, content: Iterable[bytes | memoryview]) -> None:
    """Write a file under another name in the same folder, then rename it.

    Args:
        path: Where it goes; overwritten if it is there.
        content: Written one after the other.

    Raises:
        StoreError: If the file cannot be written.
    """
    aside = _name_aside(path)
    try:
        with aside.open("wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a folder to fill; when the block ends well, it gets its name.

    Args:
        path: Where it goes. The folder above exists.
        replace: Whether it takes the place of what is there; otherwise what is there stays, and
            the new folder goes.

    Yields:
        An empty folder.

    Raises:
        OSError: If it cannot be written.
    """
    aside = _name_aside(path)
    try:
        aside.mkdir()  # in here, lest an interrupt between the two leaves it
        yield aside
        sync_folder(aside)
        if replace and path.exists():
            shutil.rmtree(path)
        if not path.exists():
            try:
                os.rename(aside, path)
            except OSError:
                if not path.exists():  # else another process, or machine, was quicker by a hair
                    raise
            sync_folder(path.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
