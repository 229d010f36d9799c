"""Worker processes that stop when told to and die with their parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from multiprocessing.util import Finalize

import cv2

from degrade.build.plan import ShardPlan
from degrade.build.renderer import Job, ShardRenderer

# mallopt(3)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3


@dataclass(frozen=True)
class _Worker:
    """What one worker process keeps between shards."""

    renderer: ShardRenderer
    counter: Synchronized[int]
    stop: Event


_worker: _Worker | None = None


def start_worker(job: Job, counter: Synchronized[int], stop: Event) -> None:
    """Make this process a worker.

    Args:
        job: What it must know.
        counter: Photographs that all workers have done.
        stop: Set when they are to stop.
    """
    global _worker
    threading.Thread(target=_die_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    keep_freed_memory()
    renderer = job.open()
    Finalize(None, renderer.__exit__, exitpriority=0)  # processes end without closing anything
    _worker = _Worker(renderer, counter, stop)


def render_shard(shard: ShardPlan) -> None:
    """Render a shard in this worker; give up and leave no trace of it when told to stop."""
    assert _worker is not None
    with closing(_worker.renderer.render(shard)) as keys:
        for _ in keys:
            with _worker.counter.get_lock():
                _worker.counter.value += 1
            if _worker.stop.is_set():
                return


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def keep_freed_memory() -> None:
    """Tell glibc to reuse the memory of arrays rather than fetch it anew from the kernel.

    This saves some 6 % of a build's processor time and costs no memory. It concerns the whole
    process, so only processes that are the build's own do it; other C libraries are left alone.
    """
    if os.name == "nt":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 128 << 20)):
            mallopt(option, value)
