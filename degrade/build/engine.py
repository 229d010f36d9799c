"""Render the shards of a build: in this process, or in several of this machine."""

from __future__ import annotations

import multiprocessing
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing

from degrade.arrays import one_thread
from degrade.build.plan import ShardPlan
from degrade.build.renderer import Job
from degrade.build.workers import hold_interrupt, render_shard, start_worker
from degrade.errors import StoreError

_POLL_SECONDS = 0.2


def render_shards(
    job: Job, todo: Sequence[ShardPlan], num_workers: int
) -> Generator[int, None, None]:
    """Render shards.

    Args:
        job: What is to be known.
        todo: The shards.
        num_workers: How many processes; with one, it is this.

    Yields:
        How many photographs are done so far.

    Raises:
        StoreError: If a shard cannot be written or a worker dies.
        SourceError: If a photograph has gone.
    """
    num_workers = min(num_workers, len(todo))
    if num_workers <= 1:
        return _render_here(job, todo)
    return _render_in_workers(job, todo, num_workers)


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
