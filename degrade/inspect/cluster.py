"""Read the shards of a build on the workers of a Dask cluster."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import msgspec

from degrade.cluster.connect import open_cluster
from degrade.cluster.dispatch import Account, Task, run_tasks
from degrade.errors import StoreError
from degrade.inspect.walk import Walk, walk_shard
from degrade.progress import Step
from degrade.store.manifest import SHARD_INFO_NAME, ShardInfo


@dataclass(frozen=True)
class WalkWork:
    """The shards of a build, to be read by workers that see its folder."""

    folder: Path
    first: str
    """A shard that a worker must see."""
    version: str

    @property
    def name(self) -> str:
        """The same for every reading of the same build."""
        place = hashlib.blake2b(os.fspath(self.folder).encode(), digest_size=8)
        return f"verify-{place.hexdigest()}"

    def open(self) -> WalkingWorker:
        """Get ready.

        Raises:
            StoreError: If this worker doesn't see the build, or is of another version.
        """
        if version("old-pictures-restoration") != self.version:
            raise StoreError(
                f"it has degrade {version('old-pictures-restoration')} instead of {self.version}"
            )
        if not (self.folder / self.first / SHARD_INFO_NAME).exists():
            raise StoreError(f"it doesn't see {self.folder / self.first}")
        return WalkingWorker(self.folder)


@dataclass
class WalkingWorker:
    """Has a process of its own read the shards, and starts another when a shard kills it."""

    folder: Path
    _walker: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def run(self, task: ShardInfo) -> list[str]:
        """Read a shard; one line for each fault."""
        path = self.folder / task.name
        if self._walker is None:
            self._walker = subprocess.Popen(
                [sys.executable, "-m", "degrade.inspect.walk"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        assert self._walker.stdin is not None
        assert self._walker.stdout is not None
        try:
            self._walker.stdin.write(msgspec.json.encode(Walk(str(path), task)) + b"\n")
            self._walker.stdin.flush()
            answer = self._walker.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            self.close()
            return [f"{path}: damaged: reading it crashed"]
        return msgspec.json.decode(answer, type=list[str])

    def close(self) -> None:
        """End the process."""
        if self._walker is not None:
            self._walker.kill()
            self._walker.communicate()
            self._walker = None


def walk_on_cluster(
    folder: Path, shards: Sequence[ShardInfo], scheduler: str, wait_seconds: float
) -> Generator[Step, None, list[tuple[ShardInfo, list[str]]]]:
    """Read shards on a cluster.

    Yields:
        How many pairs are read so far.

    Returns:
        The faults of each shard.

    Raises:
        ClusterError: If the cluster cannot be reached, is lost, or gave up some of the shards.
    """
    there = [s for s in shards if (folder / s.name / SHARD_INFO_NAME).exists()]
    found = {s.name: walk_shard(folder / s.name, s) for s in shards if s not in there}
    absolute = os.path.abspath(folder)
    num_done, num_all = 0, sum(shard.num_pairs for shard in shards)
    account = Account()
    if there:
        work = WalkWork(Path(absolute), there[0].name, version("old-pictures-restoration"))
        tasks = [Task(shard.name, shard) for shard in there]
        with (
            open_cluster(scheduler) as client,
            closing(run_tasks(client, work, tasks, wait_seconds, account)) as events,
        ):
            for event in events:
                if event.done is not None:
                    faults = msgspec.convert(event.result, list[str])
                    found[event.done.name] = [f.replace(absolute, str(folder)) for f in faults]
                    num_done += event.done.argument.num_pairs
                note = f"{account.num_now} workers, {len(account.retries)} done again"
                yield Step("verifying", num_done, num_all, "pair", note, event.line)
    return [(shard, found[shard.name]) for shard in shards]
