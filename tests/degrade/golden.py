"""Digests of recipes and rendered pairs of every profile; run it to rewrite golden.json."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from degrade.damage.draw import draw_recipe
from degrade.damage.render import cut_photo, render
from degrade.profile import list_profiles, load_profile
from degrade.recipe import encode_recipe
from degrade.textures import Textures

GOLDEN = Path(__file__).with_name("golden.json")


def paint_checks() -> np.ndarray:
    """A photograph painted by whole numbers alone, so that it is the same everywhere."""
    y, x = np.mgrid[0:150, 0:200]
    red = (x * 255) // 199
    green = ((x // 16 + y // 16) % 2) * 120 + 60
    blue = 255 - (y * 255) // 149
    return np.stack([red, green, blue], axis=-1).astype(np.uint8)


def golden_digests() -> dict[str, dict[str, str]]:
    """By profile: digest of the recipes, and of clean, damaged and marks, over eight samples."""
    photo, textures = paint_checks(), Textures.load()
    digests = {}
    for name in list_profiles():
        profile = load_profile(name)
        recipes, pixels = hashlib.sha256(), hashlib.sha256()
        for i in range(8):
            recipe = draw_recipe(
                profile, textures, seed=2019, key=f"photo-{i}", variant=i % 3,
                source_size=(200, 150), size_px=112, crop=("square", "whole")[i % 2],
            )  # fmt: skip
            recipes.update(encode_recipe(recipe))
            for part in render(cut_photo(photo, recipe), recipe, textures):
                pixels.update(part.tobytes())
        digests[name] = {"recipes": recipes.hexdigest(), "pixels": pixels.hexdigest()}
    return digests


if __name__ == "__main__":
    text = json.dumps(golden_digests(), indent=1) + "\n"
    if "--print" in sys.argv:
        print(text)
    else:
        GOLDEN.write_text(text)
