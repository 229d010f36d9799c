"""Render the shards of a build: in this process, in several of this machine, or on a cluster."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

from degrade.arrays import one_thread
from degrade.build.options import BuildOptions
from degrade.build.plan import ShardPlan
from degrade.build.renderer import Job
from degrade.build.runs import Run
from degrade.build.workers import render_shard, start_worker
from degrade.errors import StoreError
from degrade.progress import Step
from degrade.signals import hold_interrupt

_POLL_SECONDS = 0.2


def render_shards(
    job: Job, todo: Sequence[ShardPlan], options: BuildOptions, run: Run
) -> Generator[Step, None, None]:
    """Render shards.

    Args:
        job: What is to be known.
        todo: The shards.
        options: How many processes (with one, it is this), or which cluster.
        run: Filled with who did what.

    Yields:
        How many photographs are done so far.

    Raises:
        StoreError: If a shard cannot be written or a worker dies.
        SourceError: If a photograph has gone.
        ClusterError: If the cluster is at fault.
    """
    if options.scheduler is not None:
        if todo:  # else no cluster is needed
            from degrade.build.cluster import render_on_cluster

            yield from render_on_cluster(job, todo, options.scheduler, options.wait_seconds, run)
        return
    num_workers = min(options.num_workers, len(todo))
    run.hosts = [socket.gethostname()]
    run.workers = {"processes": max(1, num_workers)}
    counts = (
        _render_in_workers(job, todo, num_workers) if num_workers > 1 else _render_here(job, todo)
    )
    with closing(counts):
        for num_done in counts:
            yield Step("rendering", num_done, 0)
    run.num_shards = len(todo)


def _render_here(job: Job, todo: Sequence[ShardPlan]) -> Generator[int, None, None]:
    num_done = 0
    with one_thread(), job.open() as renderer:
        for shard in todo:
            with closing(renderer.render(shard)) as keys:
                for _ in keys:
                    num_done += 1
                    yield num_done


def _render_in_workers(
    job: Job, todo: Sequence[ShardPlan], num_workers: int
) -> Generator[int, None, None]:
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    stop = context.Event()
    pool = ProcessPoolExecutor(
        num_workers, context, initializer=start_worker, initargs=(job, counter, stop)
    )
    try:
        with hold_interrupt():  # handed down to the workers that this starts
            waiting = {pool.submit(render_shard, shard) for shard in todo}
        while waiting:
            done, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
            for future in done:
                future.result()
            yield counter.value
    except BrokenProcessPool as error:
        raise StoreError(
            f"{job.out}: a worker died (out of memory?); the same command goes on from here"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
