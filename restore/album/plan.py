"""Which photographs are meant: files, folders and patterns, and where each goes."""

from __future__ import annotations

import contextlib
import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from restore.errors import OutputError, PhotoError
from restore.scan.formats import FORMATS
from restore.scan.metadata.sidecar import find_sidecar
from restore.scan.opening import explain_os, is_same_place
from restore.scan.output import default_suffix, output_format
from restore.scan.photo import Photo, count_pages


@dataclass(frozen=True)
class Job:
    """What to do with one photograph.

    Attributes:
        photo: To read.
        output: To write.
        marks_in: Mask of the user's, or `INFRARED`: of the scanner's infrared channel.
        hints: File of the user's hints of colour.
        marks_out: Where to write the marks that were found.
        compare: Where to write the picture of before and after.
        report: Where to write the report, page and JSON.
        add_provenance: Whether the metadata say how the file came to be.
        version: Of this software, for the provenance.
        quality: Of JPEG, WebP and AVIF, 1..100; None takes a high one.
        weights: Digest of the weights, likewise.
        page: Of several, from 1; None takes the first of full resolution.
        all_pages: Whether all are restored, into a TIFF file of as many.
        may_replace: Whether what is at the output's place may be overwritten.
    """

    photo: Path
    output: Path
    marks_in: Path | Literal["infrared"] | None = None
    hints: Path | None = None
    marks_out: Path | None = None
    compare: Path | None = None
    report: tuple[Path, Path] | None = None
    add_provenance: bool = True
    version: str = ""
    quality: int | None = None
    weights: str = ""
    page: int | None = None
    all_pages: bool = False
    may_replace: bool = True


INFRARED: Literal["infrared"] = "infrared"


class PassedOver(NamedTuple):
    """What a folder holds and isn't restored.

    Attributes:
        folder: The folder.
        text: What, in one line.
    """

    folder: Path
    text: str


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
) -> Iterator[Found | PassedOver]:
    """Find the photographs meant by some names, each once, in a stable order.

    In folders and patterns, files that aren't photographs by their suffix and files that were
    written by an earlier run are passed over, and counted.

    Args:
        names: Files, folders, or patterns that the shell left alone.
        recursive: Whether folders inside folders count.
        out_dir: A folder that is not to be searched.

    Yields:
        Photographs and problems; for each folder what was passed over, if something was.
    """
    seen: set[Path] = set()
    for name in names:
        for found in _expand(name, recursive=recursive, out_dir=out_dir):
            if isinstance(found, PassedOver):
                yield found
                continue
            key = Path(os.path.abspath(found.photo))  # must not follow a link loop
            if key not in seen:
                seen.add(key)
                yield found


def is_output(path: Path) -> bool:
    """Whether a name is one of what `restore` writes, or of masks and hints for photographs."""
    return Path(path.stem).suffix in (".restored", ".compare", ".marks", ".hints")


def _expand(name: Path, *, recursive: bool, out_dir: Path | None) -> Iterator[Found | PassedOver]:
    try:
        is_dir, exists = name.is_dir(), os.path.lexists(name)
    except (OSError, ValueError):
        is_dir, exists = False, True  # opening it will tell
    if is_dir:
        yield from _search(name, recursive=recursive, out_dir=out_dir)
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


def _search(folder: Path, *, recursive: bool, out_dir: Path | None) -> Iterator[Found | PassedOver]:
    """A folder's photographs, what can't be read in it, and what is passed over."""
    barred = out_dir.resolve() if out_dir is not None else None
    passed = _Passed()
    errors: list[OSError] = []
    num_photos = 0
    for parent, folders, files in os.walk(folder, onerror=errors.append):  # follows no links
        folders.sort()
        others = [f for f in folders if not _is_hidden(f) and _resolve(parent, f) != barred]
        passed.num_hidden += sum(map(_is_hidden, folders))
        passed.num_folders += 0 if recursive else len(others)
        folders[:] = others if recursive else []
        for file in sorted(files):
            path = Path(parent) / file
            if passed.takes(path):
                num_photos += 1
                yield Found(path, path.parent.relative_to(folder))
    for error in errors:
        where = Path(os.fsdecode(error.filename)) if error.filename else folder
        yield Found(where, problem=f"{where}: {explain_os(error)}")
    if not num_photos and not errors:
        deeper = "" if recursive else "; --recursive looks into its folders, too"
        yield Found(folder, problem=f"{folder}: no photographs in this folder{deeper}")
    if text := passed.describe():
        yield PassedOver(folder, text)


def _is_hidden(folder: str) -> bool:
    """Whether a folder is none that people see."""
    return folder.startswith(".") or folder in ("$RECYCLE.BIN", "System Volume Information")


def _resolve(parent: str, name: str) -> Path:
    try:
        return (Path(parent) / name).resolve()
    except (OSError, RuntimeError):  # a loop of links
        return Path(parent) / name


class _Passed:
    """Counts what isn't taken."""

    def __init__(self) -> None:
        self.num_hidden = self.num_outputs = self.num_folders = 0
        self.suffixes: Counter[str] = Counter()

    def takes(self, path: Path) -> bool:
        """Whether a file is a photograph to restore; else it is counted."""
        if path.name.startswith("."):
            self.num_hidden += 1
        elif path.suffix.lower() in FORMATS and not is_output(path):
            return True
        elif path.suffix.lower() == ".xmp":
            return False  # goes along with its photograph
        elif is_output(path) or path.suffixes[-2:-1] == [".report"]:
            self.num_outputs += 1
        else:
            self.suffixes[path.suffix.lower() or "without a suffix"] += 1
        return False

    def describe(self) -> str:
        """One line; empty if nothing was passed over."""
        parts = []
        if num := self.suffixes.total():
            kinds = ", ".join(f"{n} {kind}" for kind, n in self.suffixes.most_common(6))
            more = ", ..." if len(self.suffixes) > 6 else ""
            parts.append(f"{_count(num, 'file')} of no known photograph format ({kinds}{more})")
        if self.num_outputs:
            parts.append(f"{self.num_outputs} written by restore")
        if self.num_hidden:
            parts.append(f"{self.num_hidden} hidden")
        if self.num_folders:
            parts.append(f"{_count(self.num_folders, 'folder')} (--recursive looks into them)")
        return "passed over: " + ", ".join(parts) if parts else ""


