"""Render shards in worker processes that stop when told to and die with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

import cv2

from degrade.build.plan import ShardPlan
from degrade.build.renderer import Job, ShardRenderer, keep_freed_memory
from degrade.errors import StoreError

_POLL_SECONDS = 0.2


class _Stopped(Exception):
    """The parent asked this worker to stop."""


class _Worker:
    """What one worker process keeps between shards."""

    def __init__(self, renderer: ShardRenderer, counter: Synchronized[int], stop: Event) -> None:
        self._renderer = renderer
        self._counter = counter
        self._stop = stop

    def render(self, shard: ShardPlan) -> None:
        self._renderer.render(shard, self._tick)

    def _tick(self) -> None:
        with self._counter.get_lock():
            self._counter.value += 1
        if self._stop.is_set():
            raise _Stopped


_worker: _Worker | None = None


def render_in_workers(
    job: Job, todo: list[ShardPlan], num_workers: int, report: Callable[[int], None]
) -> None:
    """Render shards in several processes.

    Args:
        job: What the workers must know.
        todo: The shards.
        num_workers: How many processes.
        report: Told how many photographs are done.

    Raises:
        StoreError: If a shard cannot be written or a worker dies.
        SourceError: If a photograph has gone.
    """
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    stop = context.Event()
    pool = ProcessPoolExecutor(
        num_workers, context, initializer=_start, initargs=(job, counter, stop)
    )
    try:
        with hold_interrupt():  # handed down to the workers that this starts
            waiting = {pool.submit(_render, shard) for shard in todo}
        while waiting:
            done, waiting = wait(waiting, _POLL_SECONDS, FIRST_COMPLETED)
            for future in done:
                future.result()
            report(counter.value)
    except BrokenProcessPool as error:
        raise StoreError(
            f"{job.out}: a worker died (out of memory?); the same command goes on from here"
        ) from error
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)


@contextmanager
def hold_interrupt() -> Iterator[None]:
    """Put Ctrl-C off, and keep it for good from processes that are started meanwhile.

    It reaches the whole group; a worker that is still importing would print a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start(job: Job, counter: Synchronized[int], stop: Event) -> None:
    global _worker
    threading.Thread(target=_die_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    keep_freed_memory()
    _worker = _Worker(job.open(), counter, stop)


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _render(shard: ShardPlan) -> None:
    assert _worker is not None
    _worker.render(shard)
