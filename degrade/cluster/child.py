"""A process beside a cluster's worker that does the work, so that Dask and the work don't meet.

Dask's own threads look at a worker's task a hundred times a second, and wait for the same lock:
in the worker itself a shard takes a fifth longer. And Dask ends workers whose memory grows, for
which the mapped pages of a large LMDB count. A process of its own has neither trouble, and when a
task kills it, the worker lives on.

Records go over pipes as pickles: first the work, then its tasks; an answer to each comes back.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any, NamedTuple, Protocol

from degrade.errors import DegradeError

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 10.0


class Opened(Protocol):
    """A piece of work, with all loaded that it takes."""

    def run(self, task: Any) -> object:
        """Do a task; leave no trace of it if interrupted.

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
        """Load it, in a worker's own process.

        Raises:
            DegradeError: If this worker must not do it, or cannot; the message says why.
        """


class Welcome(NamedTuple):
    """The work is open."""

    host: str
    pid: int


class Failure(NamedTuple):
    """A task or an opening that failed. It is sent, because not all that is raised travels."""

    text: str
    error: DegradeError | None = None
    """If it is one that was foreseen."""
    is_death: bool = False
    """Whether the process that worked is no more."""


DEATH = Failure("its process died", is_death=True)


class Child:
    """The process, as its worker sees it."""

    def __init__(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from degrade.cluster.child import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._answers: queue.SimpleQueue[object] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, record: object, is_wanted: Callable[[], bool]) -> object:
        """Send a record and wait for the answer, which may be a `Failure`.

        Args:
            record: The work, or a task.
            is_wanted: Asked now and then; once it says no, the process is ended.
        """
        assert self._process.stdin is not None
        try:
            pickle.dump(record, self._process.stdin)
            self._process.stdin.flush()
        except OSError:
            return DEATH
        while is_wanted():
            with contextlib.suppress(queue.Empty):
                return self._answers.get(timeout=_POLL_SECONDS)
        self.close()
        return DEATH

    def close(self) -> None:
        """End the process; it has some seconds to leave no trace."""
        self._process.terminate()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with contextlib.suppress(OSError):
            self._process.stdin.close()  # type: ignore[union-attr]

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                self._answers.put(pickle.load(self._process.stdout))
        except EOFError:
            self._answers.put(DEATH)
        except Exception as error:  # whoever waits must hear of it
            self._answers.put(Failure(f"{type(error).__name__}: {error}", is_death=True))


def main() -> None:
    """Open the work that comes first, then do its tasks until the worker ends or says so."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not get between the answers
    records: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # A stream of its own: Python waits for threads that read sys.stdin when it ends.
    stream = os.fdopen(os.dup(0), "rb")
    threading.Thread(target=_receive, args=(stream, records), daemon=True).start()
    opened: Opened | None = None
    try:
        while True:
            record = records.get()
            try:
                if opened is None:
                    opened = record.open()
                    answer: object = Welcome(socket.gethostname(), os.getpid())
                else:
                    answer = opened.run(record)
            except Exception as error:  # whatever it is, the client decides
                answer = _describe(error)
            pickle.dump(answer, answers)
            answers.flush()
    except KeyboardInterrupt:
        pass
    finally:
        if opened is not None:
            opened.close()


def _receive(stream: IO[bytes], records: queue.SimpleQueue[Any]) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            records.put(pickle.load(stream))
    # The worker has gone: stop, and leave no trace of what was under way.
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE_SECONDS)
    os._exit(1)


def _describe(error: Exception) -> Failure:
    if isinstance(error, DegradeError):
        return Failure(str(error), error)
    logging.error("a task failed", exc_info=error)  # the worker's log has all of it
    return Failure(f"{type(error).__name__}: {error}")
