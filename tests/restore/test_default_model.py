"""The weights that are shipped: small, ours, and better than leaving a photograph alone."""

from pathlib import Path

import cv2
import numpy as np
import skimage.data

from degrade.damage.draw import draw_recipe
from degrade.damage.render import cut_photo, render
from degrade.profile import load_profile
from degrade.textures import Textures
from restore import Restorer
from restore.engine.model_file import default_model_path, read_metadata


def test_default_weights_fit_and_say_what_they_are() -> None:
    """At most 24 MB, with configuration, data and scores in what they say of themselves."""
    path = default_model_path()
    assert path.stat().st_size <= 24e6
    metadata = read_metadata(path)
    assert metadata.config["widths"]
    assert metadata.data["profile"] == "model-profile"
    assert metadata.scores


def test_default_model_removes_scratches_and_brings_back_tone() -> None:
    """On known photographs, damaged by known recipes, luma is closer to the truth than before."""
    restorer, textures = Restorer.load(device="cpu"), Textures.load()
    profile = load_profile("snapshot-1920s")
    errors = []
    for photo in (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()):
        height, width = photo.shape[:2]
        for seed in range(3):
            recipe = draw_recipe(
                profile,
                textures,
                seed=seed,
                key="t",
                variant=0,
                source_size=(width, height),
                size_px=256,
            )
            clean, damaged, _ = render(cut_photo(photo, recipe), recipe, textures)
            restored = restorer.restore(damaged).restored
            grey = [cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(float) for p in
                    (clean, damaged, restored)]  # fmt: skip
            errors.append([np.abs(grey[1] - grey[0]).mean(), np.abs(grey[2] - grey[0]).mean()])
    before, after = np.mean(errors, axis=0)
    assert after < before


def test_example_photograph_is_there() -> None:
    """The photograph that README restores exists and can be read."""
    path = Path(__file__).resolve().parents[2] / "examples" / "astronaut.jpg"
    assert cv2.imread(str(path)) is not None
