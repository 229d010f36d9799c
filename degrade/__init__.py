"""Damage clean photographs the way time does, and keep the pairs in LMDB shards.

The public names load on first use, so that ``import degrade`` costs next to nothing.

The rooms, from the lowest to the highest; each imports from itself and from those above it in this
list, never from those below:

1. ``errors``, ``schema`` (base of records and ranges), ``progress``, ``signals``,
   ``arrays``
2. ``store``: manifest, shards, LMDB files, files that are written whole
3. ``textures``: packs, painters, kinds of marks, laying a texture over a photograph
4. ``damage``: the stages, one file each with its ranges, its record, its draw and its apply
5. ``recipe`` and ``profile``: all stages' records, all stages' ranges
6. ``damage.draw`` (profile to recipe) and ``damage.render`` (recipe to photograph)
7. ``pairs``: reads a build
8. ``cluster``: runs tasks on a Dask cluster
9. ``build``: makes a build
10. ``inspect``: looks into one
11. ``cli``: one verb, one file
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from degrade.build.options import BuildOptions
    from degrade.build.run import build_pairs
    from degrade.damage.draw import draw_recipe
    from degrade.damage.render import Rendered, cut_photo
    from degrade.errors import DegradeError
    from degrade.pairs import Pair, PairReader
    from degrade.profile import Profile, load_profile
    from degrade.recipe import Recipe, decode_recipe, encode_recipe
    from degrade.store.manifest import Manifest
    from degrade.textures.pack import Textures

_HOMES = {
    "BuildOptions": "build.options",
    "DegradeError": "errors",
    "Manifest": "store.manifest",
    "Pair": "pairs",
    "PairReader": "pairs",
    "Profile": "profile",
    "Recipe": "recipe",
    "Rendered": "damage.render",
    "Textures": "textures.pack",
    "build_pairs": "build.run",
    "cut_photo": "damage.render",
    "decode_recipe": "recipe",
    "draw_recipe": "damage.draw",
    "encode_recipe": "recipe",
    "load_profile": "profile",
}

__all__ = [
    "BuildOptions",
    "DegradeError",
    "Manifest",
    "Pair",
    "PairReader",
    "Profile",
    "Recipe",
    "Rendered",
    "Textures",
    "build_pairs",
    "cut_photo",
    "decode_recipe",
    "draw_recipe",
    "encode_recipe",
    "load_profile",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'degrade' has no attribute {name!r}")
    value = getattr(import_module(f"degrade.{home}"), name)
    globals()[name] = value
    return value
