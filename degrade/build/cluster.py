"""Render the shards of a build on a Dask cluster."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from degrade.build.options import describe_difference, find_versions
from degrade.build.plan import ShardPlan
from degrade.build.probe import digest_probe
from degrade.build.renderer import Job, ShardRenderer
from degrade.build.runs import Run
from degrade.build.work import is_begun
from degrade.build.workers import keep_freed_memory
from degrade.cluster.connect import describe_cluster, open_cluster
from degrade.cluster.dispatch import Account, Task, run_tasks
from degrade.errors import StoreError, TextureError
from degrade.progress import Step
from degrade.store.manifest import SHARD_INFO_NAME


@dataclass(frozen=True)
class RenderWork:
    """The shards of a build, for workers that see its source and its folder."""

    job: Job
    probe: str
    """Digest of a few samples, as this machine renders them."""

    @property
    def name(self) -> str:
        """The same for every run of the same build."""
        place = hashlib.blake2b(os.fspath(self.job.out).encode(), digest_size=8)
        return f"build-{place.hexdigest()}"

    def open(self) -> RenderingWorker:
        """Compare this worker with the machine that planned, and load what rendering takes.

        Raises:
            StoreError: If it is another version of anything, renders other bytes or doesn't see
                the build's folder.
            TextureError: If it has other textures.
            ScratchError: If its folder to build in cannot be written.
        """
        cv2.setNumThreads(1)
        keep_freed_memory()
        settings = self.job.settings
        difference = describe_difference(find_versions(), settings.versions)
        if difference:
            raise StoreError(f"it has {difference}")
        if not is_begun(self.job.work, settings):
            raise StoreError(f"it doesn't see the build in {self.job.out}")
        self._check_source()
        renderer = self.job.open()
        try:
            if renderer.maker.textures.digest != settings.texture_digest:
                raise TextureError("it has other textures")
            if digest_probe(renderer.maker) != self.probe:
                raise StoreError("it renders other bytes from the same versions")
        except BaseException:
            renderer.__exit__()
            raise
        return RenderingWorker(renderer)

    def _check_source(self) -> None:
        path = self.job.source.path
        stamp = self.job.plan_info.stamp
        if not path.exists():
            raise StoreError(f"it doesn't see {path}")
        if stamp is not None and self.job.source.stamp() != stamp:
            raise StoreError(f"it sees another {path}")


@dataclass(frozen=True)
class RenderingWorker:
    """Renders the shards that one worker of a cluster is given."""

    renderer: ShardRenderer

    def run(self, task: ShardPlan) -> None:
        """Render a shard, unless it is there: its last worker may have died after the very last."""
        if (self.renderer.job.out / task.name / SHARD_INFO_NAME).exists():
            return
        with closing(self.renderer.render(task)) as keys:
            for _ in keys:
                pass

    def close(self) -> None:
        """Let go of the plan, the source and the folder to build in."""
        self.renderer.job.source.close()
        self.renderer.__exit__()


def render_on_cluster(
    job: Job, todo: Sequence[ShardPlan], scheduler: str, wait_seconds: float, run: Run
) -> Generator[Step, None, None]:
    """Render shards.

    Args:
        job: What is to be known.
        todo: The shards.
        scheduler: Where the cluster is, see `open_cluster`.
        wait_seconds: How long to go on without any worker.
        run: Filled with who did what.

    Yields:
        How many photographs are done so far.

    Raises:
        ClusterError: If the cluster cannot be reached, is lost, or gave up some of the shards.
        StoreError: If a shard cannot be written.
        SourceError: If a photograph has gone.
    """
    run.engine = "dask"
    job = _make_portable(job)
    with job.open() as renderer:
        work = RenderWork(job, digest_probe(renderer.maker))
    account = Account(hosts={}, retries=run.retries, refused=run.refused, workers=run.workers)
    num_done, num_all = 0, sum(shard.stop - shard.start for shard in todo)
    with open_cluster(scheduler) as client:
        import distributed

        run.scheduler = client.scheduler.address
        run.versions = {"distributed": distributed.__version__}
        tasks = [Task(shard.name, shard) for shard in todo]
        yield Step("rendering", 0, num_all, line=describe_cluster(client))
        try:
            with closing(run_tasks(client, work, tasks, wait_seconds, account)) as events:
                for event in events:
                    if event.done is not None:
                        shard = event.done.argument
                        num_done += shard.stop - shard.start
                        run.num_shards += 1
                    note = f"{account.num_now} workers, {len(account.retries)} done again"
                    yield Step("rendering", num_done, num_all, note=note, line=event.line)
        finally:
            run.hosts = sorted(set(account.hosts.values()))


def _make_portable(job: Job) -> Job:
    """The job as a process in another folder, or on another machine, can use it."""

    def absolute(path: Path) -> Path:
        return Path(os.path.abspath(path))

    return replace(
        job,
        out=absolute(job.out),
        work=absolute(job.work),
        source=job.source.make_portable(),
        textures=None if job.textures is None else absolute(job.textures),
        scratch=None if job.scratch is None else absolute(job.scratch),
    )
