"""Build a pair store: plan the shards, render each in a worker, survive whatever happens.

A shard is rendered into a folder of another name and renamed when whole, so a build that was
killed loses the shards under way and no more; running it again makes the missing ones. Until
the manifest is written, the folder ``.building`` keeps the settings and the plan.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import lmdb
import msgspec
import numpy as np

import degrade
from degrade.build.plan import Plan, PlanInfo, ShardPlan, make_plan, read_plan_info
from degrade.build.renderer import Job, render_here
from degrade.build.sources import Source, open_source
from degrade.build.workers import render_in_workers
from degrade.damage.crop import CROPS
from degrade.errors import SourceError, StoreError
from degrade.profile import Profile, load_profile, profile_to_json
from degrade.store.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    Manifest,
    Settings,
    ShardInfo,
    SourceInfo,
    read_shard_report,
    write_record,
)
from degrade.store.whole import sync_folder, write_whole
from degrade.textures.pack import Textures

WORK_NAME = ".building"
SETTINGS_NAME = "settings.json"
REJECTED_NAME = "rejected.jsonl"

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many photographs are done and of how many (0: unknown)."""


@dataclass(frozen=True)
class BuildOptions:
    """What to build, from what, and how; see ``degrade build --help``."""

    source: Path
    out: Path
    seed: int
    size_px: int = 256
    profile: str = "family-album"
    textures: Path | None = None
    crop: str = "square"
    variants: int = 1
    val_frac: float = 0.05
    limit: int | None = None
    keep_grey: bool = False
    shard_size: int | None = None
    list_file: Path | None = None
    num_workers: int = 1
    force: bool = False

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ValueError(f"crop is one of {CROPS}, not {self.crop!r}")
        if not 0 <= self.val_frac <= 1:
            raise ValueError(f"val_frac lies in [0, 1], not at {self.val_frac}")
        for name in ("size_px", "variants", "num_workers", "limit", "shard_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1, not {value}")


def build_pairs(options: BuildOptions, progress: Progress | None = None) -> Manifest:
    """Build a pair store, or finish one that was interrupted.

    Args:
        options: What to build.
        progress: Told how far it is.

    Returns:
        The manifest of the finished build.

    Raises:
        SourceError: If the source is missing, empty, or not what it was when the build began.
        StoreError: If the target cannot be written, or holds something else.
        ProfileError: If the profile is missing or wrong.
        TextureError: If the textures are.
    """
    out = options.out
    if out.exists() and not out.is_dir():
        raise StoreError(f"{out}: a file; name a folder")
    if (out / MANIFEST_NAME).exists() and not options.force:
        raise StoreError(f"{out}: already holds a finished build; --force builds it anew")
    begun = (out / WORK_NAME).exists() or (out / MANIFEST_NAME).exists()
    if not begun and out.is_dir() and any(out.iterdir()):
        raise StoreError(f"{out}: not empty, and no build of pairs; name another folder")
    source = open_source(options.source, options.list_file)
    try:
        profile = load_profile(options.profile)
        textures = Textures.load(options.textures)
        settings = _make_settings(options, profile, textures)
        with _open_work(out, options.force) as work:
            return _run(options, source, profile, settings, work, progress or _ignore_progress)
    finally:
        source.close()


def _run(
    options: BuildOptions,
    source: Source,
    profile: Profile,
    settings: Settings,
    work: Path,
    progress: Progress,
) -> Manifest:
    out = options.out
    _check_settings(out, work, settings)
    info = _find_plan(options, source, work, progress)
    if not (work / SETTINGS_NAME).exists():
        _clear(out)  # what --force replaces goes only now that the source has proved good
        write_record(work / SETTINGS_NAME, settings)
    plan = Plan(work, info, options.variants)
    for stale in out.glob(".*.tmp"):
        shutil.rmtree(stale) if stale.is_dir() else stale.unlink()
    shards = list(plan.list_shards())
    todo = [shard for shard in shards if not (out / shard.name).exists()]
    job = Job(out, work, info, source, profile, options.textures, settings)
    num_done = sum(shard.stop - shard.start for shard in shards if shard not in set(todo))

    def report(num_new: int) -> None:
        progress("rendering", num_done + num_new, info.num_photos)

    report(0)
    if options.num_workers == 1 or len(todo) <= 1:
        render_here(job, todo, report)
    else:
        render_in_workers(job, todo, min(options.num_workers, len(todo)), report)
    return _finish(out, source, settings, info, shards)


def _ignore_progress(_task: str, _num_done: int, _num_all: int) -> None:
    pass


def _make_settings(options: BuildOptions, profile: Profile, textures: Textures) -> Settings:
    list_digest = None
    if options.list_file is not None:
        list_digest = hashlib.blake2b(options.list_file.read_bytes(), digest_size=16).hexdigest()
    return Settings(
        format_version=FORMAT_VERSION,
        seed=options.seed,
        profile=msgspec.json.decode(profile_to_json(profile)),
        size_px=options.size_px,
        crop=options.crop,
        variants=options.variants,
        val_frac=options.val_frac,
        limit=options.limit,
        keep_grey=options.keep_grey,
        shard_size=options.shard_size,
        list_digest=list_digest,
        texture_digest=textures.digest,
        versions={
            "degrade": degrade.__version__,
            "lmdb": lmdb.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
            "platform": f"{platform.system()} {platform.machine()}",
            "python": ".".join(platform.python_version_tuple()[:2]),
        },
    )


