"""Large held-out photographs at their own size, for the benchmarks of marks and foreign damage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.heldout import decode, find_heldout, spread

Photo = NDArray[np.uint8]


class LargePhoto(NamedTuple):
    """A clean photograph.

    Attributes:
        name: Of its file, without folder and suffix.
        photo: (H, W, 3) RGB.
    """

    name: str
    photo: Photo


def find_photos(
    folders: Sequence[Path],
    *,
    val_frac: float,
    exclude: Path | None,
    limit: int,
    trained_on: Sequence[Path] = (),
) -> list[Path]:
    """Files of so many held-out photographs, spread over all names; each name once.

    Args:
        folders: Where photographs lie.
        val_frac: Share of all names that is held out; 1 takes all.
        exclude: A text of names to leave out, one a line.
        limit: At most so many.
        trained_on: Builds of pairs; the sources that they train on are left out.

    Raises:
        click.ClickException: If there are none.
    """
    files = find_heldout(folders, exclude, val_frac, trained_on)
    return [files[i] for i in sorted(spread(len(files))[:limit])]


def read_photo(file: Path, side_px: int | None = None) -> LargePhoto:
    """Read a photograph; its short side may be reduced to so many px.

    Raises:
        click.ClickException: If it is none.
    """
    photo = decode(file)
    if photo is None:
        raise click.ClickException(f"{file}: not an image that OpenCV can decode; take it away")
    shortest = min(photo.shape[:2])
    if side_px is not None and side_px < shortest:
        scale = side_px / shortest
        reduced = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        photo = np.asarray(reduced, np.uint8)
    return LargePhoto(file.stem, photo)
