"""The photographs that benchmarks/quality.py restores, section by section."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.foreign import DAMAGES, seed_photo

if TYPE_CHECKING:
    from degrade import PairReader
    from train.damage.stages import Damage

Photo = NDArray[np.uint8]


class Item(NamedTuple):
    """One photograph to restore.

    Attributes:
        source: Key of its source photograph.
        damaged: (H, W, 3) RGB.
        clean: (H, W, 3) RGB.
        marks: (H, W) opacity of the marks.
        is_grey: Whether `degrade` took its colours away.
        damage: To damage its restoration again, where that is known.
    """

    source: str
    damaged: Photo
    clean: Photo
    marks: Photo
    is_grey: bool = False
    damage: Damage | None = None


def iterate_section(
    section: str, reader: PairReader, chosen: list[int], seed: int
) -> Iterator[Item]:
    """The photographs of one section: "default", "undamaged" or a name of `DAMAGES`."""
    from train.damage.twin import damage_of, find_textures

    textures = find_textures(reader)
    if section == "default" and textures is None:
        print(f"{reader.path}: built with other textures: no consistency", file=sys.stderr)
    for index in chosen:
        pair = reader[index]
        key = pair.recipe.key
        if section == "default":
            emulsion = pair.recipe.emulsion
            is_grey = emulsion is not None and len(set(emulsion.matrix)) == 1
            damage = damage_of(pair.recipe, textures, *pair.marks.shape) if textures else None
            yield Item(key, pair.damaged, pair.clean, pair.marks, is_grey, damage)
        elif section == "undamaged":
            yield Item(key, pair.clean, pair.clean, np.zeros_like(pair.marks))
        else:
            damaged, marks = DAMAGES[section](pair.clean, seed_photo(seed, section, key))
            yield Item(key, damaged, pair.clean, marks)
