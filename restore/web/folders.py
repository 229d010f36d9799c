"""Finished files of a server are given their names at once."""

from __future__ import annotations

import os
from pathlib import Path

from restore.errors import RestoreError


def put_in_place(written: Path, target: Path, *, replace: bool) -> None:
    """Give a finished file its final name, at once.

    Args:
        written: The file, on the same disk and all there.
        target: Its name.
        replace: Whether a file that is there goes.

    Raises:
        RestoreError: If there is a file and it isn't to go, or it can't be written.
    """
    try:
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
