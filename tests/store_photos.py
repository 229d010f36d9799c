"""Photographs painted by code, and sources made of them, for the tests of the pair store."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import cv2
import lmdb
import numpy as np
from numpy.typing import NDArray

from degrade.build.options import BuildOptions
from degrade.build.run import build_pairs
from degrade.store.manifest import Manifest


def paint_photo(seed: int, width_px: int = 120, height_px: int = 90) -> NDArray[np.uint8]:
    """A colourful photograph of nothing, (H, W, 3) RGB."""
    rng = np.random.default_rng(seed)
    blobs = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    photo = cv2.resize(blobs, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    for _ in range(6):
        centre = int(rng.integers(width_px)), int(rng.integers(height_px))
        colour = tuple(int(c) for c in rng.integers(0, 256, 3))
        cv2.circle(photo, centre, int(rng.integers(3, 15)), colour, -1)
    return np.asarray(photo, np.uint8)


def encode(photo: NDArray[np.uint8], suffix: str = ".jpg") -> bytes:
    """Encode RGB as a file of that suffix would be."""
    return bytes(cv2.imencode(suffix, cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))[1])


def fill_folder(folder: Path, num_photos: int, first: int = 0) -> Path:
    """Put photographs ``0000.jpg`` and so on into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + num_photos):
        (folder / f"{number:04d}.jpg").write_bytes(encode(paint_photo(number)))
    return folder


def make_lsun(folder: Path, values: Mapping[str | bytes, bytes]) -> Path:
    """Make an LMDB as LSUN ships them."""
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=1 << 24, lock=False) as env, env.begin(write=True) as txn:
        for key, value in values.items():
            txn.put(key.encode() if isinstance(key, str) else key, value)
    return folder


def build_small(source: Path, out: Path, **options: object) -> Manifest:
    """Build pairs of 48 px with seed 7, unless told otherwise."""
    return build_pairs(
        BuildOptions(**{"source": source, "out": out, "seed": 7, "size_px": 48, **options})  # type: ignore[arg-type]
    )


def read_all(build: Path) -> dict[str, bytes]:
    """Every record of a build, with the plain lmdb module."""
    records = {}
    for shard in sorted(build.glob("*.lmdb")):
        with lmdb.open(str(shard), readonly=True, lock=False) as env, env.begin() as txn:
            records.update({f"{shard.name}/{k.decode()}": v for k, v in txn.cursor()})
    return records


def run_degrade(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the degrade command in a process of its own."""
    command = [sys.executable, "-m", "degrade", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload, no-any-return]
