"""Decide, before anything is rendered, which photographs go into which shard.

The plan depends on the source's keys and bytes and on the options alone, never on the workers.
It lies in a few flat files that the workers map into memory, so that its cost does not grow in
their memory: for 19 million photographs 1.1 GB of disk.

Making it takes one pass over the keys and one glimpse at each photograph (its length and 256
bytes of its middle). Photographs with equal glimpses are read in full, and of those with equal
bytes the one with the first key stays. Photographs whose keys aren't UTF-8 are left out here: no
recipe could name them.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from degrade.build.sources import Source, show_key
from degrade.errors import SourceError, StoreError
from degrade.progress import Step
from degrade.store.manifest import Rejection, write_record
from degrade.store.shards import MAX_SAMPLES

_CHUNK = 1 << 20
_SPLITS = ("train", "val")
_Number = TypeVar("_Number", bound=np.generic)


class PlanInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a plan that is kept as JSON."""

    num_photos: int
    fingerprint: str
    stamp: str | None
    shard_photos: int
    num_train: int
    """Photographs, not pairs."""
    num_val: int
    num_odd: int = 0
    """Photographs left out for their keys, beside ``num_photos``."""


@dataclass(frozen=True)
class ShardPlan:
    """One shard to make: photographs ``[start, stop)`` of its split."""

    name: str
    split: str
    start: int
    stop: int
    first_number: int


