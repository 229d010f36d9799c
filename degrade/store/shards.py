"""Shards: LMDB files of samples, written in key order.

A sample is four adjacent keys, ``00000042/clean.jpg``, ``00000042/damaged.jpg``,
``00000042/marks.png`` and ``00000042/recipe.json``; a shard is a folder ``train-00000.lmdb``
with LMDB's ``data.mdb`` and a ``shard.json``. docs/pair-store.md describes the format.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path
from types import TracebackType

import lmdb

from degrade.errors import StoreError
from degrade.store.lmdb_files import check_whole, find_needed_size, shorten
from degrade.store.manifest import DATA_NAME

PARTS = ("clean.jpg", "damaged.jpg", "marks.png", "recipe.json")
MAX_SAMPLES = 10**8
_BATCH = 256
_MAP_SIZE = 64 << 20


class StreamDigest:
    """The digest of an ordered stream of keys and values, whatever pages they lie on.

    Each record goes in as the key's length (4 bytes, little-endian), the key, the value's
    length (8 bytes, little-endian) and the value.
    """

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=32)

    def update(self, key: bytes, value: bytes) -> None:
        """Take in the next record."""
        self._hash.update(struct.pack("<I", len(key)) + key + struct.pack("<Q", len(value)))
        self._hash.update(value)

    def hexdigest(self) -> str:
        """The digest so far."""
        return self._hash.hexdigest()


def digest_shard(data_path: Path) -> str:
    """Read a shard from end to end and take the digest of its records.

    Raises:
        StoreError: If it is cut off or cannot be read.
    """
    check_whole(data_path)
    digest = StreamDigest()
    try:
        with (
            lmdb.open(os.fspath(data_path), subdir=False, readonly=True, lock=False) as env,
            env.begin() as transaction,
        ):
            for key, value in transaction.cursor():
                digest.update(key, value)
    except lmdb.Error as error:
        raise StoreError(f"{data_path}: cannot be read: {shorten(error)}") from error
    return digest.hexdigest()


def name_sample(number: int) -> str:
    """Name a sample as its keys do."""
    return f"{number:08d}"


class ShardWriter:
    """Writes one shard's ``data.mdb``, keys in ascending order, in batches.

    Use it as a context manager: the file is whole and on the disk when the block ends well. It
    belongs in a folder that is renamed afterwards, which is the caller's part.
    """

    def __init__(self, folder: Path, *, map_size: int = _MAP_SIZE) -> None:
        """Create an empty database in a folder that exists.

        Raises:
            StoreError: If it cannot be created.
        """
        self.num_bytes = 0
        self._folder = folder
        self._map_size = map_size
        self._batch: list[tuple[bytes, bytes]] = []
        self._digest = StreamDigest()
        try:
            self._env = lmdb.open(os.fspath(folder), map_size=map_size, lock=False, sync=False)
        except lmdb.Error as error:
            raise StoreError(f"{folder}: cannot be created: {shorten(error)}") from error

    def put(self, key: str, value: bytes) -> None:
        """Add a record.

        Raises:
            StoreError: If the disk is full or the keys are out of order.
        """
        record = key.encode(), value
        self._digest.update(*record)
        self._batch.append(record)
        self.num_bytes += len(record[0]) + len(value)
        if len(self._batch) >= _BATCH:
            self._flush()

    def hexdigest(self) -> str:
        """The digest of all records so far."""
        return self._digest.hexdigest()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._flush()
                self._finish()
        finally:
            self._env.close()

    def _flush(self) -> None:
        while self._batch:
            try:
                with self._env.begin(write=True) as transaction:
                    for key, value in self._batch:
                        # Out of order, put returns False and drops the record in silence.
                        if not transaction.put(key, value, append=True):
                            raise StoreError(f"{self._folder}: {key.decode()} is out of order")
            except lmdb.MapFullError:  # the whole batch is lost: enlarge and replay it
                self._map_size *= 2
                self._env.set_mapsize(self._map_size)
            except (lmdb.Error, OSError) as error:
                raise _cannot_write(self._folder, error) from error
            else:
                self._batch.clear()

    def _finish(self) -> None:
        try:
            self._env.sync(True)
            path = self._folder / DATA_NAME
            # LMDB needn't write its last pages if they are free; readers want the full length.
            needed = find_needed_size(path)
            if path.stat().st_size < needed:
                os.truncate(path, needed)
        except (lmdb.Error, OSError) as error:
            raise _cannot_write(self._folder, error) from error


def _cannot_write(folder: Path, error: Exception) -> StoreError:
    reason = shorten(error)
    if reason == "Input/output error":  # LMDB's word for a write that was cut short
        reason = "no space left, or a failing disk"
    return StoreError(f"{folder}: cannot be written: {reason}")
