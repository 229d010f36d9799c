"""Damage clean photographs the way time does, and keep the pairs in LMDB shards.

The public names load on first use, so that ``import degrade`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from degrade.build import BuildOptions, build_pairs
    from degrade.crop import cut_photo
    from degrade.errors import DegradeError
    from degrade.manifest import Manifest
    from degrade.profile import Profile, load_profile
    from degrade.recipe import Recipe, decode_recipe, encode_recipe
    from degrade.render import Rendered
    from degrade.sampling import draw_recipe
    from degrade.shards import Pair, PairReader
    from degrade.textures import Textures

__version__ = "0.1.0"

_HOMES = {
    "BuildOptions": "build",
    "DegradeError": "errors",
    "Manifest": "manifest",
    "Pair": "shards",
    "PairReader": "shards",
    "Profile": "profile",
    "Recipe": "recipe",
    "Rendered": "render",
    "Textures": "textures",
    "build_pairs": "build",
    "cut_photo": "crop",
    "decode_recipe": "recipe",
    "draw_recipe": "sampling",
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