class Plan:
    """A finished plan, mapped into memory."""

    def __init__(self, folder: Path, info: PlanInfo, variants: int) -> None:
        """Map the files of a plan's folder."""
        self.info = info
        self._variants = variants
        self._ends = _map(folder / "ends.u64", np.uint64)
        self._positions = {split: _map(folder / f"{split}.u32", np.uint32) for split in _SPLITS}
        self._duplicates = _map(folder / "duplicates.u32", np.uint32).reshape(-1, 2)
        with (folder / "keys.bin").open("rb") as file:
            self._keys = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the files: Windows can't remove those that are mapped."""
        empty = np.empty(0, np.uint32)
        self._ends = np.empty(0, np.uint64)
        self._positions = dict.fromkeys(_SPLITS, empty)
        self._duplicates = empty.reshape(-1, 2)
        self._keys.close()

    def key(self, position: int) -> str:
        """The key of a photograph by its position among all."""
        start = int(self._ends[position - 1]) if position else 0
        return self._keys[start : int(self._ends[position])].decode()

    def find_original(self, position: int) -> str | None:
        """The key of the photograph that this one is a duplicate of, if it is one."""
        later = self._duplicates[:, 0]
        row = int(np.searchsorted(later, position))
        if row < len(later) and later[row] == position:
            return self.key(int(self._duplicates[row, 1]))
        return None

    def positions(self, shard: ShardPlan) -> list[int]:
        """The photographs of a shard, in key order."""
        return [int(at) for at in self._positions[shard.split][shard.start : shard.stop]]

    def list_shards(self) -> Iterator[ShardPlan]:
        """All shards, train before val."""
        first_number = 0
        for split, total in zip(_SPLITS, (self.info.num_train, self.info.num_val), strict=True):
            num_shards = -(-total // self.info.shard_photos)
            for index in range(num_shards):  # as equal in size as can be
                start, stop = (total * i // num_shards for i in (index, index + 1))
                yield ShardPlan(f"{split}-{index:05d}.lmdb", split, start, stop, first_number)
                first_number += (stop - start) * self._variants


def find_split(key: str, val_frac: float) -> str:
    """Tell whether a photograph is for training or validation, by its key alone."""
    return "val" if _hash(key, b"split") < val_frac * 2.0**64 else "train"


def make_plan(
    source: Source,
    folder: Path,
    *,
    limit: int | None,
    val_frac: float,
    variants: int,
    shard_size: int | None,
) -> Generator[Step, None, PlanInfo]:
    """Look at the whole source and write the plan's files.

    Args:
        source: Where the photographs are.
        folder: Where the plan goes; it exists. ``plan.json`` is written last.
        limit: Use so many photographs, spread evenly over the source by the hash of their keys.
        val_frac: Share of the photographs that are for validation.
        variants: Pairs made of each photograph.
        shard_size: Pairs in a shard; None makes 16 shards, of 64 to 1,024 pairs.

    Yields:
        How many photographs were seen so far, now and then.

    Returns:
        What is to be kept of the plan beside its files.

    Raises:
        SourceError: If the source holds no photographs or too many.
        StoreError: If the disk is full.
    """
    stamp = source.stamp()
    try:
        num_photos, num_odd = yield from _write_keys(source, folder, limit, val_frac)
        if num_photos == 0:
            raise SourceError(
                f"{source.path}: none of {num_odd:,} photographs can be used: their keys aren't"
                f" UTF-8 (such as {read_odd_keys(folder)[0].key})"
            )
        fingerprint = yield from _find_duplicates(source, folder, num_photos)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written: {error.strerror}") from error
    if num_photos * variants > MAX_SAMPLES:
        raise SourceError(
            f"{source.path}: {num_photos:,} photographs in {variants} variants are more than"
            f" {MAX_SAMPLES:,} pairs; use --limit or fewer --variants"
        )
    if shard_size is None:
        shard_size = min(max(-(-num_photos * variants // 16), 64), 1024)
    counts = {split: (folder / f"{split}.u32").stat().st_size // 4 for split in _SPLITS}
    info = PlanInfo(
        num_photos=num_photos,
        fingerprint=fingerprint,
        stamp=stamp,
        shard_photos=max(1, shard_size // variants),
        num_train=counts["train"],
        num_val=counts["val"],
        num_odd=num_odd,
    )
    write_record(folder / "plan.json", info)
    return info


def read_plan_info(folder: Path) -> PlanInfo | None:
    """Read a plan that was made before, or None if it wasn't finished."""
    try:
        return msgspec.json.decode((folder / "plan.json").read_bytes(), type=PlanInfo)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def read_odd_keys(folder: Path) -> list[Rejection]:
    """The photographs that a plan left out for their keys."""
    path = folder / "odd-keys.jsonl"
    if not path.exists():  # a plan of an earlier release
        return []
    return msgspec.json.Decoder(Rejection).decode_lines(path.read_bytes())


def _write_keys(
    source: Source, folder: Path, limit: int | None, val_frac: float
) -> Generator[Step, None, tuple[int, int]]:
    """Write keys and splits; return how many photographs there are, and how many odd keys."""
    threshold = None if limit is None else _find_threshold(source.list_keys(), limit)
    num_photos = num_odd = end = 0
    with (
        (folder / "odd-keys.jsonl").open("wb") as odd,
        (folder / "keys.bin").open("wb") as keys,
        (folder / "ends.u64").open("wb") as ends,
        (folder / "train.u32").open("wb") as train,
        (folder / "val.u32").open("wb") as val,
    ):
        for key in source.list_keys():
            if threshold is not None and _hash(key, b"limit") > threshold:
                continue
            try:
                encoded = key.encode()
            except UnicodeEncodeError:
                rejection = Rejection(
                    key=show_key(key), reason="odd-key", detail="a key or name that isn't UTF-8"
                )
                odd.write(msgspec.json.encode(rejection) + b"\n")
                num_odd += 1
                continue
            end += len(encoded)
            keys.write(encoded)
            ends.write(end.to_bytes(8, "little"))
            file = val if find_split(key, val_frac) == "val" else train
            file.write(num_photos.to_bytes(4, "little"))
            num_photos += 1
            if num_photos % 10000 == 0:
                yield Step("looking", num_photos, 0)
    return num_photos, num_odd


def _find_threshold(keys: Iterable[str], limit: int) -> int | None:
    """The largest hash among the ``limit`` smallest, or None if there are fewer keys."""
    kept = np.empty(0, np.uint64)
    fresh: list[int] = []
    for key in keys:
        fresh.append(_hash(key, b"limit"))
        if len(fresh) == _CHUNK:
            kept = np.sort(np.concatenate([kept, np.array(fresh, np.uint64)]))[:limit]
            fresh = []
    kept = np.sort(np.concatenate([kept, np.array(fresh, np.uint64)]))[:limit]
    return int(kept[-1]) if len(kept) == limit else None


def _find_duplicates(source: Source, folder: Path, num_photos: int) -> Generator[Step, None, str]:
    """Write the pairs (later, first) of equal photographs; return the source's fingerprint."""
    ends = _map(folder / "ends.u64", np.uint64)
    fingerprint = hashlib.blake2b(digest_size=32)
    with (folder / "keys.bin").open("rb") as keys, (folder / "glimpses.u64").open("wb") as file:
        start = 0
        for position in range(num_photos):
            encoded = keys.read(int(ends[position]) - start)
            start = int(ends[position])
            glimpse = source.glimpse(encoded.decode())
            fingerprint.update(len(encoded).to_bytes(4, "little") + encoded + glimpse)
            file.write(glimpse)
            if position % 1000 == 0:
                yield Step("looking", position, 0)
    fingerprint.update((folder / "odd-keys.jsonl").read_bytes())
    glimpses = _map(folder / "glimpses.u64", np.uint64)
    rows: list[tuple[int, int]] = []
    with (folder / "keys.bin").open("rb") as keys:

        def digest(position: int) -> bytes:
            start = int(ends[position - 1]) if position else 0
            keys.seek(start)
            try:
                content = source.read(keys.read(int(ends[position]) - start).decode())
            except OSError:
                return position.to_bytes(8, "little")  # unreadable, so nobody's duplicate
            return hashlib.blake2b(content, digest_size=32).digest()

        for group in _find_equal(glimpses):
            firsts: dict[bytes, int] = {}
            for position in group:
                first = firsts.setdefault(digest(position), position)
                if first != position:
                    rows.append((position, first))
    np.array(sorted(rows), "<u4").reshape(-1, 2).tofile(folder / "duplicates.u32")
    return fingerprint.hexdigest()


def _find_equal(glimpses: NDArray[np.uint64]) -> Iterator[list[int]]:
    """Groups of positions whose glimpses are equal, zeros aside, a slice of values at a time."""
    num_slices = max(1, len(glimpses) // (4 * _CHUNK))
    width = 2**64 // num_slices + 1
    for index in range(num_slices):
        low, high = np.uint64(max(1, index * width)), np.uint64(min((index + 1) * width, 2**64) - 1)
        found = [
            np.flatnonzero((part >= low) & (part <= high)) + start
            for start in range(0, len(glimpses), _CHUNK)
            for part in [glimpses[start : start + _CHUNK]]
        ]
        positions = np.concatenate(found) if found else np.empty(0, np.int64)
        values = glimpses[positions]
        order = np.argsort(values, kind="stable")
        positions, values = positions[order], values[order]
        cuts = np.flatnonzero(values[1:] != values[:-1]) + 1
        edges = [0, *cuts.tolist(), len(values)]
        yield from (positions[a:b].tolist() for a, b in pairwise(edges) if b - a > 1)


def _map(path: Path, kind: type[_Number]) -> NDArray[_Number]:
    dtype = np.dtype(kind).newbyteorder("<")
    if path.stat().st_size == 0:  # an empty file cannot be mapped
        return np.empty(0, dtype)
    return np.memmap(path, dtype, "r")


def _hash(key: str, purpose: bytes) -> int:
    encoded = key.encode(errors="surrogateescape")
    digest = hashlib.blake2b(encoded, digest_size=8, person=purpose).digest()
    return int.from_bytes(digest, "little")
