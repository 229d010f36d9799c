"""Prove that a pair store is what it was when it was built.

Each shard is read in a process of its own, because LMDB's library may take its process down with
it when a file is damaged.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, SpawnContext
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec

from degrade.arrays import one_thread
from degrade.build.samples import Rejected, SampleMaker
from degrade.build.sources import open_source
from degrade.errors import DegradeError, SourceError, TextureError
from degrade.inspect.walk import walk_shard
from degrade.pairs import PairReader
from degrade.profile import Profile
from degrade.progress import Progress, Step, follow
from degrade.store.manifest import ShardInfo
from degrade.store.shards import PARTS, name_sample
from degrade.textures.pack import Textures


@dataclass
class VerifyReport:
    """What was looked at, and all that is wrong with it."""

    num_shards: int = 0
    num_pairs: int = 0
    num_rerendered: int = 0
    """Made again and compared, whether or not they were equal."""
    faults: list[str] = field(default_factory=list)
    """One line for each bad sample or shard."""


def verify_pairs(
    path: Path,
    *,
    source: Path | None = None,
    num_rerender: int = 0,
    textures: Path | None = None,
    num_workers: int = 1,
    scheduler: str | None = None,
    wait_seconds: float = 3600.0,
    progress: Progress | None = None,
) -> VerifyReport:
    """Check a build or a shard: lengths, digests, every sample; render some anew.

    Args:
        path: A build's folder, or a shard in it.
        source: The clean photographs it was built from, for ``num_rerender``.
        num_rerender: So many samples, evenly spread, are made again from the source and
            compared byte by byte.
        textures: The texture pack it was built with; None is the one that ships.
        num_workers: How many shards are read at a time.
        scheduler: Have a Dask cluster's workers read the shards instead, see `open_cluster`.
        wait_seconds: How long to go on while it has none.
        progress: Told how far it is.

    Raises:
        StoreError: If it is no pair store.
        SourceError: If the source cannot be read.
        TextureError: If the textures are others than those of the build.
        ClusterError: If the cluster cannot be reached or is lost.
    """
    reader = PairReader(path)
    if scheduler is None:
        walking = _walk_shards(reader.folder, reader.shards, num_workers)
    else:
        from degrade.inspect.cluster import walk_on_cluster

        walking = walk_on_cluster(reader.folder, reader.shards, scheduler, wait_seconds)
    return follow(_verify(path, reader, walking, source, num_rerender, textures), progress)


def _verify(
    path: Path,
    reader: PairReader,
    walking: Generator[Step, None, list[tuple[ShardInfo, list[str]]]],
    source: Path | None,
    num_rerender: int,
    textures: Path | None,
) -> Generator[Step, None, VerifyReport]:
    report = VerifyReport(num_shards=len(reader.shards), num_pairs=len(reader))
    if reader.is_build:
        known = {shard.name for shard in reader.shards}
        strays = sorted(p.name for p in path.glob("*.lmdb") if p.name not in known)
        report.faults += [f"{path / name}: not in the manifest" for name in strays]
    sound = set()
    found = yield from walking
    for shard, faults in found:
        report.faults += faults
        if not faults:
            sound.add(shard.name)
    if source is not None and num_rerender > 0:
        # Reading a broken shard in this process might end it.
        usable = [shard for shard in reader.shards if shard.name in sound]
        yield from _rerender(report, reader, usable, source, num_rerender, textures)
    return report


def _walk_shards(
    folder: Path, shards: list[ShardInfo], num_workers: int
) -> Generator[Step, None, list[tuple[ShardInfo, list[str]]]]:
    context = _find_context()
    todo = list(reversed(shards))
    active: dict[Connection, tuple[BaseProcess, ShardInfo]] = {}
    found: dict[str, list[str]] = {}
    num_done = 0
    try:
        while todo or active:
            while todo and len(active) < num_workers:
                shard = todo.pop()
                connection, process = _start(context, folder / shard.name, shard)
                active[connection] = process, shard
            for ready in wait(list(active)):
                assert isinstance(ready, Connection)
                process, shard = active.pop(ready)
                try:
                    found[shard.name] = ready.recv()
                except EOFError:
                    found[shard.name] = [f"{folder / shard.name}: damaged: reading it crashed"]
                ready.close()
                process.join()
                num_done += shard.num_pairs
                yield Step("verifying", num_done, sum(s.num_pairs for s in shards), "pair")
    finally:
        for process, _ in active.values():
            process.kill()
            process.join()
    return [(shard, found[shard.name]) for shard in shards]


def _find_context() -> ForkServerContext | SpawnContext:
    """Where processes come from: a server that has imported all, or nothing (Windows)."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _start(
    context: ForkServerContext | SpawnContext, path: Path, shard: ShardInfo
) -> tuple[Connection, BaseProcess]:
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_walk_and_send, args=(path, shard, sender), daemon=True)
    process.start()
    sender.close()  # so that the child's death closes the pipe
    return receiver, process


def _walk_and_send(path: Path, shard: ShardInfo, sender: Connection) -> None:
    with one_thread():
        sender.send(walk_shard(path, shard))
    sender.close()


def _rerender(
    report: VerifyReport,
    reader: PairReader,
    usable: list[ShardInfo],
    source_path: Path,
    num_rerender: int,
    textures_path: Path | None,
) -> Generator[Step, None, None]:
    """Make samples again and compare them; count them and note their faults in the report."""
    settings = reader.manifest.settings
    textures = Textures.load(textures_path)
    if not textures.repeats(settings.texture_digest):
        raise TextureError(
            f"{textures.folder}: not the textures this was built with; name them with --textures"
        )
    profile = msgspec.convert(settings.profile, Profile)
    maker = SampleMaker(
        profile, textures, settings.seed, settings.size_px, settings.crop, settings.keep_grey
    )
    names = {name_sample(s.first_number + i) for s in usable for i in range(s.num_pairs)}
    indices = [index for index, key in enumerate(reader.keys) if key in names]
    num_chosen = min(num_rerender, len(indices))
    with one_thread(), closing(open_source(source_path)) as source:
        for done in range(num_chosen):
            index = indices[done * len(indices) // num_chosen]
            name = f"{reader.folder}: {reader.keys[index]}"
            try:
                stored, recipe = reader.raw(index), reader.recipe(index)
            except DegradeError as error:
                report.faults.append(str(error))
                return
            try:
                photo = maker.decode(source.read(recipe.key))
                made = maker.make(photo, recipe.key, recipe.variant)
            except (SourceError, OSError, Rejected) as error:
                report.faults.append(f"{name}: {recipe.key} cannot be rendered anew: {error}")
            except DegradeError as error:
                report.faults.append(str(error))
                return
            else:
                report.num_rerendered += 1
                parts = [p for p, new in zip(PARTS, made, strict=True) if new != stored[p]]
                if parts:
                    what = ", ".join(parts)
                    report.faults.append(f"{name}: {what} of {recipe.key} differ when made anew")
            yield Step("rendering anew", done + 1, num_chosen, "pair")