@contextmanager
def _open_work(out: Path, force: bool) -> Iterator[Path]:
    """Make or find the folder of a build under way, and keep other builds out of it."""
    made_out = not out.exists()
    work = out / WORK_NAME
    try:
        work.mkdir(parents=True, exist_ok=True)
        lock = os.open(work / "lock", os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise StoreError(f"{out}: cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(f"{out}: another build is writing here; wait for it") from None
        try:
            if force and not (out / MANIFEST_NAME).exists():
                _clear(out)
                (work / SETTINGS_NAME).unlink(missing_ok=True)
            yield work
        finally:
            if not (work / SETTINGS_NAME).exists():
                # Finished, or nothing worth keeping was begun: leave no trace.
                shutil.rmtree(work, ignore_errors=True)
                if made_out and not any(out.iterdir()):
                    out.rmdir()
    finally:
        os.close(lock)


def _clear(out: Path) -> None:
    """Remove an earlier build's results."""
    try:
        (out / MANIFEST_NAME).unlink(missing_ok=True)  # first: without it the rest is worthless
        (out / REJECTED_NAME).unlink(missing_ok=True)
        for shard in out.glob("*.lmdb"):
            shutil.rmtree(shard)
    except OSError as error:
        raise StoreError(f"{error.filename}: cannot be removed: {error.strerror}") from error


def _check_settings(out: Path, work: Path, settings: Settings) -> None:
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
            what = ", ".join(
                f"{name} {part} {begun[name].get(part)!r} instead of {value.get(part)!r}"
                for part in sorted({*begun[name], *value})
                if begun[name].get(part) != value.get(part)
            )
        else:
            what = f"{name} {begun[name]!r} instead of {value!r}"
        if len(what) > 200:
            what = what[:200] + "..."
        raise StoreError(f"{out}: begun with {what}; ask for the same, or --force starts afresh")


def _find_plan(options: BuildOptions, source: Source, work: Path, progress: Progress) -> PlanInfo:
    """Make the plan, or take the one of an earlier run if the source is still the same."""

    def look(folder: Path) -> PlanInfo:
        folder.mkdir(exist_ok=True)
        return make_plan(
            source,
            folder,
            limit=options.limit,
            val_frac=options.val_frac,
            variants=options.variants,
            shard_size=options.shard_size,
            progress=lambda num_seen: progress("looking", num_seen, 0),
        )

    earlier = read_plan_info(work) if (work / SETTINGS_NAME).exists() else None
    if earlier is None:
        return look(work)
    if earlier.stamp is None or source.stamp() != earlier.stamp:
        again = work / "again"
        fresh = look(again)
        shutil.rmtree(again)
        if fresh.fingerprint != earlier.fingerprint:
            raise SourceError(
                f"{source.path}: changed since this build began ({earlier.num_photos:,}"
                f" photographs then, {fresh.num_photos:,} now); put it back as it was,"
                " or start afresh with --force"
            )
    return earlier


def _finish(
    out: Path, source: Source, settings: Settings, plan: PlanInfo, shards: list[ShardPlan]
) -> Manifest:
    """Gather the shards' reports into the manifest."""
    infos: list[ShardInfo] = []
    counts: Counter[str] = Counter()
    digest = hashlib.blake2b(digest_size=32)
    for shard in shards:
        report = read_shard_report(out / shard.name)
        infos.append(report.info)
        counts.update(rejection.reason for rejection in report.rejections)
        digest.update(f"{report.info.name} {report.info.digest}\n".encode())
    num_pairs = {
        split: sum(info.num_pairs for info in infos if info.split == split)
        for split in ("train", "val")
    }
    if not any(num_pairs.values()):
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
        example = read_shard_report(out / shards[0].name).rejections[0]
        _clear(out)
        (out / WORK_NAME / SETTINGS_NAME).unlink()
        raise SourceError(
            f"{source.path}: none of {plan.num_photos:,} photographs can be used: {why}"
            f" (such as {example.key}: {example.detail})"
        )
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        settings=settings,
        source=SourceInfo(
            kind=source.kind,
            path=source.path.as_posix(),
            num_photos=plan.num_photos,
            fingerprint=plan.fingerprint,
        ),
        num_train=num_pairs["train"],
        num_val=num_pairs["val"],
        num_rejected=dict(sorted(counts.items())),
        digest=digest.hexdigest(),
        shards=infos,
    )
    write_whole(
        out / REJECTED_NAME,
        (
            msgspec.json.encode(rejection) + b"\n"
            for shard in shards
            for rejection in read_shard_report(out / shard.name).rejections
        ),
    )
    write_record(out / MANIFEST_NAME, manifest)
    sync_folder(out)
    shutil.rmtree(out / WORK_NAME, ignore_errors=True)
    return manifest
