"""Restore what comes into a folder: when it is complete, once, and never our own results.

Reports of changes only wake the watch early; what is there to do is always found by looking. So
bursts, renames and network shares that report nothing lose no file.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from watchfiles import watch

from restore.album.batch import Batch
from restore.album.done import explain_difference
from restore.album.plan import Job, PassedOver, default_output, find_photos
from restore.errors import PhotoError, RestoreError
from restore.restorer import Restorer
from restore.scan.photo import Photo
from restore.settings import RestoreSettings

LEDGER_NAME = ".restore-watch.json"
_MANY = 2  # more than one photograph: problems are told when they occur


@dataclass(frozen=True)
class Plan:
    """What to watch, and how.

    Attributes:
        folder: Where photographs come.
        output: Where results go; None: beside them.
        recursive: Whether folders inside count.
        rescan_s: Seconds after which the folder is looked into without any report.
        settle_s: Seconds for which a complete file hasn't grown.
        add_provenance: Whether the metadata say how a file came to be.
        quality: Of JPEG, WebP and AVIF.
    """

    folder: Path
    output: Path | None = None
    recursive: bool = False
    rescan_s: float = 10.0
    settle_s: float = 2.0
    add_provenance: bool = True
    quality: int | None = None


_Stamp = tuple[int, int]
"""Size and time of change: a file of the same ones is the same."""


class Watch:
    """What is known of the files in a watched folder."""

    def __init__(self, plan: Plan) -> None:
        """Read what an earlier watch did."""
        self.plan = plan
        self._ledger_path = (plan.output or plan.folder) / LEDGER_NAME
        self._done: dict[str, _Stamp] = _read_ledger(self._ledger_path)
        self._failed: dict[str, _Stamp] = {}
        self._blocked: dict[str, tuple[_Stamp, Path]] = {}
        self._seen: dict[str, tuple[_Stamp, float]] = {}

    def find_complete(self, now: float) -> Iterator[Path]:
        """Photographs that are complete and to be restored.

        Args:
            now: Seconds, from any moment on.

        Raises:
            OSError: If the folder is gone, as when a network share is lost.
        """
        os.listdir(self.plan.folder)  # walking it would pass over that silently
        found = find_photos(
            (self.plan.folder,), recursive=self.plan.recursive, out_dir=self._output_inside()
        )
        for one in found:
            if isinstance(one, PassedOver) or one.problem:
                continue
            photo = one.photo
            key, stamp = self._key(photo), _stamp(photo)
            if stamp is None or stamp in (self._done.get(key), self._failed.get(key)):
                continue
            if self._is_blocked(key, stamp):
                continue
            known, since = self._seen.get(key, (None, now))
            if known != stamp:
                self._seen[key] = stamp, now
                since = now
            if now - since >= self.plan.settle_s and stamp[0] > 0:
                yield photo

    @property
    def is_waiting(self) -> bool:
        """Whether files are there that may still grow."""
        return bool(self._seen)

    def plan_job(self, photo: Path, settings: RestoreSettings) -> Job | None:
        """What to do with a complete photograph; None if it is done already.

        Where another result has its place, the photograph waits until that is gone.

        Raises:
            RestoreError: If it can't be read, or its place is taken.
        """
        with Photo(photo) as opened:
            opened.reduced(1, 1)  # decodes all of it: a file that isn't whole yet fails here
        folder = None
        if self.plan.output is not None:
            folder = self.plan.output / photo.parent.relative_to(self.plan.folder)
            folder.mkdir(parents=True, exist_ok=True)
        target = default_output(photo, folder)
        job = Job(
            photo=photo,
            output=target,
            add_provenance=self.plan.add_provenance,
            version=version("old-pictures-restoration"),
            quality=self.plan.quality,
        )
        if not target.exists():
            return job
        if difference := explain_difference(job, settings):
            if (stamp := _stamp(photo)) is not None:
                self._blocked[self._key(photo)] = stamp, target
            raise PhotoError(
                f"{photo}: not restored: {target} exists and {difference}; move or rename one of "
                "them"
            )
        return None

    def _is_blocked(self, key: str, stamp: _Stamp) -> bool:
        blocked, target = self._blocked.get(key, (None, None))
        if target is not None and blocked == stamp and target.exists():
            return True
        self._blocked.pop(key, None)
        return False

    def note(self, photo: Path, *, done: bool) -> None:
        """Remember that a photograph was restored, or that as it is it can't be."""
        key, stamp = self._key(photo), _stamp(photo)
        known, _ = self._seen.pop(key, (stamp, 0.0))
        if known is None or (stamp is not None and stamp != known):
            return  # it changed meanwhile: look again
        if not done:
            if key not in self._blocked:
                self._failed[key] = known
            return
        self._failed.pop(key, None)
        self._done[key] = known
        _write_ledger(self._ledger_path, self._done)

    def _key(self, photo: Path) -> str:
        return photo.relative_to(self.plan.folder).as_posix()

    def _output_inside(self) -> Path | None:
        return self.plan.output


