"""Render one shard after the other: what a build does in each of its processes."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2

from degrade.build.plan import Plan, PlanInfo, ShardPlan
from degrade.build.samples import Rejected, SampleMaker
from degrade.build.sources import Source
from degrade.errors import StoreError
from degrade.profile import Profile
from degrade.store.manifest import (
    FORMAT_VERSION,
    SHARD_INFO_NAME,
    Rejection,
    Settings,
    ShardInfo,
    ShardReport,
    write_record,
)
from degrade.store.shards import PARTS, ShardWriter, name_sample
from degrade.store.whole import sync_folder
from degrade.textures.pack import Textures

# mallopt(3)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class Job:
    """All a worker must know; it can be pickled."""

    out: Path
    work: Path
    plan_info: PlanInfo
    source: Source
    profile: Profile
    textures: Path | None
    settings: Settings

    def open(self) -> ShardRenderer:
        """Load what rendering takes, once in each process."""
        settings = self.settings
        maker = SampleMaker(
            self.profile,
            Textures.load(self.textures),
            settings.seed,
            settings.size_px,
            settings.crop,
            settings.keep_grey,
        )
        plan = Plan(self.work, self.plan_info, settings.variants)
        return ShardRenderer(self.out, self.source, plan, maker, settings.variants)


@dataclass(frozen=True)
class ShardRenderer:
    """Renders shards, one after the other, in one process."""

    out: Path
    source: Source
    plan: Plan
    maker: SampleMaker
    variants: int

    def render(self, shard: ShardPlan, tick: Callable[[], None]) -> None:
        """Render a shard aside and rename it.

        Args:
            shard: Which.
            tick: Called after each photograph; may raise to stop.

        Raises:
            StoreError: If it cannot be written.
            SourceError: If a photograph has gone.
        """
        folder = self.out / shard.name
        aside = self.out / f".{shard.name}.{os.getpid()}.tmp"
        try:
            try:
                aside.mkdir()
                report = self._render_into(aside, shard, tick)
                write_record(aside / SHARD_INFO_NAME, report)
                sync_folder(aside)
                if not folder.exists():
                    os.rename(aside, folder)
                    sync_folder(self.out)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error

    def _render_into(self, aside: Path, shard: ShardPlan, tick: Callable[[], None]) -> ShardReport:
        rejections = []
        number = shard.first_number
        positions = self.plan.positions(shard)
        with ShardWriter(aside) as writer:
            for position in positions:
                key = self.plan.key(position)
                try:
                    for values in self._make_samples(position, key):
                        name = name_sample(number)
                        for part, value in zip(PARTS, values, strict=True):
                            writer.put(f"{name}/{part}", value)
                        number += 1
                except Rejected as rejected:
                    rejections.append(
                        Rejection(key=key, reason=rejected.reason, detail=rejected.detail)
                    )
                tick()
        info = ShardInfo(
            name=shard.name,
            split=shard.split,
            first_number=shard.first_number,
            num_pairs=number - shard.first_number,
            digest=writer.hexdigest(),
            num_bytes=writer.num_bytes,
            first_key=self.plan.key(positions[0]),
            last_key=self.plan.key(positions[-1]),
        )
        return ShardReport(format_version=FORMAT_VERSION, info=info, rejections=rejections)

    def _make_samples(self, position: int, key: str) -> Iterator[list[bytes]]:
        original = self.plan.find_original(position)
        if original is not None:
            raise Rejected("duplicate", f"of {original}")
        try:
            data = self.source.read(key)
        except OSError as error:
            raise Rejected("unreadable", error.strerror or "cannot be read") from error
        photo = self.maker.decode(data)
        for variant in range(self.variants):
            yield self.maker.make(photo, key, variant)


def keep_freed_memory() -> None:
    """Tell glibc to reuse the memory of arrays rather than fetch it anew from the kernel.

    This saves some 6 % of a build's processor time and costs no memory. It concerns the whole
    process, so only processes that are the build's own do it; other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 128 << 20)):
            mallopt(option, value)


def render_here(job: Job, todo: list[ShardPlan], report: Callable[[int], None]) -> None:
    """Render shards in this process.

    Args:
        job: What is to be known.
        todo: The shards.
        report: Told how many photographs are done.

    Raises:
        StoreError: If a shard cannot be written.
        SourceError: If a photograph has gone.
    """
    num_threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        renderer = job.open()
        num_done = 0

        def tick() -> None:
            nonlocal num_done
            num_done += 1
            report(num_done)

        for shard in todo:
            renderer.render(shard, tick)
    finally:
        cv2.setNumThreads(num_threads)
