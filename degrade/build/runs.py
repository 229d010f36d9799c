"""What each run of a build took: ``runs.jsonl``, a line a run. Nothing in it concerns the pairs."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from degrade.errors import StoreError

RUNS_NAME = "runs.jsonl"


class Run(msgspec.Struct, kw_only=True):
    """One run of ``degrade build``: who did the work, and what went wrong on the way."""

    engine: str
    """processes or dask."""
    started: str = msgspec.field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds")
    )
    seconds: float = 0.0
    num_shards: int = 0
    """Made by this run."""
    is_finished: bool = False
    """Whether the build was whole after it."""
    scheduler: str | None = None
    workers: dict[str, int] = msgspec.field(default_factory=dict)
    """Shards made by each worker; for processes, how many there were."""
    hosts: list[str] = msgspec.field(default_factory=list)
    retries: list[str] = msgspec.field(default_factory=list)
    """A line for each shard that had to be made again."""
    refused: list[str] = msgspec.field(default_factory=list)
    """A line for each worker that was not used."""
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    """Of the engine."""


def append_run(out: Path, run: Run) -> None:
    """Add a run's line to a build's file.

    Raises:
        StoreError: If it cannot be written.
    """
    path = out / RUNS_NAME
    try:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(run) + b"\n")
    except OSError as error:
        raise StoreError(f"{path}: cannot be written: {error.strerror}") from error
