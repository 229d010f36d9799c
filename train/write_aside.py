"""Write a whole file aside, then rename it: a reader never sees half of one."""

from __future__ import annotations

import os
from pathlib import Path

from train.errors import CheckpointError


def write_aside(path: Path, content: bytes) -> None:
    """Write a file; an existing one is replaced at once or not at all.

    Raises:
        CheckpointError: If it can't be written.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise CheckpointError(f"{path}: can't be written ({error.strerror})") from error
