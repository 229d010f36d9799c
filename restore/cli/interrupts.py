"""A process that is told to end cleans up first, as after Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_NAMES = ("SIGTERM", "SIGHUP", "SIGBREAK")  # not every system knows all of them


@contextmanager
def ending_cleanly() -> Iterator[None]:
    """Within it, signals to end raise SystemExit, so that every `with` removes what it made.

    Signals that are ignored (`nohup`), or that the program handles itself, are left as they are.
    """
    known: dict[int, Any] = {}

    def leave(number: int, _: FrameType | None) -> None:
        for other in known:
            signal.signal(other, signal.SIG_IGN)  # a second one must not stop the cleaning
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) == signal.SIG_DFL:
                known[number] = signal.signal(number, leave)
    try:
        yield
    finally:
        for number, before in known.items():
            signal.signal(number, before)
