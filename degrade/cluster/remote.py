"""What runs in a cluster's workers: hand work and tasks to a process beside, one at a time."""

from __future__ import annotations

from collections.abc import Callable

from degrade.cluster.child import DEATH, Child, Failure, Work

_children: dict[str, Child] = {}


def open_work(work: Work) -> object:
    """Open a piece of work; what comes back is a `Welcome` or a `Failure`."""
    close_work(work.name)
    child = Child()
    answer = child.ask(work, _watch())
    if isinstance(answer, Failure):
        child.close()
    else:
        _children[work.name] = child
        _switch_profiler(False)
    return answer


def run_task(name: str, task: object) -> object:
    """Do a task of work that was opened before; what comes back may be a `Failure`."""
    child = _children.get(name)
    if child is None:  # this worker took the place, and the address, of one that died
        return DEATH
    answer = child.ask(task, _watch())
    if isinstance(answer, Failure) and answer.is_death:
        close_work(name)
    return answer


def close_work(name: str) -> None:
    """Let go of a piece of work, if it is open."""
    child = _children.pop(name, None)
    if child is not None:
        child.close()
        if not _children:
            _switch_profiler(True)


def _switch_profiler(on: bool) -> None:
    """Let Dask look at what a task does, or not: here it only waits, a hundred looks a second."""
    from distributed import get_worker

    worker = get_worker()
    callback = worker.periodic_callbacks.get("profile")
    if callback is not None:
        worker.loop.add_callback(callback.start if on else callback.stop)


def _watch() -> Callable[[], bool]:
    from distributed import get_worker
    from distributed.worker import thread_state

    worker, key = get_worker(), thread_state.key

    def is_wanted() -> bool:
        # A task that was cancelled, or whose client or scheduler has gone, is no longer executing.
        task = worker.state.tasks.get(key)
        return task is not None and task.state == "executing" and worker.status.name in _ALIVE

    return is_wanted


_ALIVE = ("running", "paused", "closing_gracefully")
