"""Restore one photograph from file to file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from restore.errors import PhotoError
from restore.events import Notice, Progress
from restore.hints import read_hints
from restore.passes.run import RestoredRows
from restore.plan import Job
from restore.restorer import Restorer
from restore.scan.output import (
    PrivateFolder,
    RowFile,
    describe,
    encode,
    output_format,
    to_depth,
)
from restore.scan.photo import Photo, srgb_profile
from restore.scan.profiles import Srgb
from restore.scan.provenance import Provenance
from restore.settings import RestoreSettings

SOFTWARE = "old-pictures-restoration"
_COMPARE_HEIGHT_PX = 1000


class Done(NamedTuple):
    """A photograph is restored and written.

    Attributes:
        report: What `--json` prints: JSON values.
    """

    report: dict[str, Any]


def run_job(
    restorer: Restorer, job: Job, settings: RestoreSettings
) -> Iterator[Notice | Progress | Done]:
    """Restore one photograph and write what was asked for.

    Args:
        restorer: The loaded network.
        job: What to do.
        settings: What is wanted of the restoration.

    Yields:
        Lines for the user, how far the photograph is, and at the end what was done. Closing the
        iterator earlier leaves nothing behind.

    Raises:
        RestoreError: If the photograph can't be read, restored or written; then nothing was.
    """
    started = time.monotonic()
    notices: list[str] = []
    for event in _run_job(restorer, job, settings):
        if isinstance(event, Notice):
            notices.append(event.text)
        if isinstance(event, Done):
            seconds = round(time.monotonic() - started, 3)
            event = Done({**event.report, "seconds": seconds, "notices": notices})
        yield event


def _run_job(
    restorer: Restorer, job: Job, settings: RestoreSettings
) -> Iterator[Notice | Progress | Done]:
    with Photo(job.photo) as photo:
        yield from map(Notice, photo.notices)
        shown = len(photo.notices)
        if photo.path.exists() and job.output.exists() and photo.path.samefile(job.output):
            raise PhotoError(f"{job.output}: is the photograph itself, which is never overwritten")
        file_format = output_format(job.output)
        if photo.dtype == np.uint16 and file_format in ("jpeg", "webp"):
            yield Notice(f"{file_format.upper()} holds 8 bits a channel; .png and .tif keep all 16")
        marks_in = None if job.marks_in is None else read_mask(job.marks_in)
        if job.hints is not None:
            settings = replace(settings, hints=(*settings.hints, *read_hints(job.hints)))
        marks_frac, small_marks = 0.0, None
        try:
            with PrivateFolder(job.output) as folder:
                for event in _restore_into(folder, restorer, photo, job, settings, marks_in):
                    if isinstance(event, _Written):
                        marks_frac, small_marks = event
                    else:
                        yield event
        except OSError as error:
            raise PhotoError(f"{job.output}: can't be written ({error.strerror})") from error
        yield from map(Notice, photo.notices[shown:])
        if job.compare is not None:
            write_comparison(job.photo, job.output, job.compare)
        measured: dict[str, Any] = {}
        if job.report is not None and small_marks is not None:
            measured = _report(job, job.report, small_marks, photo, restorer.name)
            count = measured["num_flagged_regions"]
            if count:
                places = "one place" if count == 1 else f"{count} places"
                yield Notice(f"{places} not explained by the restoration; see {job.report[0]}")
        yield Done(
            {
                "photo": str(job.photo),
                "restored": str(job.output),
                "status": "restored",
                "model": restorer.name,
                "device": restorer.device,
                "width": photo.width,
                "height": photo.height,
                "depth_bits": photo.depth_bits,
                "marks_frac": round(marks_frac, 6),
                **measured,
            }
        )


class _Written(NamedTuple):
    """The part of the area that is marks, and for a report a reduced copy of them."""

    marks_frac: float
    small_marks: NDArray[np.uint8] | None


def _restore_into(
    folder: PrivateFolder,
    restorer: Restorer,
    photo: Photo,
    job: Job,
    settings: RestoreSettings,
    marks_in: NDArray[np.uint8] | None,
) -> Iterator[Notice | Progress | _Written]:
    """Restore, encode, put in place."""
    file_format = output_format(job.output)
    becomes_color = settings.count_bands(photo.num_bands) > photo.num_bands
    rows_file = RowFile(folder.path / "rows")
    marks_file = RowFile(folder.path / "marks")
    marks_sum = 0.0
    for event in restorer.restore_rows(
        photo,
        settings,
        target=Srgb() if becomes_color and not photo.space.is_srgb else None,
        marks_in=marks_in,
    ):
        if not isinstance(event, RestoredRows):
            yield event
            continue
        rows_file.add(to_depth(event.samples, file_format))
        if job.marks_out is not None or job.report is not None:
            marks_file.add(event.marks[..., None])
        marks_sum += float(event.marks.sum(dtype=np.float64)) / 255
    is_grey = photo.num_bands == 1 and not becomes_color
    written = folder.path / f"photo{job.output.suffix}"
    if settings.changes_nothing and photo.path.suffix.lower() == job.output.suffix.lower():
        shutil.copyfile(photo.path, written)  # encoding anew would change it
    else:
        provenance = None
        if job.add_provenance:
            software = f"{SOFTWARE} {job.version}"
            provenance = Provenance.now(software, restorer.name, settings.describe())
        icc = srgb_profile() if becomes_color else photo.icc
        image = describe(rows_file.image(is_grey=is_grey), photo, icc, provenance)
        encode(image, written, photo, file_format, quality=job.quality)
    if job.marks_out is not None:
        mask = folder.path / "marks.png"
        encode(marks_file.image(is_grey=True), mask, photo, "png")
        with PrivateFolder(job.marks_out) as marks_folder:
            moved = marks_folder.path / "marks.png"
            shutil.move(mask, moved)
            marks_folder.publish(moved, photo.mode)
    small_marks = None if job.report is None else _reduce_marks(marks_file.image(is_grey=True))
    folder.publish(written, photo.mode)
    yield _Written(marks_sum / (photo.width * photo.height), small_marks)


def _reduce_marks(marks: pyvips.Image) -> NDArray[np.uint8]:
    """(h, w) of the size that a report measures."""
    from restore.report.faithfulness import analysed_size  # not at start-up: few ask for a report

    width, height = analysed_size(marks.width, marks.height)
    small = marks.resize(width / marks.width, vscale=height / marks.height)
    return np.frombuffer(small.write_to_memory(), np.uint8).reshape(small.height, small.width)


def _report(
    job: Job,
    paths: tuple[Path, Path],
    marks: NDArray[np.uint8],
    photo: Photo,
    model: str,
) -> dict[str, Any]:
    """Measure and report how faithful the restoration is; returns what `--json` says of it."""
    from restore.report.faithfulness import analysed_size, measure_faithfulness
    from restore.report.page import write_report

    width, height = analysed_size(photo.width, photo.height)

    def reduce(path: Path) -> NDArray[np.float32]:
        with Photo(path) as opened:
            return opened.space.to_srgb(opened.reduced(height, width))

    measured = measure_faithfulness(
        reduce(job.photo), reduce(job.output), marks, photo_size=(photo.width, photo.height)
    )
    write_report(
        measured,
        paths,
        photo=job.photo,
        restored=job.output,
        mode=photo.mode,
        model=model,
        version=job.version,
    )
    return {
        "report": str(paths[0]),
        "score": round(measured.score, 4),
        "num_flagged_regions": len(measured.flagged_regions),
    }


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read marks that a user painted.

    Args:
        path: Any photograph format; light is damage. Where it has an alpha band that isn't opaque
            throughout, what is painted is damage, whatever its colour.

    Returns:
        (h, w) uint8.

    Raises:
        PhotoError: If it can't be read.
    """
    with Photo(path) as photo:
        rows = photo.open_rows()(0, photo.height)
    if rows.dtype == np.uint16:
        rows = (rows >> 8).astype(np.uint8)
    if photo.has_alpha and rows[..., -1].min() < 255:
        return np.ascontiguousarray(rows[..., -1])
    return rows[..., : photo.num_bands].max(axis=-1)


def write_comparison(before: Path, after: Path, path: Path) -> None:
    """Write a picture of two photographs side by side.

    Raises:
        PhotoError: If one can't be read or the picture can't be written.
    """
    halves = []
    with Photo(before) as first, Photo(after) as second:
        height = min(_COMPARE_HEIGHT_PX, first.height)
        width = max(1, round(first.width * height / first.height))
        for photo in (first, second):
            small = photo.space.to_srgb(photo.reduced(height, width))
            halves.append(np.rint(small.clip(0, 1) * 255).astype(np.uint8))
        line = np.full((height, max(2, width // 100), 3), 255, np.uint8)
        pair = np.ascontiguousarray(np.concatenate([halves[0], line, halves[1]], axis=1))
        image = pyvips.Image.new_from_array(pair).copy(interpretation="srgb")
        with PrivateFolder(path) as folder:
            written = folder.path / f"compare{path.suffix}"
            encode(image, written, first, output_format(path))
            folder.publish(written, first.mode)
