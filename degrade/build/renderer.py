"""Render shards, one after the other: what a build does in each of its processes."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

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

    def __enter__(self) -> ShardRenderer:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the plan's files."""
        self.plan.__exit__()

    def render(self, shard: ShardPlan) -> Generator[str, None, None]:
        """Render a shard under another name and rename it when it is whole.

        Args:
            shard: Which. If nobody asks for the next photograph, nothing is left of it.

        Yields:
            The key of each photograph that is done with.

        Raises:
            StoreError: If it cannot be written.
            SourceError: If a photograph has gone.
        """
        folder = self.out / shard.name
        try:
            with whole_folder(folder) as aside:
                report = yield from self._render_into(aside, shard)
                write_record(aside / SHARD_INFO_NAME, report)
        except OSError as error:
            raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error

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
            data = self.source.read(key)
        except OSError as error:
            raise Rejected("unreadable", error.strerror or "cannot be read") from error
        photo = self.maker.decode(data)
        for variant in range(self.variants):
            yield self.maker.make(photo, key, variant)
