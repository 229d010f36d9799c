"""What colours are measured on: held-out colour photographs of 256 px, grey copies, faded dyes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.shared.heldout import decode, spread

Photo = NDArray[np.uint8]

SIDE_PX = 256
# Mean a and b of L*a*b* farther from grey than this: sunsets, red rooms, candlelight, deep woods.
_CAST_DISTANCE = 15.0
_LUMA = (0.299, 0.587, 0.114)
_RESPONSE_RANGE = (0.6, 1.4)
_MAX_NOISE_FRAC = 0.02
# Of each dye's density so much is left: of that which has lost most, and of the others.
_FIRST_KEPT_RANGE, _OTHERS_KEPT_RANGE = (0.35, 0.6), (0.6, 0.9)
_STAIN_RANGE = (0.0, 0.12)
_MAX_DENSITY = 2.4


class CleanPhoto(NamedTuple):
    """A held-out photograph.

    Attributes:
        name: Of its file, without folder and suffix.
        photo: (256, 256, 3) RGB.
        has_cast: Whether its own colours lean so far that it can't be told from a faded one.
    """

    name: str
    photo: Photo
    has_cast: bool


class GreyCopy(NamedTuple):
    """How a black-and-white copy is made.

    Attributes:
        response: Weights of red, green and blue; they sum up to 1.
        noise_frac: Standard deviation of its noise.
        noise_seed: Of the noise.
    """

    response: tuple[float, float, float]
    noise_frac: float
    noise_seed: int


class Fading(NamedTuple):
    """What is left of the dyes of a colour print: by channel, D' = kept · D + stain.

    Attributes:
        kept_frac: Of the density in red (cyan dye), green (magenta) and blue (yellow).
        stain_density: That was added.
    """

    kept_frac: tuple[float, float, float]
    stain_density: tuple[float, float, float]


def read_heldout(files: Sequence[Path], limit: int) -> Iterator[CleanPhoto]:
    """The middle squares of so many of them at 256 px, spread over all; greys are left out.

    What is no photograph, or smaller, is passed over.
    """
    from train.data.pairs import MIN_COLORFULNESS
    from train.measure.evaluate import to_tensor
    from train.measure.metrics import convert_to_lab, measure_colorfulness

    found = 0
    for file in (files[i] for i in spread(len(files))):
        if found == limit:
            return
        photo = read_square(file)
        if photo is None:
            continue
        tensor = to_tensor(photo)
        if measure_colorfulness(tensor) < MIN_COLORFULNESS:
            continue
        _, a, b = convert_to_lab(tensor).mean((0, 2, 3)).tolist()
        found += 1
        yield CleanPhoto(file.stem, photo, bool(np.hypot(a, b) > _CAST_DISTANCE))


def read_square(file: Path) -> Photo | None:
    """The middle of a photograph at 256 px, or None if it is none or too small."""
    photo = decode(file)
    if photo is None or min(photo.shape[:2]) < SIDE_PX:
        return None
    side = min(photo.shape[:2])
    top, left = ((length - side) // 2 for length in photo.shape[:2])
    square = photo[top : top + side, left : left + side]
    return np.asarray(cv2.resize(square, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA))


def draw_grey_copy(rng: np.random.Generator) -> GreyCopy:
    """Draw a response around that of the eye, and noise of at most 2 %."""
    weights = np.array(_LUMA) * rng.uniform(*_RESPONSE_RANGE, 3)
    red, green, blue = (weights / weights.sum()).tolist()
    return GreyCopy((red, green, blue), rng.uniform(0, _MAX_NOISE_FRAC), int(rng.integers(2**32)))


def make_grey(photo: Photo, copy: GreyCopy) -> Photo:
    """A grey copy (H, W, 3) of a photograph."""
    noise = np.random.default_rng(copy.noise_seed).normal(0, 255 * copy.noise_frac, photo.shape[:2])
    grey = np.rint((photo @ np.array(copy.response) + noise).clip(0, 255)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def draw_fading(rng: np.random.Generator) -> Fading:
    """Draw which dye has lost most, and by how much all have."""
    kept = rng.uniform(*_OTHERS_KEPT_RANGE, 3)
    kept[rng.integers(3)] = rng.uniform(*_FIRST_KEPT_RANGE)
    red, green, blue = kept.tolist()
    stains = rng.uniform(*_STAIN_RANGE, 3).tolist()
    return Fading((red, green, blue), (stains[0], stains[1], stains[2]))


def fade_dyes(photo: Photo, fading: Fading) -> Photo:
    """Let the dyes of a photograph (H, W, 3) fade.

    Source:
        Density is −log10 of the light that is reflected (ISO 5-1); the light of sRGB by
        IEC 61966-2-1. Nothing is darker than a density of 2.4.
    """
    tone = photo / 255
    light = np.where(tone > 0.04045, ((tone + 0.055) / 1.055) ** 2.4, tone / 12.92)
    density = -np.log10(light.clip(10.0**-_MAX_DENSITY))
    faded = 10.0 ** -(density * np.array(fading.kept_frac) + np.array(fading.stain_density))
    tone = np.where(faded > 0.0031308, 1.055 * faded ** (1 / 2.4) - 0.055, 12.92 * faded)
    return np.rint(255 * tone.clip(0, 1)).astype(np.uint8)
