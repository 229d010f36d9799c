"""The one thread that does the heavy work: a long work at a time, short ones between its tiles."""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import closing
from typing import Any, Protocol, TypeVar

from restore.errors import RestoreError

MAX_SHORT = 64
_T = TypeVar("_T")


class QueueFull(RestoreError):
    """Too much is waiting already."""


class Long(Protocol):
    """Work that takes long, and can be stopped between its steps."""

    cancelled: bool

    def steps(self) -> Generator[None, None, None]:
        """Do it, yielding often; raises nothing."""


class Worker:
    """Does what it is given in another thread.

    Attributes:
        max_waiting: Bound of the queue of long works.
    """

    def __init__(self, *, max_waiting: int) -> None:
        """Start the thread."""
        self.max_waiting = max_waiting
        self._short: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._long: deque[Long] = deque()
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="restore", daemon=True)
        self._thread.start()

    def soon(self, task: Callable[[], _T]) -> Future[_T]:
        """Do something short before any long work goes on.

        Raises:
            QueueFull: If too much waits.
        """
        future: Future[_T] = Future()
        with self._changed:
            if len(self._short) >= MAX_SHORT:
                raise QueueFull("too many requests wait already; try again later")
            self._short.append((task, future))
            self._changed.notify()
        return future

    def add(self, *works: Long) -> None:
        """Put long works into the queue, all of them or none.

        Raises:
            QueueFull: If there is no room.
        """
        with self._changed:
            if len(self._long) + len(works) > self.max_waiting:
                raise QueueFull(
                    f"{len(self._long)} photographs wait already, and {self.max_waiting} may; "
                    "try again later"
                )
            self._long.extend(works)
            self._changed.notify()

    @property
    def num_waiting(self) -> int:
        """Long works that haven't begun."""
        return len(self._long)

    def stop(self) -> None:
        """End the long work under way, drop the others, and wait for the thread."""
        with self._changed:
            self._stopping = True
            for work in self._long:
                work.cancelled = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._short or self._long or self._stopping):
                    self._changed.wait()
                if self._stopping and not self._long:
                    return
                work = None if self._short else self._long.popleft()
            if work is None:
                self._do_short()
                continue
            try:
                self._do_long(work)
            except Exception:  # a bug; the next photograph needs this thread
                traceback.print_exc()

    def _do_long(self, work: Long) -> None:
        with closing(work.steps()) as steps:
            for _ in steps:
                if work.cancelled or self._stopping:
                    work.cancelled = True
                    break
                while self._short:
                    self._do_short()

    def _do_short(self) -> None:
        with self._changed:
            task, future = self._short.popleft()
        if not future.set_running_or_notify_cancel():
            return
        try:
            future.set_result(task())
        except BaseException as error:
            future.set_exception(error)
