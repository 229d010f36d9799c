"""The pairs of several builds, numbered one after the other.

Large photographs teach detail, and there are few of them; small ones teach what the world looks
like. Pairs of one build all have one size, so a run may be given several builds.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from degrade import Pair, PairReader
from degrade.recipe import Recipe


class Builds:
    """Pairs of several builds.

    Attributes:
        paths: Of the builds, as they were given.
        readers: Of each.
        starts: Index of the first pair of each, and last the number of all pairs.
    """

    def __init__(self, paths: Path | Sequence[Path], split: str | None = None) -> None:
        """Find the pairs.

        Args:
            paths: Folders written by degrade build, or one.
            split: See `degrade.PairReader`.

        Raises:
            StoreError: If one is no finished build.
        """
        self.paths = (paths,) if isinstance(paths, Path) else tuple(paths)
        self.readers = tuple(PairReader(path, split) for path in self.paths)
        self.starts = [0]
        for reader in self.readers:
            self.starts.append(self.starts[-1] + len(reader))

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, index: int) -> Pair:
        """See `degrade.PairReader`."""
        return self.read(index)

    def __str__(self) -> str:
        """The builds, for messages."""
        return ", ".join(map(str, self.paths))

    def read(self, index: int, reduce: int = 1) -> Pair:
        """See `degrade.PairReader.read`."""
        reader, within = self.locate(index)
        return reader.read(within, reduce)

    def recipe(self, index: int) -> Recipe:
        """See `degrade.PairReader.recipe`."""
        reader, within = self.locate(index)
        return reader.recipe(within)

    def name(self, index: int) -> str:
        """Name of a pair, with its build's where there are several."""
        reader, within = self.locate(index)
        name = reader.keys[within]
        return name if len(self.readers) == 1 else f"{reader.path}/{name}"

    def locate(self, index: int) -> tuple[PairReader, int]:
        """The build that a pair is in, and its index there.

        Raises:
            IndexError: If there are not so many.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"no pair {index} of {len(self)}")
        build = bisect.bisect_right(self.starts, index) - 1
        return self.readers[build], index - self.starts[build]

    def digest(self) -> str:
        """Of the manifests, in hexadecimal digits: other pairs have another."""
        digest = blake2b(digest_size=16)
        for reader in self.readers:
            digest.update(msgspec.json.encode(reader.manifest, order="sorted"))
        return digest.hexdigest()