def watch_folder(
    restorer: Restorer, plan: Plan, settings: RestoreSettings, *, as_json: bool
) -> None:
    """Restore what comes, until interrupted.

    Args:
        restorer: The loaded network.
        plan: What to watch.
        settings: What is wanted.
        as_json: Whether each photograph is one line of JSON.

    Raises:
        RestoreError: If the results' folder can't be made.
    """
    if plan.output is not None:
        try:
            plan.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RestoreError(f"{plan.output}: can't be made ({error.strerror})") from error
    state = Watch(plan)
    batch = Batch(as_json=as_json, num_photos=_MANY)
    batch.say(f"watching {plan.folder} with {restorer.name} on {restorer.device}; Ctrl-C ends")
    lost = False
    for _ in _wake(plan, state):
        try:
            photos = list(state.find_complete(time.monotonic()))
        except OSError as error:
            if not lost:
                batch.say(f"{plan.folder}: can't be read now ({error.strerror}); waiting for it")
            lost = True
            continue
        if lost:
            batch.say(f"{plan.folder}: is there again")
            lost = False
        for photo in photos:
            _restore(restorer, state, batch, photo, settings)


def _restore(
    restorer: Restorer, state: Watch, batch: Batch, photo: Path, settings: RestoreSettings
) -> None:
    num_failed = len(batch.failed)
    try:
        job = state.plan_job(photo, settings)
        if job is not None:
            batch.run(restorer, [job], settings)
        state.note(photo, done=len(batch.failed) == num_failed)
    except (RestoreError, OSError) as error:
        batch.fail(photo, str(error))
        state.note(photo, done=False)
    del batch.failed[num_failed:]  # told already; a watch may run for months


def _wake(plan: Plan, state: Watch) -> Iterator[None]:
    """Wake when something changed, when files may have become complete, or when it is time."""
    while True:
        yield
        try:
            step_ms = int(1000 * min(plan.rescan_s, 1.0))
            waited_s = 0.0
            for changes in watch(
                plan.folder,
                recursive=plan.recursive,
                rust_timeout=step_ms,
                yield_on_timeout=True,
                raise_interrupt=True,
                watch_filter=None,
            ):
                waited_s += step_ms / 1000
                if changes or state.is_waiting or waited_s >= plan.rescan_s:
                    waited_s = 0.0
                    yield
                if not plan.folder.is_dir():
                    break
        except (OSError, RuntimeError):  # gone, or on a disk that can't be watched: look then
            pass
        time.sleep(min(plan.rescan_s, 1.0))


def _stamp(photo: Path) -> _Stamp | None:
    try:
        status = photo.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _read_ledger(path: Path) -> dict[str, _Stamp]:
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())["done"]
        return {str(name): (int(size), int(when)) for name, (size, when) in values.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _write_ledger(path: Path, done: dict[str, _Stamp]) -> None:
    text = json.dumps({"done": {name: list(stamp) for name, stamp in sorted(done.items())}})
    part = path.with_name(f"{path.name}.part")
    with contextlib.suppress(OSError):  # without it, results that are there tell what is done
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, path)
