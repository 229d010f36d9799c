"""Which photographs are meant: files, folders and patterns, and where each goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from restore.scan.output import default_suffix
from restore.scan.photo import FORMATS, Photo


@dataclass(frozen=True)
class Job:
    """What to do with one photograph.

    Attributes:
        photo: To read.
        output: To write.
        marks_in: Mask of the user's.
        hints: File of the user's hints of colour.
        marks_out: Where to write the marks that were found.
        compare: Where to write the picture of before and after.
        report: Where to write the report, page and JSON.
        add_provenance: Whether the metadata say how the file came to be.
        version: Of this software, for the provenance.
        quality: Of JPEG, WebP and AVIF, 1..100; None takes a high one.
    """

    photo: Path
    output: Path
    marks_in: Path | None = None
    hints: Path | None = None
    marks_out: Path | None = None
    compare: Path | None = None
    report: tuple[Path, Path] | None = None
    add_provenance: bool = True
    version: str = ""
    quality: int | None = None


class Found(NamedTuple):
    """A photograph to restore, or why not.

    Attributes:
        photo: The file.
        folder: Its folder inside the folder that was named; empty for single files.
        problem: What is wrong; empty if nothing is.
    """

    photo: Path
    folder: Path = Path()
    problem: str = ""


def find_photos(
    names: tuple[Path, ...], *, recursive: bool, out_dir: Path | None
) -> Iterator[Found]:
    """Find the photographs meant by some names, each once, in a stable order.

    In folders and patterns, files that aren't photographs by their suffix and files that were
    written by an earlier run are passed over.

    Args:
        names: Files, folders, or patterns that the shell left alone.
        recursive: Whether folders inside folders count.
        out_dir: A folder that is not to be searched.

    Yields:
        Photographs and problems.
    """
    seen: set[Path] = set()
    for name in names:
        for found in _expand(name, recursive=recursive, out_dir=out_dir):
            key = Path(os.path.abspath(found.photo))  # must not follow a link loop
            if key not in seen:
                seen.add(key)
                yield found


def is_output(path: Path) -> bool:
    """Whether a name is one of what `restore` writes, or of masks and hints for photographs."""
    return Path(path.stem).suffix in (".restored", ".compare", ".marks", ".hints")


def _expand(name: Path, *, recursive: bool, out_dir: Path | None) -> Iterator[Found]:
    try:
        is_dir, exists = name.is_dir(), os.path.lexists(name)
    except (OSError, ValueError):
        is_dir, exists = False, True  # opening it will tell
    if is_dir:
        photos = [
            file
            for file in _walk(name, recursive=recursive, out_dir=out_dir)
            if file.suffix.lower() in FORMATS and not is_output(file)
        ]
        if not photos:
            deeper = "" if recursive else "; --recursive looks into its folders, too"
            yield Found(name, problem=f"{name}: no photographs in this folder{deeper}")
        for file in photos:
            yield Found(file, file.parent.relative_to(name))
    elif not exists and glob.has_magic(str(name)):
        matches = [
            Path(match) for match in sorted(glob.glob(str(name), recursive=True))
        ]  # absolute patterns, too
        photos = [m for m in matches if m.suffix.lower() in FORMATS and not is_output(m)]
        if not photos:
            yield Found(name, problem=f"{name}: no photograph has such a name")
        yield from map(Found, photos)
    else:
        yield Found(name)


def _walk(folder: Path, *, recursive: bool, out_dir: Path | None) -> Iterator[Path]:
    barred = out_dir.resolve() if out_dir is not None else None
    for parent, folders, files in os.walk(folder):  # doesn't follow links to folders
        folders.sort()
        folders[:] = [
            name
            for name in folders
            if recursive and not name.startswith(".") and (Path(parent) / name).resolve() != barred
        ]
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent) / name


def default_output(photo: Path, folder: Path | None = None) -> Path:
    """Where the restored photograph goes: `photo.restored.jpg` beside it, or in a folder.

    Raises:
        PhotoError: If the file must be opened to know, and isn't a photograph.
    """
    deep = False
    if default_suffix(photo, deep=False) != default_suffix(photo, deep=True):
        with Photo(photo) as opened:
            deep = opened.dtype == np.uint16
    name = f"{photo.stem}.restored{default_suffix(photo, deep=deep)}"
    return (photo.parent if folder is None else folder) / name


def report_paths(output: Path) -> tuple[Path, Path]:
    """Where a report goes: `photo.report.html` and `.json` beside `photo.restored.jpg`."""
    stem = output.stem.removesuffix(".restored")
    return output.with_name(f"{stem}.report.html"), output.with_name(f"{stem}.report.json")
