"""The folder of a build under way: its lock, its settings, and what it makes of earlier results."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from degrade.build.options import describe_difference
from degrade.build.runs import RUNS_NAME
from degrade.errors import StoreError
from degrade.store.lock import hold_lock
from degrade.store.manifest import MANIFEST_NAME, WORK_NAME, Settings

SETTINGS_NAME = "settings.json"
REJECTED_NAME = "rejected.jsonl"


@contextmanager
def open_work(out: Path, force: bool) -> Iterator[Path]:
    """Make or find the folder of a build under way, and keep other builds out of it.

    Args:
        out: The build's folder.
        force: Whether to remove what an unfinished build left.

    Yields:
        The folder. It goes when the block ends, unless it holds settings.

    Raises:
        StoreError: If it cannot be written, or another build is writing there.
    """
    made_out = not out.exists()
    work = out / WORK_NAME
    try:
        work.mkdir(parents=True, exist_ok=True)
        (work / "lock").touch()
    except OSError as error:
        raise StoreError(f"{out}: cannot be written: {error.strerror}") from error
    with ExitStack() as stack:
        try:
            alone = stack.enter_context(hold_lock(work / "lock"))
        except OSError as error:
            raise StoreError(f"{work / 'lock'}: cannot be locked: {error.strerror}") from error
        if not alone:
            raise StoreError(f"{out}: another build is writing here; wait for it")
        try:
            if force:
                (work / SETTINGS_NAME).unlink(missing_ok=True)
                if not (out / MANIFEST_NAME).exists():
                    clear_results(out)
            yield work
        finally:
            if not (work / SETTINGS_NAME).exists():
                # Finished, or nothing worth keeping was begun: leave no trace.
                shutil.rmtree(work, ignore_errors=True)
                if made_out and not any(out.iterdir()):
                    out.rmdir()
    if os.name == "nt" and work.exists() and not (work / SETTINGS_NAME).exists():
        shutil.rmtree(work, ignore_errors=True)  # Windows keeps files that are open, such as a lock


def sweep(out: Path) -> None:
    """Remove what processes that died have left under other names."""
    for stale in out.glob(".*.tmp"):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)
        else:
            stale.unlink(missing_ok=True)


def is_begun(work: Path, settings: Settings) -> bool:
    """Whether a folder holds a build under way, and with these settings."""
    try:
        content = (work / SETTINGS_NAME).read_bytes()
        return msgspec.json.decode(content, type=Settings) == settings
    except (OSError, msgspec.MsgspecError):
        return False


def clear_results(out: Path) -> None:
    """Remove an earlier build's results."""
    try:
        (out / MANIFEST_NAME).unlink(missing_ok=True)  # first: without it the rest is worthless
        (out / REJECTED_NAME).unlink(missing_ok=True)
        (out / RUNS_NAME).unlink(missing_ok=True)
        for shard in out.glob("*.lmdb"):
            shutil.rmtree(shard)
    except OSError as error:
        raise StoreError(f"{error.filename}: cannot be removed: {error.strerror}") from error


def check_settings(out: Path, work: Path, settings: Settings) -> None:
    """Refuse to go on with a build that was begun with other settings."""
    try:
        content = (work / SETTINGS_NAME).read_bytes()
    except FileNotFoundError:
        return
    try:
        begun = msgspec.to_builtins(msgspec.json.decode(content, type=Settings))
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"{out}: begun by another release ({error}); --force starts afresh"
        ) from error
    for name, value in msgspec.to_builtins(settings).items():
        if begun[name] == value:
            continue
        if name in ("profile", "versions"):
            what = f"{name}: {describe_difference(begun[name], value)}"
        else:
            what = f"{name} {begun[name]!r} instead of {value!r}"
        if len(what) > 200:
            what = what[:200] + "..."
        raise StoreError(f"{out}: begun with {what}; ask for the same, or --force starts afresh")
