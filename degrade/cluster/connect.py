"""Reach a Dask cluster: by address, by scheduler file, or one started here for a while."""

from __future__ import annotations

import logging
import os
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from degrade.errors import ClusterError
from degrade.signals import hold_interrupt

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_SECONDS = 10
_LOGGERS = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncio")


@contextmanager
def open_cluster(scheduler: str) -> Iterator[Client]:
    """Connect to a cluster; one that is started for this goes when the block ends.

    Args:
        scheduler: An address such as ``tcp://HOST:8786``, the path of a scheduler file, or
            ``local`` or ``local:N`` for a scheduler and N workers on this machine.

    Yields:
        Dask's client.

    Raises:
        ClusterError: If Dask isn't installed, or no scheduler answers.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
        from distributed.versions import VersionMismatchWarning
    except ImportError as error:
        raise ClusterError(
            "--scheduler needs Dask: pip install 'old-pictures-restoration[cluster]'"
        ) from error
    local = re.fullmatch(r"local(?::([1-9]\d*))?", scheduler)
    with _quiet_logs(), warnings.catch_warnings():
        # Workers are compared with this machine before they render, and more strictly.
        warnings.simplefilter("ignore", VersionMismatchWarning)
        if local:
            # What there is to be profiled happens in processes of our own.
            settings = {"distributed.worker.profile.enabled": False}
            with (
                dask.config.set(settings),
                hold_interrupt(),
            ):  # handed down to the workers, those that are restarted too
                cluster = LocalCluster(
                    n_workers=int(local[1] or os.cpu_count() or 1),
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    memory_limit=0,
                    silence_logs=logging.CRITICAL,
                )
            with cluster, Client(cluster, set_as_default=False) as client:
                yield client
            return
        try:
            client = Client(
                **_find_target(scheduler), timeout=_CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise ClusterError(
                f"{scheduler}: no scheduler answers ({_shorten(error)}); start one with"
                " 'dask scheduler'"
            ) from error
        try:
            yield client
        finally:
            client.close(timeout=_CONNECT_SECONDS)


def describe_cluster(client: Client) -> str:
    """Where a cluster's scheduler is and, if it has one, its dashboard; in a line."""
    assert client.scheduler is not None
    line = f"Dask at {client.scheduler.address}"
    if "dashboard" in client.scheduler_info(n_workers=0)["services"]:
        line += f", its dashboard at {client.dashboard_link}"
    return line


def _find_target(scheduler: str) -> dict[str, str]:
    if scheduler.startswith(("tcp://", "tls://")):
        return {"address": scheduler}
    if Path(scheduler).is_file():
        return {"scheduler_file": scheduler}
    raise ClusterError(
        f"{scheduler}: neither an address such as tcp://HOST:8786, nor a scheduler file, nor local"
    )


def _shorten(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


@contextmanager
def _quiet_logs() -> Iterator[None]:
    """Leave the telling to us: Dask logs every lost worker several times."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
