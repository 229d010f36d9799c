"""Settings of the process that make training faster on a CPU; call before torch is imported."""

from __future__ import annotations

import ctypes
import os
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc


def keep_memory() -> None:
    """Have the C library keep freed memory instead of handing it back after every tensor.

    A training step allocates the same large tensors again and again. By default glibc maps and
    unmaps each, and the kernel clears its pages each time: a quarter of the time of a step on two
    cores. Does nothing where the C library isn't glibc.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # torch asks for huge pages
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
        mallopt(_M_TOP_PAD, 1 << 28)
