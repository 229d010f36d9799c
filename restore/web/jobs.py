"""Restorations at full size: for download, into the album, for the API."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import cv2

from restore.album.job import Done, run_job
from restore.album.plan import Job, default_output
from restore.errors import RestoreError
from restore.events import Notice, Progress
from restore.restorer import Restorer
from restore.scan.metadata.sidecar import find_sidecar
from restore.scan.photo import Photo
from restore.scan.pictures import write_picture
from restore.settings import MarksMode
from restore.web.edits import paint_marks
from restore.web.fields import Wanted
from restore.web.folders import put_in_place
from restore.web.preview import Subject

Kind = Literal["download", "album", "api"]
_STORED_FROM_PIXELS = 50_000_000


@dataclass
class WebJob:
    """One photograph to restore; a `worker.Long`.

    Attributes:
        subject: The photograph, its marks and hints.
        kind: What for.
        wanted: Settings.
        restorer: The network.
        num_pixels: Of the photograph.
        scratch: Private folder on the disk of the result.
        target: The result's final place; None leaves it in the job's own folder.
        replace: Whether a result that is there goes.
        problem: Why it can't be done, if that is known already.
        marks_in: Marks that came as a file, as the command takes them.
        id: Of this job.
        state: "queued", "running", "done", "failed" or "cancelled".
        done_frac: How far it is.
        seconds: How long it has taken.
        error: One line.
        notices: Lines for the user.
        result: The finished file.
        cancelled: Whether it is to stop.
        finished: Called in the worker's thread when the state is final.
    """

    subject: Subject
    kind: Kind
    wanted: Wanted
    restorer: Restorer
    scratch: Path
    num_pixels: int = 0
    target: Path | None = None
    replace: bool = False
    problem: str = ""
    marks_in: Path | None = None
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    state: str = "queued"
    done_frac: float = 0.0
    seconds: float = 0.0
    error: str = ""
    notices: list[str] = field(default_factory=list)
    result: Path | None = None
    cancelled: bool = False
    finished: Callable[[], object] = lambda: None

    def steps(self) -> Generator[None, None, None]:
        """Restore, yielding after every tile."""
        if self.cancelled:
            self._end("cancelled")
            return
        if self.problem:
            self.error = self.problem
            self._end("failed")
            return
        self.state = "running"
        started = time.monotonic()
        try:
            folder = self.scratch / f"job-{self.id}"  # inside a private one
            folder.mkdir()
        except OSError as error:
            self.error = f"{self.subject.path.name}: can't be written ({error.strerror})"
            self._end("failed")
            return
        try:
            with contextlib.closing(self._run(folder)) as events:
                for event in events:
                    if isinstance(event, Progress):
                        self.done_frac = event.done_frac
                        self.seconds = time.monotonic() - started
                    elif isinstance(event, Notice):
                        self.notices.append(event.text)
                    yield
            self.seconds = time.monotonic() - started
            self.done_frac = 1.0
            self._end("done")
        except GeneratorExit:
            self._end("cancelled")
            raise
        except (RestoreError, OSError) as error:
            self.error = self._hide_paths(str(error))
            self._end("failed")
        except BaseException:
            self.error = f"{self.subject.path.name}: this is our fault; see what the server printed"
            self._end("failed")
            raise
        finally:
            if self.result is None or self.target is not None:
                shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Remove the result, if it is this job's own."""
        if self.result is not None and self.target is None:
            shutil.rmtree(self.result.parent, ignore_errors=True)
        self.result = None

    def describe(self) -> dict[str, Any]:
        """What the page is told."""
        left = None
        if self.state == "running" and self.done_frac > 0:
            left = round(self.seconds / self.done_frac * (1 - self.done_frac), 1)
        return {
            "id": self.id,
            "photo": self.subject.id,
            "kind": self.kind,
            "state": self.state,
            "done_frac": round(self.done_frac, 4),
            "seconds_left": left,
            "error": self.error,
            "notices": self.notices,
            "name": self._output_name() if self.result is None else self.result.name,
        }

    def _run(self, folder: Path) -> Generator[Notice | Progress | Done, None, None]:
        photo = self.subject.path
        wanted = self.wanted
        output = folder / self._output_name()
        marks_in, settings = self.marks_in, wanted.settings
        if self.kind != "api":
            marks_in = self._write_marks(folder)
            mode: MarksMode = "add" if marks_in is None else "edit"
            settings = replace(settings, marks_mode=mode, hints=self.subject.edits.hints)
        targets = self._targets(output)
        for _, target in targets:
            if not self.replace and os.path.lexists(target):
                raise RestoreError(f"{target.name}: exists, and is never overwritten")
        job = Job(
            photo=photo,
            output=output,
            marks_in=marks_in,
            add_provenance=wanted.add_provenance,
            version=version("old-pictures-restoration"),
            quality=wanted.quality,
        )
        yield from run_job(self.restorer, job, settings)
        if self.target is None:
            self.result = output
            return
        for written, target in targets:
            if written.exists():
                put_in_place(written, target, replace=self.replace)
        self.result = self.target

    def _targets(self, output: Path) -> list[tuple[Path, Path]]:
        """What lies in the job's own folder, and its final places: photograph and sidecar."""
        if self.target is None:
            return []
        written = find_sidecar(self.subject.path, output)
        placed = find_sidecar(self.subject.path, self.target)
        sidecars = [(written[1], placed[1])] if written and placed else []
        return [(output, self.target), *sidecars]

    def _output_name(self) -> str:
        if self.target is not None:
            return self.target.name
        if (name := self.wanted.name_output(self.subject.path.stem)) is not None:
            return name
        with contextlib.suppress(RestoreError):
            return default_output(self.subject.path).name
        return self.subject.path.name

    def _write_marks(self, folder: Path) -> Path | None:
        if not self.subject.edits.marking:
            return None
        with Photo(self.subject.path) as photo:
            size = (photo.height, photo.width)
        marks = paint_marks(self.subject.edits, *size, self.subject.folder, of=size)
        assert marks is not None
        path = folder / "marks.png"
        write_marks(path, marks)
        return path

    def _hide_paths(self, text: str) -> str:
        """What the command would say, with names for paths."""
        for folder in (str(self.subject.path.parent), str(self.scratch)):
            text = text.replace(f"{folder}{os.sep}", "").replace(folder, "")
        return " ".join(text.split())

    def _end(self, state: str) -> None:
        self.state = state
        self.finished()


def write_marks(path: Path, marks: Any) -> None:
    """Write marks as PNG; large ones not so small that they pass for decompression bombs."""
    level = 0 if marks.size >= _STORED_FROM_PIXELS else 6
    try:
        write_picture(path, marks, [cv2.IMWRITE_PNG_COMPRESSION, level])
    except OSError as error:
        raise RestoreError(f"{path.name}: can't be written ({error.strerror})") from error
