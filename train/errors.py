"""What `train` raises: one line each, saying what is wrong and what to do."""

import re


class TrainError(Exception):
    """Base of every error that `train` raises on purpose; its message is one line."""


class ConfigError(TrainError):
    """A preset is unknown, or holds a wrong field or value."""


class CheckpointError(TrainError):
    """A file of weights is missing, damaged or not one of ours, or can't be written."""


class DataError(TrainError):
    """The pairs can't be trained on: too few, too small, or broken."""


class RunError(TrainError):
    """A run's folder can't be written, or its state can't be read."""


class BatchMemoryError(TrainError):
    """A batch doesn't fit into memory; the last state is kept."""


class DivergenceError(TrainError):
    """Training went astray; the last good state is kept."""


# Of an error of ours, as the traceback of a worker process names it.
_CLASS = re.compile(r"^(degrade|restore|train)\.errors\.\w+: ")


def last_line(error: BaseException) -> str:
    """The words of an error in one line; fastai puts some of its own on lines before them.

    So do worker processes, with their whole traceback.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    return _CLASS.sub("", lines[-1].strip())


def shorten(error: BaseException) -> str:
    """The words of an error of another package on one line, of which there may be too many."""
    return " ".join(str(error).split())[:200]


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short, on a CPU or a GPU."""
    seen: BaseException | None = error
    while seen is not None:  # fastai stumbles over errors without words, and raises its own
        words = str(seen).lower()
        if isinstance(seen, MemoryError) or any(sign in words for sign in _SIGNS):
            return True
        seen = seen.__context__
    return False


# What torch, CUDA and its libraries say.
_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")
