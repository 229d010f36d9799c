"""What runs in a cluster's workers: open a piece of work once, then do its tasks one at a time."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from degrade.errors import DegradeError


class Opened(Protocol):
    """A piece of work that a worker has loaded all that it takes for."""

    def run(self, task: Any, is_wanted: Callable[[], bool]) -> object:
        """Do a task.

        Args:
            task: Which.
            is_wanted: Asked now and then; once it says no, nobody waits for the task, and it
                should leave no trace.

        Returns:
            Something small that can be pickled.

        Raises:
            ScratchError: If this machine cannot do it, and another one might.
            DegradeError: If the task itself cannot be done.
        """

    def close(self) -> None:
        """Let go of everything."""


class Work(Protocol):
    """A piece of work that can be sent to workers."""

    @property
    def name(self) -> str:
        """The same for the same work; a worker that opens it again forgets the earlier one."""

    def open(self) -> Opened:
        """Load it, on a worker.

        Raises:
            DegradeError: If this worker must not do it, or cannot; the message says why.
        """


class Welcome(NamedTuple):
    """What a worker says of itself when it has opened a piece of work."""

    host: str
    pid: int


class Failure(NamedTuple):
    """A task or an opening that failed. It is returned, because not all that is raised travels."""

    text: str
    error: DegradeError | None = None
    """If it is one that was foreseen."""
    is_closed: bool = False
    """Whether this process hasn't opened the work: it took the place of one that died."""


_logger = logging.getLogger("distributed.worker")
_opened: dict[str, Opened] = {}


def open_work(work: Work) -> Welcome | Failure:
    """Open a piece of work in this worker."""
    try:
        close_work(work.name)
        _opened[work.name] = work.open()
    except Exception as error:  # whatever it is, the client decides
        return _describe(error)
    return Welcome(socket.gethostname(), os.getpid())


def run_task(name: str, task: object) -> object:
    """Do a task of work that was opened before; what comes back may be a `Failure`."""
    opened = _opened.get(name)
    if opened is None:
        return Failure("not opened", is_closed=True)
    try:
        return opened.run(task, _watch())
    except Exception as error:
        return _describe(error)


def close_work(name: str) -> None:
    """Let go of a piece of work, if it is open."""
    opened = _opened.pop(name, None)
    if opened is not None:
        opened.close()


def _describe(error: Exception) -> Failure:
    if isinstance(error, DegradeError):
        return Failure(str(error), error)
    _logger.error("a task failed", exc_info=error)  # the worker's log has all of it
    return Failure(f"{type(error).__name__}: {error}")


def _watch() -> Callable[[], bool]:
    from distributed import get_worker
    from distributed.worker import thread_state

    worker, key = get_worker(), thread_state.key

    def is_wanted() -> bool:
        # A task that was cancelled, or whose client or scheduler has gone, is no longer executing.
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing" and worker.status.name == "running"

    return is_wanted
