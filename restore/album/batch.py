"""Several photographs, one after the other: what the user is told, and what failed."""

from __future__ import annotations

import filecmp
import json
import sys
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from restore.album.done import explain_difference
from restore.album.job import Done, run_job
from restore.album.plan import Job, is_output
from restore.errors import OutputError, PhotoError, RestoreError
from restore.events import Notice, Progress
from restore.restorer import Restorer
from restore.scan.metadata.sidecar import find_sidecar
from restore.scan.opening import explain_os
from restore.settings import RestoreSettings


@dataclass
class Batch:
    """Runs jobs, tells the user, and remembers what failed."""

    as_json: bool
    num_photos: int

    def __post_init__(self) -> None:
        self.failed: list[str] = []
        self.num_skipped = 0
        self.num_restored = 0
        self._bar: Any = None

    def say(self, line: str) -> None:
        """Tell the user something that isn't a result."""
        if self._bar is not None:
            self._bar.write(line, file=sys.stderr)
        else:
            click.echo(line, err=True)

    def fail(self, photo: Path, problem: str) -> None:
        """Remember what failed; the rest goes on."""
        self.failed.append(problem)
        if self.as_json:
            self._print(json.dumps({"photo": str(photo), "status": "failed", "error": problem}))
        if self.num_photos > 1:
            self.say(f"failed: {problem}")

    def may_skip(self, job: Job, settings: RestoreSettings, *, force: bool, named: bool) -> bool:
        """Whether a photograph is done already, by what its result says of itself.

        Raises:
            RestoreError: If something is at the place of a result that isn't this job's.
        """
        if is_output(job.photo) and not named:
            self._skip(job, "was written by restore; name an output with -o to restore it again")
            return True
        if force:
            return False
        marks = (job.marks_out, job.compare, *(job.report or ()))
        others = [path for path in marks if path is not None]
        sidecar = find_sidecar(job.photo, job.output)
        if sidecar is not None and not _is_same(*sidecar):
            others.append(sidecar[1])
        if not _exists(job.output):
            for path in others:
                if _exists(path):
                    raise PhotoError(f"{path}: exists; --force overwrites it")
            return False
        if named:
            raise PhotoError(f"{job.output}: exists; --force overwrites it")
        difference = explain_difference(job, settings)
        missing = [path for path in others if not _exists(path)]
        if missing and not difference:
            difference = f"is done, but {missing[0]} isn't there"
        if difference:
            raise PhotoError(
                f"{job.photo}: not restored: {job.output} exists and {difference}; --force "
                "overwrites it, -o names another place"
            )
        self._skip(job, f"done already ({job.output}); --force restores it again")
        return True

    def run(self, restorer: Restorer, jobs: list[Job], settings: RestoreSettings) -> None:
        """Restore one photograph after the other."""
        self._bar = tqdm(
            total=len(jobs),
            disable=not sys.stderr.isatty(),
            bar_format="{l_bar}{bar}| {n:.2f}/{total_fmt} photographs, {remaining} left",
        )
        with self._bar:
            for number, job in enumerate(jobs):
                self._bar.set_description(job.photo.name, refresh=False)
                try:
                    if not job.may_replace and _exists(job.output):
                        raise PhotoError(f"{job.output}: appeared meanwhile; not overwritten")
                    with closing(run_job(restorer, job, settings)) as events:
                        for event in events:
                            self._show(job, event, number)
                except RestoreError as error:
                    message = str(error)
                    if str(job.photo) not in message and not isinstance(error, OutputError):
                        message = f"{job.photo}: {message}"
                    self.fail(job.photo, message)
                self._bar.update(number + 1 - self._bar.n)
        self._bar = None

    def _show(self, job: Job, event: Notice | Progress | Done, number: int) -> None:
        match event:
            case Notice(text):
                self.say(f"{job.photo}: {text}")
            case Progress(done_frac):
                self._bar.update(number + done_frac - self._bar.n)
            case Done(report):
                self.num_restored += 1
                self._print(json.dumps(report) if self.as_json else str(job.output))

    def finish(self) -> None:
        """Name what failed and leave with the right status."""
        if self.num_photos > 1:
            self.say(
                f"{self.num_restored} restored, {self.num_skipped} skipped, "
                f"{len(self.failed)} failed"
            )
        if len(self.failed) == 1 and self.num_photos == 1:
            raise click.ClickException(self.failed[0])
        if self.failed:
            lines = "\n".join(f"  {line}" for line in self.failed)
            plural = "s" if len(self.failed) > 1 else ""
            raise click.ClickException(f"{len(self.failed)} photograph{plural} failed:\n{lines}")

    def _skip(self, job: Job, why: str) -> None:
        self.num_skipped += 1
        if self.as_json:
            report = {"photo": str(job.photo), "restored": str(job.output), "status": "skipped"}
            self._print(json.dumps(report))
        self.say(f"{job.photo}: {why}")

    def _print(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=sys.stdout)
        else:
            click.echo(line)


def _is_same(first: Path, second: Path) -> bool:
    try:
        return filecmp.cmp(first, second, shallow=False)
    except OSError:
        return False


def _exists(path: Path) -> bool:
    """Whether something is there.

    Raises:
        PhotoError: If there can't be: the name is too long, a folder is barred.
    """
    try:
        return path.exists()
    except OSError as error:
        raise PhotoError(f"{path}: {explain_os(error)}; name another with -o") from error
