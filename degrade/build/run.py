"""Build a pair store: plan the shards, render each in a worker, survive whatever happens.

A shard is rendered into a folder of another name and renamed when whole, so a build that was
killed loses the shards under way and no more; running it again makes the missing ones. Until
the manifest is written, the folder ``.building`` keeps the settings and the plan.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from degrade.build.engine import render_shards
from degrade.build.options import BuildOptions, make_settings
from degrade.build.plan import Plan, PlanInfo, ShardPlan, make_plan, read_odd_keys, read_plan_info
from degrade.build.renderer import Job
from degrade.build.runs import Run, append_run
from degrade.build.sources import Source, open_source
from degrade.build.work import (
    REJECTED_NAME,
    SETTINGS_NAME,
    check_settings,
    clear_results,
    open_work,
    sweep,
)
from degrade.errors import SourceError, StoreError
from degrade.profile import Profile, load_profile
from degrade.progress import Progress, Step, follow
from degrade.store.manifest import (
    FORMAT_VERSION,
    MANIFEST_NAME,
    WORK_NAME,
    Manifest,
    Settings,
    ShardInfo,
    SourceInfo,
    read_shard_report,
    write_record,
)
from degrade.store.whole import sync_folder, write_whole
from degrade.textures.pack import Textures


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
    return follow(_build(options), progress)


def _build(options: BuildOptions) -> Generator[Step, None, Manifest]:
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
        settings = make_settings(options, profile, Textures.load(options.textures))
        with open_work(out, options.force) as work:
            return (yield from _make_shards(options, source, profile, settings, work))
    finally:
        source.close()


def _make_shards(
    options: BuildOptions, source: Source, profile: Profile, settings: Settings, work: Path
) -> Generator[Step, None, Manifest]:
    out = options.out
    check_settings(out, work, settings)
    info = yield from _find_plan(options, source, work)
    if not (work / SETTINGS_NAME).exists():
        clear_results(out)  # what --force replaces goes only now that the source has proved good
        write_record(work / SETTINGS_NAME, settings)
    with Plan(work, info, options.variants) as plan:
        shards = list(plan.list_shards())
    sweep(out)
    there = set(os.listdir(out))
    todo = [shard for shard in shards if shard.name not in there]
    job = Job(out, work, info, source, profile, options.textures, settings, options.scratch)
    run = Run(engine="processes")
    began = time.monotonic()
    try:
        yield from _render(job, todo, options, run)
        sweep(out)  # of workers that died elsewhere
        manifest = _finish(out, source, settings, info, shards)
        run.is_finished = True
    finally:
        run.seconds = round(time.monotonic() - began, 3)
        if (work / SETTINGS_NAME).exists():
            append_run(out, run)
    shutil.rmtree(work, ignore_errors=True)
    return manifest


def _render(
    job: Job, todo: list[ShardPlan], options: BuildOptions, run: Run
) -> Generator[Step, None, None]:
    """Render the shards that are missing; count pairs, those of earlier runs included."""
    num_all = job.plan_info.num_photos
    num_before = num_all - sum(shard.stop - shard.start for shard in todo)
    yield Step("rendering", num_before * options.variants, num_all * options.variants, "pair")
    with closing(render_shards(job, todo, options, run)) as steps:
        for step in steps:
            yield step._replace(
                num_done=(num_before + step.num_done) * options.variants,
                num_all=num_all * options.variants,
                unit="pair",
            )


def _find_plan(
    options: BuildOptions, source: Source, work: Path
) -> Generator[Step, None, PlanInfo]:
    """Make the plan, or take the one of an earlier run if the source is still the same."""

    def look(folder: Path) -> Generator[Step, None, PlanInfo]:
        folder.mkdir(exist_ok=True)
        return make_plan(
            source,
            folder,
            limit=options.limit,
            val_frac=options.val_frac,
            variants=options.variants,
            shard_size=options.shard_size,
        )

    earlier = read_plan_info(work) if (work / SETTINGS_NAME).exists() else None
    if earlier is None:
        return (yield from look(work))
    if earlier.stamp is None or source.stamp() != earlier.stamp:
        again = work / "again"
        fresh = yield from look(again)
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
    odd_keys = read_odd_keys(out / WORK_NAME)
    counts = Counter(rejection.reason for rejection in odd_keys)
    digest = hashlib.blake2b(digest_size=32)

    def gather() -> Iterator[bytes]:
        """Read each report once, because there may be tens of thousands; give its rejections."""
        yield from (msgspec.json.encode(rejection) + b"\n" for rejection in odd_keys)
        for shard in shards:
            report = read_shard_report(out / shard.name)
            infos.append(report.info)
            counts.update(rejection.reason for rejection in report.rejections)
            digest.update(f"{report.info.name} {report.info.digest}\n".encode())
            yield from (msgspec.json.encode(rejection) + b"\n" for rejection in report.rejections)

    write_whole(out / REJECTED_NAME, gather())
    num_pairs = {
        split: sum(info.num_pairs for info in infos if info.split == split)
        for split in ("train", "val")
    }
    num_photos = plan.num_photos + plan.num_odd
    if not any(num_pairs.values()):
        why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(counts.items()))
        example = read_shard_report(out / shards[0].name).rejections[0]
        clear_results(out)
        (out / WORK_NAME / SETTINGS_NAME).unlink()
        raise SourceError(
            f"{source.path}: none of {num_photos:,} photographs can be used: {why}"
            f" (such as {example.key}: {example.detail})"
        )
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        settings=settings,
        source=SourceInfo(
            kind=source.kind,
            path=source.path.as_posix(),
            num_photos=num_photos,
            fingerprint=plan.fingerprint,
        ),
        num_train=num_pairs["train"],
        num_val=num_pairs["val"],
        num_rejected=dict(sorted(counts.items())),
        digest=digest.hexdigest(),
        shards=infos,
    )
    write_record(out / MANIFEST_NAME, manifest)
    sync_folder(out)
    return manifest
