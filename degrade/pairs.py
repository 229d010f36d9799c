"""Read the pairs of a build: damaged and clean photographs, marks and recipes, in any order."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import cv2
import msgspec
import numpy as np

from degrade.arrays import Mask, Photo
from degrade.errors import StoreError, UnreadablePhoto
from degrade.recipe import Recipe, decode_recipe
from degrade.store.lmdb_files import environments
from degrade.store.manifest import (
    DATA_NAME,
    MANIFEST_NAME,
    Manifest,
    ShardInfo,
    read_manifest,
    read_shard_report,
)
from degrade.store.shards import PARTS, name_sample

# OpenCV reads RGB from 4.11 on, and reduced photographs as BGR only.
_RGB = getattr(cv2, "IMREAD_COLOR_RGB", None)
_COLOR_FLAGS = {n: getattr(cv2, f"IMREAD_REDUCED_COLOR_{n}") for n in (2, 4, 8)}
_COLOR_FLAGS[1] = _RGB or cv2.IMREAD_COLOR


class Pair(NamedTuple):
    """One sample, decoded."""

    key: str
    """Its number in the build, eight digits; ``recipe.key`` names the source photograph."""
    clean: Photo
    """(H, W, 3) RGB."""
    damaged: Photo
    """(H, W, 3) RGB."""
    marks: Mask
    """(H, W) opacity of the physical damage."""
    recipe: Recipe


class _Keys(Sequence[str]):
    """The names of all samples, made when asked for."""

    def __init__(self, shards: Sequence[ShardInfo], starts: Sequence[int]) -> None:
        self._shards = shards
        self._starts = starts

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        shard, within = _locate(self._starts, index)
        return name_sample(self._shards[shard].first_number + within)

    def index(self, key: object, start: int = 0, stop: int | None = None) -> int:
        """Find a sample's position by its name."""
        if isinstance(key, str) and len(key) == 8 and key.isdigit():
            for shard, begin in zip(self._shards, self._starts, strict=False):
                within = int(key) - shard.first_number
                position = begin + within
                if 0 <= within < shard.num_pairs and start <= position < (stop or len(self)):
                    return position
        raise ValueError(f"{key!r} is not among the samples")

    def __contains__(self, key: object) -> bool:
        try:
            self.index(key)
        except ValueError:
            return False
        return True


def _locate(starts: Sequence[int], index: int) -> tuple[int, int]:
    position = index + starts[-1] if index < 0 else index
    if not 0 <= position < starts[-1]:
        raise IndexError(f"sample {index} of {starts[-1]}")
    shard = bisect_right(starts, position) - 1
    return shard, position - starts[shard]


