"""The photographs that are open on the page, and the works on them.

All of it belongs to the event loop's thread; the worker is given copies.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from restore.album.plan import PassedOver, default_output, find_photos
from restore.errors import PhotoError, RestoreError
from restore.restorer import Restorer
from restore.scan.formats import sniff
from restore.scan.photo import Photo
from restore.scan.private import PrivateFolder, sweep
from restore.web.edits import Edits
from restore.web.fields import Wanted
from restore.web.jobs import Kind, WebJob
from restore.web.preview import Subject
from restore.web.uploads import UnknownFormat
from restore.web.worker import QueueFull, Worker

MAX_UPLOADS = 500
PREFIX = "restore-serve-"
_HIDDEN_PREFIX = f".{PREFIX}"
_MAX_JOBS = 1000
_USUAL_PIXELS = 12_000_000
_USUAL_PIXELS_PER_SECOND = 600_000.0


class NotThere(RestoreError):
    """There is no such photograph or work."""


class TooManyPixels(RestoreError):
    """A photograph is larger than this server takes."""


@dataclass
class Entry:
    """One photograph.

    Attributes:
        id: Unguessable.
        path: Where it lies.
        folder: Private, for what belongs to it.
        in_album: Whether it lies in the served folder.
        target: In the album, where its result goes.
        edits: Marks and hints.
        revision: Counts the changes of `edits`.
        num_bases: How many files of marks were loaded.
        size: Width and height, px, once it was opened.
    """

    id: str
    path: Path
    folder: Path
    in_album: bool
    target: Path | None = None
    edits: Edits = field(default_factory=Edits)
    revision: int = 0
    num_bases: int = 0
    size: tuple[int, int] | None = None

    @property
    def subject(self) -> Subject:
        """What the worker needs to know."""
        return Subject(self.id, self.path, self.folder, self.edits)


class Desk:
    """Photographs and works.

    Attributes:
        album: The served folder; None if there is none.
        own: The server's private folder.
        entries: By id.
        jobs: By id, the oldest first.
    """

    def __init__(
        self, restorer: Restorer, worker: Worker, *, album: Path | None, recursive: bool,
        max_pixels: int,
    ) -> None:  # fmt: skip
        """Sweep what a killed server left, and look into the album."""
        self.restorer, self.worker = restorer, worker
        self.album = album
        self.max_pixels = max_pixels
        self._recursive = recursive
        self.own = _make_private(Path(tempfile.gettempdir()), PREFIX, is_shared=False)
        self._album_own: PrivateFolder | None = None
        self.entries: dict[str, Entry] = {}
        self.jobs: dict[str, WebJob] = {}
        self._pixels_per_second = _USUAL_PIXELS_PER_SECOND
        if album is not None:
            sweep(album, _HIDDEN_PREFIX)
            self.look_into_album()

    def close(self) -> None:
        """Remove everything private."""
        self.own.close()
        if self._album_own is not None:
            self._album_own.close()

    def look_into_album(self) -> None:
        """Take in photographs that came, and forget those that went."""
        if self.album is None:
            return
        known = {entry.path: entry for entry in self.entries.values() if entry.in_album}
        found = set()
        inside = self.album.resolve()
        for one in find_photos((self.album,), recursive=self._recursive, out_dir=None):
            if isinstance(one, PassedOver) or one.problem:
                continue
            photo = one.photo
            if not photo.resolve().is_relative_to(inside):
                continue  # a link that leads out of the folder isn't followed
            found.add(photo)
            if photo not in known:
                self._add(photo, in_album=True)
        for path in set(known) - found:
            self.remove(known[path].id)

    def folder_for_upload(self) -> tuple[str, Path]:
        """An id, and a private folder for a photograph.

        Raises:
            QueueFull: If too many are open.
        """
        if sum(not entry.in_album for entry in self.entries.values()) >= MAX_UPLOADS:
            raise QueueFull(f"{MAX_UPLOADS} photographs are open; remove some first")
        photo_id = secrets.token_urlsafe(12)
        folder = self.own.path / photo_id
        (folder / "photo").mkdir(parents=True)
        return photo_id, folder

    def add_upload(self, photo_id: str, path: Path) -> Entry:
        """Take in a photograph that was saved into such a folder."""
        return self._add(path, in_album=False, photo_id=photo_id)

    def entry(self, photo_id: str) -> Entry:
        """The photograph of an id.

        Raises:
            NotThere: If there is none.
        """
        if photo_id not in self.entries:
            raise NotThere("there is no such photograph; it may have been removed")
        return self.entries[photo_id]

    def remove(self, photo_id: str) -> None:
        """Forget a photograph; an upload is removed, one of the album stays where it is."""
        entry = self.entry(photo_id)
        for job in [job for job in self.jobs.values() if job.subject.id == photo_id]:
            job.cancelled = True
            job.remove()
            if job.state not in ("queued", "running"):
                del self.jobs[job.id]
        del self.entries[photo_id]
        shutil.rmtree(entry.folder, ignore_errors=True)

    def add_jobs(
        self, entries: Iterable[Entry], kind: Kind, wanted: Wanted, *, again: bool
    ) -> list[WebJob]:
        """Queue photographs.

        Args:
            entries: The photographs.
            kind: "download" or "album".
            wanted: Settings.
            again: Whether results of the album that are there are made anew.

        Raises:
            RestoreError: If there is no room, or no album.
        """
        jobs = []
        active = {job.subject.id for job in self.jobs.values() if job.state in _ACTIVE}
        for entry in entries:
            if entry.id in active:
                continue
            target, problem = None, ""
            if kind == "album":
                try:
                    target = self.target(entry)
                except RestoreError as error:
                    problem = str(error)
                if target is not None and target.exists() and not again:
                    continue
            jobs.append(
                WebJob(
                    subject=entry.subject,
                    kind=kind,
                    wanted=wanted,
                    restorer=self.restorer,
                    scratch=self._scratch(kind),
                    num_pixels=_USUAL_PIXELS
                    if entry.size is None
                    else entry.size[0] * entry.size[1],
                    target=target,
                    replace=again,
                    problem=problem,
                )
            )
        self.worker.add(*jobs)
        for job in jobs:
            self._forget_old_results(job.subject.id)
            self.jobs[job.id] = job
        return jobs

    def add_api_job(self, job: WebJob) -> None:
        """Queue a request's photograph, which no page shows.

        Raises:
            QueueFull: If there is no room.
        """
        self.worker.add(job)

    def job(self, job_id: str) -> WebJob:
        """The work of an id.

        Raises:
            NotThere: If there is none.
        """
        if job_id not in self.jobs:
            raise NotThere("there is no such work; it may have been removed")
        return self.jobs[job_id]

    def target(self, entry: Entry) -> Path:
        """Where a photograph of the album goes.

        Raises:
            RestoreError: If it isn't in the album, or another one goes there.
        """
        if not entry.in_album:
            raise RestoreError(f"{entry.path.name}: lies in no folder of the album; download it")
        if entry.target is None:
            target = default_output(entry.path)
            for other in self.entries.values():
                if other.target == target:
                    raise RestoreError(
                        f"{entry.path.name}: {target.name} is the result of {other.path.name}; "
                        "rename one of them, or download it"
                    )
            entry.target = target
        return entry.target

    def hide_paths(self, text: str) -> str:
        """A message in one line, with names for paths: the command's own, for a browser."""
        text = " ".join(text.split())
        own = re.escape(str(self.own.path))
        text = re.sub(rf"{own}(?:[/\\][\w-]+)?(?:[/\\](?:photo|marks|loaded))?[/\\]?", "", text)
        if self.album is not None:
            text = text.replace(f"{self.album}{os.sep}", "").replace(str(self.album), "the album")
        return text

    def describe(self) -> dict[str, Any]:
        """Photographs and works, as the page shows them."""
        active = [job for job in self.jobs.values() if job.state in _ACTIVE]
        return {
            "album": None if self.album is None else self.album.resolve().name,
            "photos": [self.describe_entry(entry) for entry in self.entries.values()],
            "jobs": [job.describe() for job in self.jobs.values()],
            "seconds_left": self._estimate(active) if active else None,
        }

    def describe_entry(self, entry: Entry) -> dict[str, Any]:
        """One photograph, as the page shows it."""
        restored = False
        if entry.in_album:
            with contextlib.suppress(RestoreError):
                restored = self.target(entry).exists()
        name = entry.path.name
        if entry.in_album and self.album is not None:
            name = entry.path.relative_to(self.album).as_posix()
        return {
            "id": entry.id,
            "name": name,
            "in_album": entry.in_album,
            "restored": restored,
            "size": entry.size,
            "revision": entry.revision,
            "num_hints": len(entry.edits.hints),
        }

    def _estimate(self, active: list[WebJob]) -> float:
        finished = [job for job in self.jobs.values() if job.state == "done" and job.seconds > 0]
        running = [job for job in active if job.done_frac > 0.05]
        seconds = sum(job.seconds for job in (*finished[-8:], *running))
        pixels = sum(job.num_pixels * job.done_frac for job in (*finished[-8:], *running))
        if seconds > 0.5:
            self._pixels_per_second = max(1.0, pixels / seconds)
        left = sum(job.num_pixels * (1 - job.done_frac) for job in active)
        return round(left / self._pixels_per_second, 1)

    def _add(self, path: Path, *, in_album: bool, photo_id: str = "") -> Entry:
        photo_id = photo_id or secrets.token_urlsafe(12)
        folder = self.own.path / photo_id
        folder.mkdir(exist_ok=True)
        entry = self.entries[photo_id] = Entry(photo_id, path, folder, in_album)
        return entry

    def _scratch(self, kind: Kind) -> Path:
        if kind != "album":
            return self.own.path
        assert self.album is not None
        if self._album_own is None:
            self._album_own = _make_private(self.album, _HIDDEN_PREFIX, is_shared=True)
        return self._album_own.path

    def _forget_old_results(self, photo_id: str) -> None:
        for job in [job for job in self.jobs.values() if job.subject.id == photo_id]:
            job.remove()
            del self.jobs[job.id]
        done = [job for job in self.jobs.values() if job.state not in _ACTIVE]
        for job in done[: max(0, len(self.jobs) - _MAX_JOBS)]:
            job.remove()
            del self.jobs[job.id]


