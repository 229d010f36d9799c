"""Read a shard of pairs from end to end and note all that is wrong with it.

Run as a program, it walks the shards named on its standard input, one a line, and answers each with
a line of faults. Whoever reads damaged files keeps such a process, because LMDB's library may take
its process down with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import lmdb
import msgspec

from degrade.arrays import one_thread
from degrade.errors import StoreError, UnreadablePhoto
from degrade.pairs import decode_pair
from degrade.store.lmdb_files import check_whole
from degrade.store.manifest import DATA_NAME, ShardInfo, read_shard_report
from degrade.store.shards import PARTS, StreamDigest


class Walk(msgspec.Struct, frozen=True):
    """A shard to be read."""

    path: str
    info: ShardInfo


def walk_shard(path: Path, shard: ShardInfo) -> list[str]:
    """Read a shard from end to end; one line for each fault."""
    data_path = path / DATA_NAME
    try:
        check_whole(data_path)
        if read_shard_report(path).info != shard:
            return [f"{path}: its shard.json differs from the manifest"]
    except StoreError as error:
        return [str(error)]
    faults = []
    digest = StreamDigest()
    samples: dict[str, dict[str, bytes]] = {}
    num_samples = 0
    try:
        env = lmdb.open(str(data_path), subdir=False, readonly=True, lock=False, readahead=True)
        with env, env.begin() as transaction:
            for key, value in transaction.cursor():
                digest.update(key, value)
                name, _, part = key.decode(errors="replace").partition("/")
                if samples and name not in samples:
                    faults += _check_samples(samples, data_path)
                    num_samples += 1
                    samples = {}
                samples.setdefault(name, {})[part] = value
        faults += _check_samples(samples, data_path)
        num_samples += len(samples)
    except lmdb.Error as error:
        return [*faults, f"{data_path}: damaged: {error}"]
    if num_samples != shard.num_pairs:
        faults.append(f"{path}: {num_samples} samples, its manifest says {shard.num_pairs}")
    if digest.hexdigest() != shard.digest:
        faults.append(f"{path}: its digest differs from the manifest")
    return faults


def _check_samples(samples: dict[str, dict[str, bytes]], data_path: Path) -> list[str]:
    faults = []
    for name, parts in samples.items():
        if set(parts) != set(PARTS):
            faults.append(f"{data_path}: {name}: holds {', '.join(sorted(parts))}")
            continue
        try:
            decode_pair(name, parts, str(data_path))
        except UnreadablePhoto as error:
            faults.append(str(error))
    return faults


def main() -> None:
    """Walk shards until the input ends."""
    with one_thread():
        for line in sys.stdin.buffer:
            walk = msgspec.json.decode(line, type=Walk)
            faults = walk_shard(Path(walk.path), walk.info)
            sys.stdout.buffer.write(msgspec.json.encode(faults) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