class PairReader(Sequence[Pair]):
    """Reads the pairs of a build, or of one shard, in any order.

    It opens shards when they are first read from, in each process anew, so that it can be
    pickled and handed to workers, forked or spawned.

    Attributes:
        path: What it was given.
        is_build: Whether that is a build, not one shard of it.
        folder: The build's folder, of which the shard is a part.
        shards: What each shard says of itself.

    Example:
        >>> reader = PairReader("pairs", split="train")
        >>> reader[0].damaged.shape
        (256, 256, 3)
    """

    def __init__(self, path: str | Path, split: str | None = None) -> None:
        """Find the pairs.

        Args:
            path: A build's folder, or a shard in it.
            split: ``"train"``, ``"val"`` or None for both.

        Raises:
            StoreError: If there is no finished build or shard of this format version.
        """
        if split not in ("train", "val", None):
            raise ValueError(f"split is 'train', 'val' or None, not {split!r}")
        self.path = Path(path)
        self._manifest: Manifest | None = None
        # A build's folder may be called anything, x.lmdb too: its manifest tells.
        self.is_build = self.path.suffix != ".lmdb" or (self.path / MANIFEST_NAME).exists()
        if self.is_build:
            self.folder = self.path
            self._manifest = read_manifest(self.path)
            shards = self._manifest.shards
            folders = [self.path / shard.name for shard in shards]
        else:
            if not self.path.exists():
                raise StoreError(f"{self.path}: no such shard")
            self.folder = self.path.resolve().parent
            shards = [read_shard_report(self.path).info]
            folders = [self.path]
        chosen = [i for i, shard in enumerate(shards) if split in (None, shard.split)]
        self.shards = [shards[i] for i in chosen]
        self._files = [os.fspath((folders[i] / DATA_NAME).resolve()) for i in chosen]
        self._starts = [0]
        for shard in self.shards:
            self._starts.append(self._starts[-1] + shard.num_pairs)

    @property
    def manifest(self) -> Manifest:
        """The build's manifest.

        Raises:
            StoreError: If this reader was given a shard whose build isn't finished.
        """
        if self._manifest is None:
            self._manifest = read_manifest(self.folder)
        return self._manifest

    @property
    def keys(self) -> Sequence[str]:
        """The samples' names, in order."""
        return _Keys(self.shards, self._starts)

    def __len__(self) -> int:
        return self._starts[-1]

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> list[Pair]: ...
    def __getitem__(self, index: int | slice) -> Pair | list[Pair]:
        """Read and decode a sample.

        Raises:
            IndexError: If there are not so many.
            UnreadablePhoto: If the sample is broken; the message names it and its shard.
            StoreError: If the shard is.
        """
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.read(index)

    def __iter__(self) -> Iterator[Pair]:
        return (self[i] for i in range(len(self)))

    def read(self, index: int, reduce: int = 1) -> Pair:
        """Read and decode a sample, as `reader[index]` does, and reduce it while it is decoded.

        Args:
            index: Of the sample.
            reduce: 1, 2, 4 or 8: the sides are divided by it and rounded up. The recipe still
                speaks of the photograph in full size.

        Raises:
            ValueError: If there is no such reduction.
        """
        key, values = self._fetch(index)
        file = self._files[self._at(index)]
        return decode_pair(key, dict(zip(PARTS, values, strict=True)), file, reduce)

    def raw(self, index: int) -> dict[str, bytes]:
        """Read a sample's four values without decoding them, by part name.

        Raises:
            IndexError: If there are not so many.
            UnreadablePhoto: If the sample is incomplete.
            StoreError: If the shard is broken.
        """
        return dict(zip(PARTS, self._fetch(index)[1], strict=True))

    def recipe(self, index: int) -> Recipe:
        """Read a sample's recipe alone.

        Raises:
            IndexError: If there are not so many.
            UnreadablePhoto: If it is broken.
            StoreError: If the shard is.
        """
        key, (encoded,) = self._fetch(index, ("recipe.json",))
        return _decode_recipe(encoded, key, self._files[self._at(index)])

    def find(self, source_key: str) -> list[int]:
        """Find the samples made of a source photograph, by its key."""
        found = []
        for shard, start in zip(self.shards, self._starts, strict=False):
            if shard.first_key <= source_key <= shard.last_key:
                within = range(start, start + shard.num_pairs)
                found += [index for index in within if self.recipe(index).key == source_key]
        return found

    def _at(self, index: int) -> int:
        return _locate(self._starts, index)[0]

    def _fetch(self, index: int, parts: tuple[str, ...] = PARTS) -> tuple[str, list[bytes]]:
        shard, within = _locate(self._starts, index)
        key = name_sample(self.shards[shard].first_number + within)
        names = [f"{key}/{part}".encode() for part in parts]
        values = []
        for name, value in zip(names, environments.fetch(self._files[shard], names), strict=True):
            if value is None:
                raise UnreadablePhoto(f"{self._files[shard]}: {name.decode()} is missing")
            values.append(value)
        return key, values


def decode_pair(key: str, parts: dict[str, bytes], file: str, reduce: int = 1) -> Pair:
    """Decode a sample's values.

    Args:
        key: Its name, for errors.
        parts: The four values by part name.
        file: Where they came from, for errors.
        reduce: See `PairReader.read`.

    Raises:
        UnreadablePhoto: If any is broken, or their sizes differ.
        ValueError: If there is no such reduction.
    """
    if reduce not in _COLOR_FLAGS:
        raise ValueError(f"reduce is 1, 2, 4 or 8, not {reduce!r}")
    clean = _decode(key, parts, "clean.jpg", file, _COLOR_FLAGS[reduce])
    damaged = _decode(key, parts, "damaged.jpg", file, _COLOR_FLAGS[reduce])
    marks = _decode(key, parts, "marks.png", file, cv2.IMREAD_GRAYSCALE)
    if reduce > 1:  # a PNG can't be decoded in part
        height, width = (-(-side // reduce) for side in marks.shape)
        marks = cv2.resize(marks, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if not clean.shape[:2] == damaged.shape[:2] == marks.shape:
        raise UnreadablePhoto(f"{file}: {key}: its parts differ in size")
    return Pair(key, clean, damaged, marks, _decode_recipe(parts["recipe.json"], key, file))


def _decode_recipe(encoded: bytes, key: str, file: str) -> Recipe:
    try:
        return decode_recipe(encoded)
    except msgspec.MsgspecError as error:
        raise UnreadablePhoto(f"{file}: {key}/recipe.json: {error}") from error


def _decode(key: str, parts: dict[str, bytes], part: str, file: str, flags: int) -> Photo:
    try:
        photo = cv2.imdecode(np.frombuffer(parts[part], np.uint8), flags)
    except cv2.error:
        photo = None
    if photo is None:
        raise UnreadablePhoto(f"{file}: {key}/{part} cannot be decoded")
    if flags not in (cv2.IMREAD_GRAYSCALE, _RGB):
        cv2.cvtColor(photo, cv2.COLOR_BGR2RGB, dst=photo)
    return photo  # type: ignore[return-value]