_ACTIVE = ("queued", "running")


def open_photo(path: Path, max_pixels: int) -> tuple[int, int]:
    """Width and height of a photograph, by its header.

    Raises:
        RestoreError: If it can't be read, or is too large.
    """
    with path.open("rb") as file:
        is_container = sniff(file.read(32)) == "heif"
    try:
        with Photo(path) as photo:
            width, height = photo.width, photo.height
            if width * height > max_pixels:
                raise TooManyPixels(
                    f"{path.name}: {width} x {height} px are more than {max_pixels / 1e6:g} "
                    "megapixels; `restore serve --max-megapixels` sets the limit"
                )
            if is_container:
                photo.reduced(1, 1)
    except PhotoError as error:
        if is_container:  # most likely coded in a way that this libvips wasn't built for
            raise UnknownFormat(f"{error}; HEIC and AVIF: save it as JPEG, PNG or TIFF") from error
        raise
    return width, height


def _make_private(parent: Path, prefix: str, *, is_shared: bool) -> PrivateFolder:
    """A folder of this server's own, which the next one sweeps if this one dies.

    Raises:
        RestoreError: If it can't be made.
    """
    try:
        return PrivateFolder(parent, prefix, is_shared=is_shared)
    except OSError as error:
        raise RestoreError(f"{parent}: can't be written to ({error.strerror})") from error
