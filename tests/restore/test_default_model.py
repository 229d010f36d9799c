"""The weights that are shipped: small, ours, and better than leaving a photograph alone."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

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
    assert "family-collection" in metadata.data["profile"]
    assert metadata.scores


class Restored(NamedTuple):
    """A photograph, damaged and restored: luma (H, W) in 1/255, and opacity of the marks."""

    clean: NDArray[np.float64]
    damaged: NDArray[np.float64]
    restored: NDArray[np.float64]
    marks: NDArray[np.uint8]


@pytest.fixture(scope="module")
def restorations() -> list[Restored]:
    """Known photographs, damaged by known recipes, and what the default model makes of them."""
    restorer, textures = Restorer.load(device="cpu"), Textures.load()
    profile = load_profile("snapshot-1920s")
    done = []
    for photo in (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee()):
        height, width = photo.shape[:2]
        for seed in range(6):
            recipe = draw_recipe(
                profile,
                textures,
                seed=seed,
                key="t",
                variant=0,
                source_size=(width, height),
                size_px=256,
            )
            clean, damaged, marks = render(cut_photo(photo, recipe), recipe, textures)
            restored = restorer.restore(damaged).restored
            luma = [
                cv2.cvtColor(p, cv2.COLOR_RGB2GRAY).astype(float)
                for p in (clean, damaged, restored)
            ]
            done.append(Restored(*luma, marks))
    return done


def test_default_model_brings_back_tone(restorations: list[Restored]) -> None:
    """Away from marks, luma is closer to the truth than before."""
    before, after = np.mean(
        [
            [np.abs(p - r.clean)[r.marks == 0].mean() for p in (r.damaged, r.restored)]
            for r in restorations
        ],
        axis=0,
    )
    assert after < 0.9 * before


def test_default_model_mends_marks(restorations: list[Restored]) -> None:
    """A third at least of what stands out under marks is gone, over all photographs.

    What stands out is the difference of luma from the clean photograph, less the median of that
    difference close around the marks: a wrong tone is in both and cancels, so that bringing back
    tone is no help here.
    """
    before, after = [], []
    for r in restorations:
        inside = r.marks >= 128
        around = cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        around &= r.marks == 0
        for photo, found in ((r.damaged, before), (r.restored, after)):
            error = photo - r.clean
            found.extend(np.abs(error[inside] - np.median(error[around])) if inside.any() else [])
    assert len(before) > 5000  # pixels
    assert np.mean(after) < 0.67 * np.mean(before)


def test_example_photograph_is_there() -> None:
    """The photograph that README restores exists and can be read."""
    path = Path(__file__).resolve().parents[2] / "examples" / "astronaut.jpg"
    assert cv2.imread(str(path)) is not None
