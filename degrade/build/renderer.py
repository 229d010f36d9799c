"""Render shards, one after the other: what a build does in each of its processes."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from degrade.build.plan import Plan, PlanInfo, ShardPlan
from degrade.build.samples import Rejected, SampleMaker
from degrade.build.sources import Source
from degrade.build.work import is_begun
from degrade.errors import ScratchError, StoreError
from degrade.profile import Profile
from degrade.store.manifest import (
    DATA_NAME,
    FORMAT_VERSION,
    SHARD_INFO_NAME,
    Rejection,
    Settings,
    ShardInfo,
    ShardReport,
    write_record,
)
from degrade.store.scratch import copy_whole, open_scratch
from degrade.store.shards import PARTS, ShardWriter, digest_shard, name_sample
from degrade.store.whole import whole_folder
from degrade.textures.pack import Textures


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
    scratch: Path | None = None

    def open(self) -> ShardRenderer:
        """Load what rendering takes, once in each process.

        Raises:
            TextureError: If there are no textures.
            ScratchError: If the folder to build in cannot be written.
        """
        stack = ExitStack()
        scratch = None
        if self.scratch is not None:
            scratch = stack.enter_context(open_scratch(self.scratch))
        settings = self.settings
        maker = SampleMaker(
            self.profile,
            Textures.load(self.textures),
            settings.seed,
            settings.size_px,
            settings.crop,
            settings.keep_grey,
        )
        plan = stack.enter_context(Plan(self.work, self.plan_info, settings.variants))
        return ShardRenderer(self, plan, maker, scratch, stack)


@dataclass(frozen=True)
class ShardRenderer:
    """Renders shards, one after the other, in one process."""

    job: Job
    plan: Plan
    maker: SampleMaker
    scratch: Path | None
    """Where shards are built before they are moved to their place, if elsewhere."""
    _stack: ExitStack

    def __enter__(self) -> ShardRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the plan's files and of the folder to build in."""
        self._stack.close()

    def render(self, shard: ShardPlan) -> Generator[str, None, None]:
        """Render a shard under another name and rename it when it is whole.

        Args:
            shard: Which. If nobody asks for the next photograph, nothing is left of it.

        Yields:
            The key of each photograph that is done with.

        Raises:
            StoreError: If it cannot be written, or the build was given up meanwhile.
            ScratchError: If the folder to build in is at fault.
            SourceError: If a photograph has gone.
        """
        folder = self.job.out / shard.name
        local = None if self.scratch is None else self.scratch / shard.name
        try:
            if local is not None:
                report = yield from self._render_locally(local, shard)
            with whole_folder(folder) as aside:
                if local is not None:
                    copy_whole(local / DATA_NAME, aside / DATA_NAME)
                else:
                    report = yield from self._render_into(aside, shard)
                write_record(aside / SHARD_INFO_NAME, report)
                # A machine that slept may wake up in the midst of another build.
                if not is_begun(self.job.work, self.job.settings):
                    raise StoreError(f"{folder}: its build was finished or given up meanwhile")
        except OSError as error:
            raise StoreError(f"{folder}: cannot be written: {error.strerror or error}") from error
        finally:
            if local is not None:
                shutil.rmtree(local, ignore_errors=True)

    def _render_locally(self, local: Path, shard: ShardPlan) -> Generator[str, None, ShardReport]:
        """Build a shard in the folder of this process, and read it once more."""
        try:
            local.mkdir()
            report = yield from self._render_into(local, shard)
            if digest_shard(local / DATA_NAME) != report.info.digest:
                raise ScratchError(f"{local}: reads otherwise than it was written")
        except OSError as error:
            raise ScratchError(f"{local}: cannot be written: {error.strerror}") from error
        except StoreError as error:
            raise ScratchError(str(error)) from error
        return report

    def _render_into(self, aside: Path, shard: ShardPlan) -> Generator[str, None, ShardReport]:
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
                yield key
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
            data = self.job.source.read(key)
        except OSError as error:
            raise Rejected("unreadable", error.strerror or "cannot be read") from error
        photo = self.maker.decode(data)
        for variant in range(self.job.settings.variants):
            yield self.maker.make(photo, key, variant)
