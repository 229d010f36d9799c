"""Ctrl-C, and processes that must not hear of it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker


@contextmanager
def hold_interrupt() -> Iterator[None]:
    """Put Ctrl-C off, and keep it for good from processes and threads that are started meanwhile.

    It reaches the whole group; a worker that is still importing would print a traceback. Where
    the system has no masks of signals (Windows), nothing is put off.
    """
    if sys.platform == "win32":
        yield
        return
    # Starting Python's tracker of shared resources, which the first new process does, unblocks it.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
