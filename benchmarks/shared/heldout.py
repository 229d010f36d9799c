"""Held-out clean photographs: which they are, in which order, and what their draws come from.

A photograph is held out by the hash of its name without folder and suffix, so that one split serves
all folders. `degrade build` hashes its keys, which for a folder are names with suffix: another
split. So what builds train on is left out by its name. Everything is drawn from the seed and the
name: the same photographs are damaged alike in every run, whichever others there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path, PurePosixPath

import click
import cv2
import numpy as np
from numpy.typing import NDArray

Photo = NDArray[np.uint8]

VAL_FRAC = 0.05
_GOLDEN_RATIO = 0.6180339887498949


def find_heldout(
    folders: Sequence[Path],
    exclude: Path | None,
    val_frac: float,
    trained_on: Sequence[Path] = (),
) -> list[Path]:
    """Files of held-out photographs, by name, one for each name; excluded names are left out.

    Args:
        folders: Where photographs lie.
        exclude: A text file of names, with or without suffix, one a line.
        val_frac: Share of all names that is held out.
        trained_on: Builds of pairs; the sources that they train on are left out.

    Raises:
        click.ClickException: If there are none, or none of the names to exclude is there.
    """
    from degrade.build.plan import find_split

    files: dict[str, Path] = {}
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.is_file():
                files.setdefault(file.stem, file)
    left_out = {name for pairs in trained_on for name in name_trained(pairs)}
    if exclude is not None:
        excluded = set(exclude.read_text("utf-8").splitlines())
        excluded |= {PurePosixPath(line).stem for line in excluded}
        if not excluded & files.keys():
            raise click.ClickException(f"{exclude}: none of these names is among the photographs")
        left_out |= excluded
    names = sorted(n for n in files.keys() - left_out if find_split(n, val_frac) == "val")
    if not names:
        raise click.ClickException(f"{folders[0]}: no held-out photographs; name more folders")
    return [files[name] for name in names]


def name_trained(pairs: Path) -> set[str]:
    """Names without folder and suffix of the sources that a build trains on."""
    from degrade import PairReader

    reader = PairReader(pairs, split="train")
    return {PurePosixPath(reader.recipe(index).key).stem for index in range(len(reader))}


def spread(num: int) -> list[int]:
    """An order of so many files by name in which the first few stand for all.

    Names from one origin stand together: steps of the golden ratio visit all origins early.
    """
    steps = [(i * _GOLDEN_RATIO) % 1 for i in range(num)]
    return np.argsort(steps, kind="stable").tolist()


def decode(file: Path) -> Photo | None:
    """A photograph (H, W, 3), or None if it is none."""
    encoded = np.frombuffer(file.read_bytes(), np.uint8)
    bgr = cv2.imdecode(encoded, cv2.IMREAD_COLOR) if encoded.size else None
    return None if bgr is None else np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def seed_photo(seed: int, damage: str, key: str) -> np.random.Generator:
    """The generator of one photograph under one damage."""
    digest = blake2b(f"{seed}|{damage}|{key}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
