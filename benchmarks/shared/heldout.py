"""Held-out clean photographs: which they are, in which order, and what their draws come from.

A photograph is held out by the hash of its name without folder and suffix, so that one split serves
all folders, and by `degrade build` where keys are such names. Everything is drawn from the seed and
that name: the same photographs are damaged alike in every run, whichever others there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import click
import cv2
import numpy as np
from numpy.typing import NDArray

Photo = NDArray[np.uint8]

VAL_FRAC = 0.05
_GOLDEN_RATIO = 0.6180339887498949


def find_heldout(folders: Sequence[Path], exclude: Path | None, val_frac: float) -> list[Path]:
    """Files of held-out photographs, by name, one for each name; excluded names are left out.

    Args:
        folders: Where photographs lie.
        exclude: A text file of names without suffix, one a line.
        val_frac: Share of all names that is held out.

    Raises:
        click.ClickException: If there are none.
    """
    from degrade.build.plan import find_split

    excluded = set() if exclude is None else set(exclude.read_text("utf-8").split("\n"))
    files: dict[str, Path] = {}
    for folder in folders:
        for file in folder.iterdir():
            if file.is_file() and file.stem not in excluded:
                files.setdefault(file.stem, file)
    names = sorted(name for name in files if find_split(name, val_frac) == "val")
    if not names:
        raise click.ClickException(f"{folders[0]}: no held-out photographs; name more folders")
    return [files[name] for name in names]


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
