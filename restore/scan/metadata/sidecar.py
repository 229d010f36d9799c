"""The `.xmp` file that other programs keep beside a photograph goes along with the result."""

from __future__ import annotations

from pathlib import Path

from restore.errors import OutputError
from restore.scan.metadata.areas import Turning
from restore.scan.metadata.xmp import set_upright
from restore.scan.opening import is_same_place

_MAX_BYTES = 64 << 20


def find_sidecar(photo: Path, output: Path) -> tuple[Path, Path] | None:
    """The `.xmp` beside a photograph, and where its copy goes; None if there is none.

    Both ways of naming are known: `photo.xmp` (Adobe) and `photo.jpg.xmp` (darktable). By the
    first, `photo.png` would have the same as `photo.jpg`; then the copy is named by the second.
    """
    for suffix in (".xmp", ".XMP"):
        long_name = photo.with_name(photo.name + suffix)
        if _is_file(long_name):
            return long_name, output.with_name(output.name + suffix)
        short_name = photo.with_suffix(suffix)
        if _is_file(short_name):
            target = output.with_suffix(suffix)
            if is_same_place(target, short_name):
                target = output.with_name(output.name + suffix)
            return short_name, target
    return None


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name too long to be one
        return False


def read_sidecar(sidecar: Path, turning: Turning | None) -> bytes:
    """A sidecar's content, true of the upright photograph; None leaves it as it is.

    Raises:
        OutputError: If it can't be read: then the result would lack it.
    """
    try:
        with sidecar.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise OutputError(f"{sidecar}: can't be read: {error.strerror}") from error
    if len(content) > _MAX_BYTES:
        raise OutputError(f"{sidecar}: too large for metadata")
    return content if turning is None else set_upright(content, turning)[0]