def _count(num: int, noun: str) -> str:
    return f"{num} {noun}" if num == 1 else f"{num} {noun}s"


def default_output(photo: Path, folder: Path | None = None, *, page: int | None = None) -> Path:
    """Where the restored photograph goes: `photo.restored.jpg` beside it, or in a folder.

    One of several pages is `photo.2.restored.jpg`.

    Raises:
        PhotoError: If the file must be opened to know, and isn't a photograph.
    """
    deep = False
    if default_suffix(photo, deep=False) != default_suffix(photo, deep=True):
        with Photo(photo) as opened:
            deep = opened.dtype == np.uint16
    number = "" if page is None else f".{page}"
    name = f"{photo.stem}{number}.restored{default_suffix(photo, deep=deep)}"
    return (photo.parent if folder is None else folder) / name


def split_pages(job: Job) -> list[Job]:
    """Jobs for all pages of a photograph: one for TIFF, else one a page, numbered.

    Raises:
        PhotoError: If the photograph can't be read.
    """
    pages = count_pages(job.photo)
    if len(pages) == 1:
        return [replace(job, all_pages=False)]
    if output_format(job.output) == "tiff":
        return [job]
    return [
        replace(
            job,
            all_pages=False,
            page=page,
            output=_number(job.output, page),
            marks_out=None if job.marks_out is None else _number(job.marks_out, page),
            compare=None if job.compare is None else _number(job.compare, page),
            report=None
            if job.report is None
            else (_number(job.report[0], page), _number(job.report[1], page)),
        )
        for page in pages
    ]


def _number(path: Path, page: int) -> Path:
    """`photo.2.restored.jpg` of `photo.restored.jpg`; `x.2.jpg` of `x.jpg`."""
    ending = Path(path.stem).suffix
    ending = ending if ending in (".restored", ".compare", ".marks", ".report") else ""
    stem = path.stem.removesuffix(ending)
    if ending == ".compare" and stem.endswith(".restored"):
        stem, ending = stem.removesuffix(".restored"), ".restored.compare"
    return path.with_name(f"{stem}.{page}{ending}{path.suffix}")


def check_places(job: Job) -> None:
    """See that a job overwrites nothing that it reads, and no result of its own.

    Raises:
        PhotoError: If it would.
    """
    sidecar = find_sidecar(job.photo, job.output)
    read = [job.marks_in, job.hints, sidecar and sidecar[0]]
    written = _list_written(job)
    for index, path in enumerate(written):
        if is_same_place(path, job.photo):
            raise PhotoError(f"{path}: is the photograph itself, which is never overwritten")
        if any(isinstance(other, Path) and is_same_place(path, other) for other in read):
            raise PhotoError(f"{path}: is read for {job.photo}, and so never overwritten")
        if any(is_same_place(path, other) for other in written[:index]):
            raise PhotoError(f"{path}: two results would be written there; name another place")


def _list_written(job: Job) -> list[Path]:
    sidecar = find_sidecar(job.photo, job.output)
    paths = [job.output, job.marks_out, job.compare, *(job.report or ()), sidecar and sidecar[1]]
    return [path for path in paths if path is not None]


class Places:
    """Where the results of one run go: never over each other, nor over a photograph."""

    def __init__(self, photos: Iterable[Path]) -> None:
        """Begin with the photographs, which no result may overwrite."""
        self._photos = set(map(_as_key, photos))
        self._taken: set[str] = set()

    def take(self, job: Job) -> None:
        """Take a job's places.

        Raises:
            PhotoError: If something else has one of them.
        """
        check_places(job)
        written = _list_written(job)
        for path in written:
            if _as_key(path) in self._photos:
                raise PhotoError(f"{path}: is a photograph to restore, which is never overwritten")
            if _as_key(path) in self._taken:
                raise PhotoError(
                    f"{job.photo}: {path} is written for another photograph already; restore it by "
                    "itself with -o"
                )
        self._taken.update(map(_as_key, written))


def _as_key(path: Path) -> str:
    key = os.path.normcase(os.path.abspath(path))
    return key.casefold() if sys.platform == "darwin" else key


@contextlib.contextmanager
def as_plan_error(photo: Path) -> Iterator[None]:
    """Turn what the system says of a photograph's name or results' names into a `PhotoError`."""
    try:
        yield
    except OSError as error:
        where = Path(os.fsdecode(error.filename)) if error.filename else photo
        raise PhotoError(f"{photo}: {_beside(where, photo)}{explain_os(error)}") from error
    except UnicodeError as error:
        raise PhotoError(f"{photo}: its name can't be used ({error})") from error


def _beside(path: Path, photo: Path) -> str:
    return "" if path == photo else f"{path.name}: "


def make_folder(folder: Path) -> None:
    """Make a folder for results, and those above it.

    Raises:
        OutputError: If it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: can't be made: {error.strerror}") from error


def report_paths(output: Path) -> tuple[Path, Path]:
    """Where a report goes: `photo.report.html` and `.json` beside `photo.restored.jpg`."""
    stem = output.stem.removesuffix(".restored")
    return output.with_name(f"{stem}.report.html"), output.with_name(f"{stem}.report.json")
