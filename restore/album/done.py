"""Whether a photograph is done already: what the result itself says of how it came to be."""

from __future__ import annotations

import filecmp
from dataclasses import fields
from pathlib import Path

from restore.album.plan import INFRARED, Job
from restore.errors import PhotoError
from restore.scan.metadata.read import read_metadata
from restore.scan.opening import explain_os
from restore.scan.provenance import Origin, digest_file, read_origin
from restore.settings import RestoreSettings

_DEFAULTS = RestoreSettings().values()


def describe_inputs(job: Job) -> tuple[tuple[str, str], ...]:
    """What decides the result besides model and settings: digests of all that is read.

    Raises:
        PhotoError: If the marks or the photograph can't be read.
    """
    found = [("photograph", _digest(job.photo))]
    if job.weights:
        found.append(("weights", job.weights))
    if job.marks_in == INFRARED:
        found.append(("marks", "infrared"))
    elif isinstance(job.marks_in, Path):
        found.append(("marks", _digest(job.marks_in)))
    if job.hints is not None:
        found.append(("hints", _digest(job.hints)))
    if job.quality is not None:
        found.append(("quality", str(job.quality)))
    if job.all_pages or job.page is not None:
        found.append(("page", "all" if job.all_pages else str(job.page)))
    return tuple(found)


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as error:
        raise PhotoError(f"{path}: {explain_os(error)}") from error


def copies_file(job: Job, settings: RestoreSettings) -> bool:
    """Whether the result is a copy of the file: nothing is to change."""
    same = job.photo.suffix.lower() == job.output.suffix.lower()
    return settings.changes_nothing and same and job.page is None


def explain_difference(job: Job, settings: RestoreSettings) -> str:
    """Why a result that is there isn't what the job would make; empty if it is.

    Raises:
        PhotoError: If one of the files can't be read.
    """
    try:
        if copies_file(job, settings):
            same = filecmp.cmp(job.photo, job.output, shallow=False)
            return "" if same else "isn't a copy of this photograph"
        origin = read_origin(read_metadata(job.output).xmp)
        if origin is None:
            return "doesn't say what it was made of"
    except OSError as error:
        raise PhotoError(f"{error.filename or job.photo}: {explain_os(error)}") from error
    return _compare(origin, dict(describe_inputs(job)), settings)


def _compare(origin: Origin, wanted: dict[str, str], settings: RestoreSettings) -> str:
    if origin.inputs.get("photograph") != wanted["photograph"]:
        return "is of another photograph, or of an earlier state of this one"
    if "weights" in wanted and origin.inputs.get("weights") != wanted["weights"]:
        return f"was made with other weights ({origin.model})"
    for field in fields(settings):
        value = settings.values()[field.name]
        known = origin.settings.get(field.name, _DEFAULTS[field.name])
        if known != value:
            return f"was made with other settings ({field.name} {known}, not {value})"
    if origin.inputs.get("marks") != wanted.get("marks"):
        return "was made with other marks (--marks-in)"
    for name in ("hints", "quality"):
        if origin.inputs.get(name) != wanted.get(name):
            return f"was made with other {name}"
    if origin.inputs.get("page") != wanted.get("page"):
        return "is of another page"
    return ""
