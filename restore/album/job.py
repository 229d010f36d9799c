"""Restore one photograph from file to file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from restore.album.done import copies_file, describe_inputs
from restore.album.plan import INFRARED, Job, check_places
from restore.errors import PhotoError
from restore.events import Notice, Progress
from restore.hints import read_hints
from restore.passes.run import RestoredRows
from restore.restorer import Restorer
from restore.scan.colors import srgb_profile
from restore.scan.infrared import find_dust
from restore.scan.metadata.sidecar import find_sidecar, read_sidecar
from restore.scan.metadata.tiff import join_pages
from restore.scan.negative import is_negative
from restore.scan.opening import as_output_error
from restore.scan.output import (
    PrivateFolder,
    RowFile,
    describe,
    encode,
    is_big,
    output_format,
    tell_metadata,
    to_depth,
)
from restore.scan.photo import Photo, count_pages
from restore.scan.profiles import Srgb
from restore.scan.provenance import SOFTWARE, Provenance
from restore.settings import RestoreSettings

_COMPARE_HEIGHT_PX = 1000
_NEGATIVE_PX = 256


class Done(NamedTuple):
    """A photograph is restored and written.

    Attributes:
        report: What `--json` prints: JSON values.
    """

    report: dict[str, Any]


def run_job(
    restorer: Restorer, job: Job, settings: RestoreSettings
) -> Generator[Notice | Progress | Done, None, None]:
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
    job = replace(job, weights=job.weights or restorer.digest)
    file_format = output_format(job.output)
    pages: list[int | None] = [job.page]
    if job.all_pages and not copies_file(job, settings):
        pages = list(count_pages(job.photo))
        if len(pages) > 1 and (job.marks_in or job.marks_out or job.compare or job.report):
            raise PhotoError(
                f"{job.photo}: marks, comparison and report are of one page; choose it with --page"
            )
    written: list[_Written] = []
    with Photo(job.photo, pages[0]) as first:  # what can't be read leaves the output's place alone
        check_places(job)
        mode, turning = first.mode, first.turning
    with PrivateFolder(job.output) as folder, as_output_error(job.output):
        for index, page in enumerate(pages):
            with Photo(job.photo, page) as photo:
                notices = photo.notices if len(pages) == 1 else []
                yield from map(Notice, notices)
                for event in _restore_into(
                    folder, restorer, photo, job, settings, file_format, name=f"page-{index}"
                ):
                    match event:
                        case _Written():
                            written.append(event)
                        case Progress(done_frac):
                            yield Progress((index + done_frac) / len(pages))
                        case _:
                            text = event.text
                            yield Notice(text if len(pages) == 1 else f"page {page}: {text}")
        result = written[0].path
        if len(written) > 1:
            result = folder.path / "pages.tif"
            big = is_big(sum(page.path.stat().st_size for page in written))
            join_pages(result, [page.path for page in written], big=big)
        sidecar = find_sidecar(job.photo, job.output)
        sidecar_content = b""
        if sidecar is not None:
            copied = written[0].is_copy
            sidecar_content = read_sidecar(sidecar[0], None if copied else turning)
        folder.publish(result, mode)
    if sidecar is not None:
        _write_sidecar(sidecar_content, sidecar[1], mode)
    with Photo(job.photo, pages[0]) as photo:
        if job.compare is not None:
            write_comparison(job.photo, job.output, job.compare, page=job.page)
        measured: dict[str, Any] = {}
        if job.report is not None and written[0].small_marks is not None:
            measured = _report(job, job.report, written[0].small_marks, photo, restorer.name)
            count = measured["num_flagged_regions"]
            if count:
                places = "one place" if count == 1 else f"{count} places"
                yield Notice(f"{places} not explained by the restoration; see {job.report[0]}")
        if len(written) > 1:
            measured["num_pages"] = len(written)
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
                "marks_frac": round(sum(page.marks_frac for page in written) / len(written), 6),
                **measured,
            }
        )


class _Written(NamedTuple):
    """A page that is restored and encoded.

    Attributes:
        path: Where it lies.
        marks_frac: The part of the area that is marks.
        small_marks: For a report a reduced copy of them.
        is_copy: Whether the file is the photograph itself, nothing having been wanted of it.
    """

    path: Path
    marks_frac: float
    small_marks: NDArray[np.uint8] | None
    is_copy: bool


def _restore_into(
    folder: PrivateFolder,
    restorer: Restorer,
    photo: Photo,
    job: Job,
    settings: RestoreSettings,
    file_format: str,
    *,
    name: str,
) -> Iterator[Notice | Progress | _Written]:
    """Restore and encode one page."""
    if photo.dtype == np.uint16 and file_format in ("jpeg", "webp"):
        yield Notice(f"{file_format.upper()} holds 8 bits a channel; .png and .tif keep all 16")
    if _is_negative(photo):
        yield Notice(
            "looks like a colour negative: invert it first (as scanning programs do), since what "
            "is restored here is the negative"
        )
    marks_in = None
    if job.marks_in == INFRARED:
        marks_in = find_dust(photo)
    elif isinstance(job.marks_in, Path):
        marks_in = read_mask(job.marks_in)
    hints = settings.hints if job.hints is None else (*settings.hints, *read_hints(job.hints))
    becomes_color = settings.count_bands(photo.num_bands) > photo.num_bands
    rows_file = RowFile(folder.path / f"{name}-rows")
    marks_file = RowFile(folder.path / f"{name}-marks")
    marks_sum = 0.0
    for event in restorer.restore_rows(
        photo,
        replace(settings, hints=hints),
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
    is_copy = copies_file(job, settings)
    if is_copy:
        written = folder.path / f"{name}{job.output.suffix}"
        shutil.copyfile(photo.path, written)  # encoding anew would change it
    else:
        provenance = None
        if job.add_provenance:
            provenance = Provenance.now(
                f"{SOFTWARE} {job.version}",
                restorer.name,
                settings.describe(),
                describe_inputs(job),
            )
        metadata = describe(
            photo, file_format, provenance, is_converted=photo.is_converted or becomes_color
        )
        written, notices = encode(
            rows_file.image(is_grey=is_grey),
            folder,
            file_format,
            photo,
            icc=srgb_profile() if becomes_color else photo.icc,
            metadata=metadata,
            extra=photo.extra,
            name=name,
            quality=job.quality,
        )
        yield from map(Notice, [*notices, *tell_metadata(metadata, file_format)])
    rows_file.remove()
    if job.marks_out is not None:
        with PrivateFolder(job.marks_out) as marks_folder:
            mask, _ = encode(marks_file.image(is_grey=True), marks_folder, "png", photo)
            marks_folder.publish(mask, photo.mode)
    small_marks = None if job.report is None else _reduce_marks(marks_file.image(is_grey=True))
    marks_frac = marks_sum / (photo.width * photo.height)
    yield _Written(written, marks_frac, small_marks, is_copy)


def _is_negative(photo: Photo) -> bool:
    if photo.num_bands != 3:
        return False
    scale = min(1.0, _NEGATIVE_PX / max(photo.width, photo.height))
    size = (max(1, round(photo.height * scale)), max(1, round(photo.width * scale)))
    return is_negative(photo.space.to_srgb(photo.reduced(*size)))


def _write_sidecar(content: bytes, path: Path, mode: int) -> None:
    with PrivateFolder(path) as folder, as_output_error(path):
        written = folder.path / "sidecar"
        written.write_bytes(content)
        folder.publish(written, mode)


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

    def reduce(path: Path, page: int | None = None) -> NDArray[np.float32]:
        with Photo(path, page) as opened:
            return opened.space.to_srgb(opened.reduced(height, width))

    measured = measure_faithfulness(
        reduce(job.photo, job.page),
        reduce(job.output),
        marks,
        photo_size=(photo.width, photo.height),
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
    with Photo(path, is_mask=True) as photo:
        rows = photo.open_rows()(0, photo.height)
    if rows.dtype == np.uint16:
        rows = (rows >> 8).astype(np.uint8)
    alpha = [photo.num_bands + i for i, meaning in enumerate(photo.extra) if meaning]
    if alpha and rows[..., alpha[0]].min() < 255:
        return np.ascontiguousarray(rows[..., alpha[0]])
    return rows[..., : photo.num_bands].max(axis=-1)


def write_comparison(before: Path, after: Path, path: Path, *, page: int | None = None) -> None:
    """Write a picture of two photographs side by side; `page` is that of the first.

    Raises:
        PhotoError: If one can't be read or the picture can't be written.
    """
    halves = []
    with Photo(before, page) as first, Photo(after) as second:
        height = min(_COMPARE_HEIGHT_PX, first.height)
        width = max(1, round(first.width * height / first.height))
        for photo in (first, second):
            small = photo.space.to_srgb(photo.reduced(height, width))
            halves.append(np.rint(small.clip(0, 1) * 255).astype(np.uint8))
        line = np.full((height, max(2, width // 100), 3), 255, np.uint8)
        pair = np.ascontiguousarray(np.concatenate([halves[0], line, halves[1]], axis=1))
        image = pyvips.Image.new_from_array(pair).copy(interpretation="srgb")
        with PrivateFolder(path) as folder:
            written, _ = encode(image, folder, output_format(path), first)
            folder.publish(written, first.mode)
