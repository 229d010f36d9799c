"""Hand tasks to the workers of a cluster, one each at a time, whatever becomes of the workers.

Dask carries the tasks, knows who is there and restarts what it has started. Who gets which task is
decided here, because a task takes seconds to minutes and may be the very thing that kills workers:

- A worker first opens the work and says so; one that must not do it is refused before that.
- Each worker has one task at a time, so a death is blamed on the task that was running.
- A task whose worker died or that failed is done again after all others, by whoever is free. After
  `MAX_TRIES` of them it is given up and named; the others are finished.
- No result is kept on a worker: a task that is already done sees that by itself.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections import Counter, deque
from collections.abc import Generator, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from degrade.cluster.child import DEATH, Failure, Welcome, Work
from degrade.cluster.remote import close_work, open_work, run_task
from degrade.errors import ClusterError, ScratchError

if TYPE_CHECKING:
    from distributed import Client, Future

MAX_TRIES = 3
"""Workers that a task may kill, or times that it may fail."""
NOTICE_SECONDS = 60.0
"""Without a worker for so long, a line says so."""
_LOOK_SECONDS = 0.5
_ANSWER_SECONDS = 15.0
_MAX_LINES = 20


class Task(NamedTuple):
    """A task: its name, for people, and what the work makes of it."""

    name: str
    argument: Any


class Event(NamedTuple):
    """Something happened, or nothing for a while."""

    done: Task | None = None
    """A task that is finished."""
    result: object = None
    line: str = ""
    """What is to be said."""


@dataclass
class _Worker:
    """A worker of the cluster, as seen from here."""

    future: Future[Any]
    """Of its opening, then of its task."""
    host: str = ""
    task: Task | None = None
    is_open: bool = False
    refusal: str = ""


@dataclass
class Account:
    """What a run on a cluster took."""

    workers: dict[str, int] = field(default_factory=dict)
    """Tasks finished by each worker, by its address."""
    hosts: dict[str, str] = field(default_factory=dict)
    """The machine of each worker."""
    num_now: int = 0
    """Workers at work at present."""
    retries: list[str] = field(default_factory=list)
    """A line for each task that had to be done again."""
    refused: list[str] = field(default_factory=list)
    """A line for each worker that was not used."""


def run_tasks(
    client: Client, work: Work, tasks: Sequence[Task], wait_seconds: float, account: Account
) -> Generator[Event, None, None]:
    """Have tasks done by a cluster's workers, those present and those that come.

    Args:
        client: Of the cluster.
        work: What the tasks are part of.
        tasks: In the order in which they are handed out.
        wait_seconds: How long to go on without any worker.
        account: Filled as it goes on.

    Yields:
        What happens, at least twice a second.

    Raises:
        ClusterError: If the scheduler is lost, there is no worker for too long, or tasks were given
            up; these are named, and all others are finished.
        DegradeError: If a task failed for a reason that the user can mend.
    """
    dispatch = _Dispatch(client, work, tasks, wait_seconds, account)
    try:
        yield from dispatch.run()
    finally:
        dispatch.close()


class _Dispatch:
    """The state of one run."""

    def __init__(
        self,
        client: Client,
        work: Work,
        tasks: Sequence[Task],
        wait_seconds: float,
        account: Account,
    ) -> None:
        self._client = client
        self._work = work
        self._wait_seconds = wait_seconds
        self._account = account
        self._todo = deque(tasks)
        self._again: deque[Task] = deque()
        self._workers: dict[str, _Worker] = {}
        self._completed: queue.SimpleQueue[tuple[str, Future[Any]]] = queue.SimpleQueue()
        self._tries: Counter[str] = Counter()
        self._given_up: dict[str, str] = {}
        self._last_look = float("-inf")
        self._last_worker = time.monotonic()
        self._has_noticed = False
        self._num_submitted = 0
        self._token = secrets.token_hex(8)
        self._lines: deque[str] = deque()

    def run(self) -> Generator[Event, None, None]:
        """Do all tasks."""
        while self._todo or self._again or any(w.task for w in self._workers.values()):
            self._look()
            self._hand_out()
            self._check_wait()
            done = None
            with suppress(queue.Empty):
                done = self._take(*self._completed.get(timeout=_LOOK_SECONDS))
            while self._lines:
                yield Event(line=self._lines.popleft())
            yield done or Event()
        if self._given_up:
            what = "; ".join(f"{name}: {why}" for name, why in sorted(self._given_up.items()))
            raise ClusterError(f"given up: {what}; all others are finished")

    def close(self) -> None:
        """Take back what is under way, and have the workers forget the work."""
        if self._client.status != "running":
            return
        # Lost workers and a lost scheduler must not hide why we are here.
        with suppress(OSError, CancelledError):
            under_way = [w.future for w in self._workers.values() if not w.future.done()]
            if under_way:
                self._client.cancel(under_way)
        closing = [
            self._submit(address, close_work, self._work.name)
            for address, worker in self._workers.items()
            if worker.is_open
        ]
        deadline = time.monotonic() + _ANSWER_SECONDS
        for future in closing:
            # Dask's own wait() asks for a default client, which this one isn't.
            with suppress(OSError, CancelledError):  # TimeoutError is an OSError
                future.result(timeout=max(0.1, deadline - time.monotonic()))

    def _submit(self, address: str, function: Any, *arguments: Any) -> Future[Any]:
        self._num_submitted += 1
        return self._client.submit(
            function,
            *arguments,
            key=f"degrade-{self._work.name}-{self._token}-{self._num_submitted}",
            workers=[address],
            allow_other_workers=False,
            pure=False,
        )

    def _look(self) -> None:
        """See which workers came and went."""
        if time.monotonic() - self._last_look < _LOOK_SECONDS:
            return
        present = self._list_workers()
        for address in [a for a in self._workers if a not in present]:
            worker = self._workers.pop(address)
            worker.future.cancel()
            if worker.task is not None:
                self._try_again(
                    worker.task, f"its worker on {worker.host} died", "killed {} workers"
                )
        for address, num_threads in present.items():
            if address not in self._workers:
                self._open(address)
                if num_threads > 1:
                    self._say(
                        f"{address} has {num_threads} threads, but a task runs on one: start"
                        " workers with --nthreads 1, as many as there are cores"
                    )
        self._last_look = time.monotonic()

    def _list_workers(self) -> dict[str, int]:
        from distributed.comm import CommClosedError

        try:
            if self._client.status == "running":
                found: dict[str, int] = self._client.sync(
                    self._client.scheduler.ncores, workers=None, callback_timeout=_ANSWER_SECONDS
                )
                return found
        except (CommClosedError, OSError, AttributeError) as error:  # TimeoutError is an OSError
            raise self._scheduler_lost() from error
        raise self._scheduler_lost()

    def _scheduler_lost(self) -> ClusterError:
        return ClusterError(
            "the scheduler is lost; the same command goes on from here, with a cluster or without"
        )

    def _open(self, address: str) -> None:
        future = self._submit(address, open_work, self._work)
        self._workers[address] = _Worker(future)
        self._follow(address, future)

    def _follow(self, address: str, future: Future[Any]) -> None:
        future.add_done_callback(lambda future: self._completed.put((address, future)))

    def _hand_out(self) -> None:
        for address, worker in self._workers.items():
            if not self._todo and not self._again:
                return
            if worker.is_open and worker.task is None and not worker.refusal:
                worker.task = (self._todo or self._again).popleft()
                worker.future = self._submit(
                    address, run_task, self._work.name, worker.task.argument
                )
                self._follow(address, worker.future)

    def _take(self, address: str, future: Future[Any]) -> Event | None:
        """Take in that a future has come to its end."""
        worker = self._workers.get(address)
        if worker is None or worker.future is not future:
            return None  # of a worker that was given up
        task, worker.task = worker.task, None
        result = self._read(future)
        if isinstance(result, Failure):
            if result.is_death:
                self._take_death(address, worker, task)
            elif task is None or isinstance(result.error, ScratchError):
                self._refuse(address, worker, task, result)
            else:
                self._take_failure(worker, task, result)
            return None
        if task is not None:
            self._account.workers[address] = self._account.workers.get(address, 0) + 1
            return Event(task, result)
        assert isinstance(result, Welcome)
        worker.host, worker.is_open = result.host, True
        self._account.hosts[address] = result.host
        return None

    def _read(self, future: Future[Any]) -> object:
        """What a future brought; whatever Dask makes of it is told as a failure."""
        if future.status in ("cancelled", "lost"):
            self._list_workers()  # raises if that is because the scheduler is lost
            return DEATH
        try:
            return future.result(timeout=_ANSWER_SECONDS)
        except Exception as error:
            # A result that died with its worker; Dask's own count of deaths; else a worker that
            # couldn't even read what it was sent, such as one without this package.
            died = isinstance(error, TimeoutError) or type(error).__name__ == "KilledWorker"
            return Failure(f"{type(error).__name__}: {error}", is_death=died)

    def _take_death(self, address: str, worker: _Worker, task: Task | None) -> None:
        """A worker died; if it is still listed, another process has its address."""
        self._workers.pop(address)
        if task is not None:
            self._try_again(task, f"its worker on {worker.host} died", "killed {} workers")

    def _take_failure(self, worker: _Worker, task: Task, failure: Failure) -> None:
        why = f"failed {{}} times, on {worker.host} with {failure.text}"
        self._try_again(task, failure.text, why)
        if task.name in self._given_up and failure.error is not None:
            raise failure.error

    def _try_again(self, task: Task, why: str, verdict: str) -> None:
        self._tries[task.name] += 1
        if self._tries[task.name] < MAX_TRIES:
            self._again.append(task)
            self._account.retries.append(f"{task.name}: {why}")
            self._say(f"{task.name} is done again: {why}")
        else:
            self._given_up[task.name] = verdict.format(MAX_TRIES)

    def _refuse(self, address: str, worker: _Worker, task: Task | None, failure: Failure) -> None:
        """Give a worker nothing more; its task is for another, and not to blame."""
        worker.refusal = failure.text
        self._account.refused.append(f"{address}: {failure.text}")
        self._say(f"{address} is not used: {failure.text}")
        if task is not None:
            self._again.append(task)
            self._account.retries.append(f"{task.name}: {failure.text}")

    def _say(self, line: str) -> None:
        """Say a line, unless there were too many of them: the record has them all."""
        if len(self._account.retries) + len(self._account.refused) <= _MAX_LINES:
            self._lines.append(line)

    def _check_wait(self) -> None:
        """Count the workers; wait for some if there are none, but not for ever."""
        usable = [w for w in self._workers.values() if w.is_open and not w.refusal]
        self._account.num_now = len(usable)
        now = time.monotonic()
        if usable:
            self._last_worker, self._has_noticed = now, False
            return
        waited = now - self._last_worker
        refused = sum(bool(w.refusal) for w in self._workers.values())
        what = f"no worker is left ({refused} not used)" if refused else "no worker is left"
        if waited >= self._wait_seconds:
            suspects = ", ".join(sorted(task.name for task in self._again)[:5])
            blamed = f", and these had to be done again: {suspects}" if suspects else ""
            raise ClusterError(
                f"{what} after {self._wait_seconds:.0f} s{blamed};"
                " the same command goes on from here"
            )
        if waited >= NOTICE_SECONDS and not self._has_noticed:
            self._has_noticed = True
            self._lines.append(f"{what}; waiting {self._wait_seconds - waited:.0f} s more for one")
