"""Make one sample of the pair store: from an encoded photograph to the four stored values.

A sample depends on the seed, the source key, the variant and the build's settings alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from degrade.arrays import Mask, Photo, encode_jpeg
from degrade.build.decode import MIN_COLORFULNESS, decode_photo, measure_colorfulness, read_header
from degrade.damage.draw import draw_recipe
from degrade.damage.render import Rendered, cut_photo, render
from degrade.damage.scan import BEST_QUALITY, stored_quality
from degrade.errors import UnreadablePhoto
from degrade.profile import Profile
from degrade.recipe import Recipe, encode_recipe
from degrade.store.shards import PARTS
from degrade.textures.pack import Textures


class Rejected(Exception):
    """A photograph that no pairs are made of."""

    def __init__(self, reason: str, detail: str) -> None:
        """Note why, in a word and in a phrase."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class SampleMaker:
    """What all samples of a build have in common."""

    profile: Profile
    textures: Textures
    seed: int
    size_px: int
    crop: str
    keep_grey: bool

    def decode(self, data: bytes) -> Photo:
        """Decode a clean photograph, if it is one that pairs can be made of.

        Returns:
            (H, W, 3) RGB, at least ``size_px`` on the short side.

        Raises:
            Rejected: If it is broken, too small or grey.
        """
        try:
            # Small ones too: the header of a broken photograph may say anything.
            photo = decode_photo(data, self.size_px)
        except UnreadablePhoto as error:
            raise Rejected("undecodable", str(error)) from error
        if min(photo.shape[:2]) < self.size_px:
            header = read_header(data)
            turned = header is not None and header.orientation > 4
            width, height = photo.shape[:2] if turned else photo.shape[1::-1]  # as stored
            raise Rejected("too-small", f"{width} x {height}, short side under {self.size_px}")
        if not self.keep_grey:
            colorfulness = measure_colorfulness(photo)
            if colorfulness < MIN_COLORFULNESS:
                raise Rejected(
                    "grey", f"colourfulness {colorfulness:.1f} of {MIN_COLORFULNESS:.0f}"
                )
        return photo

    def make(self, photo: Photo, key: str, variant: int) -> list[bytes]:
        """Damage a photograph and encode the sample.

        Args:
            photo: (H, W, 3) RGB, as ``decode`` returned it.
            key: Its source key.
            variant: Which of its damages to draw.

        Returns:
            The values of ``PARTS``, in order.
        """
        recipe = draw_recipe(
            self.profile,
            self.textures,
            seed=self.seed,
            key=key,
            variant=variant,
            source_size=(photo.shape[1], photo.shape[0]),
            size_px=self.size_px,
            crop=self.crop,
        )
        return render_sample(photo, recipe, self.textures)


def render_sample(photo: Photo, recipe: Recipe, textures: Textures) -> list[bytes]:
    """Render a recipe and encode the sample.

    Args:
        photo: (H, W, 3) RGB source photograph.
        recipe: What to do to it.
        textures: The pack that the recipe names.

    Returns:
        The values of ``PARTS``, in order.
    """
    return encode_sample(render(cut_photo(photo, recipe), recipe, textures), recipe)


def encode_sample(rendered: Rendered, recipe: Recipe) -> list[bytes]:
    """Encode the four values of a sample, in the order of ``PARTS``."""
    values = [
        encode_jpeg(rendered.clean, BEST_QUALITY),
        encode_jpeg(rendered.damaged, stored_quality(recipe.scan)),
        encode_marks(rendered.marks),
        encode_recipe(recipe),
    ]
    assert len(values) == len(PARTS)
    return values


def encode_marks(marks: Mask) -> bytes:
    """Encode marks as PNG.

    OpenCV's defaults (runs only, one filter, fastest level) suit what is mostly empty. Any level
    that is asked for switches them off, which takes three times as long and more bytes.

    Args:
        marks: (H, W).
    """
    return _encode_png(marks) if marks.any() else _encode_blank(*marks.shape)


def _encode_png(marks: Mask) -> bytes:
    _, encoded = cv2.imencode(".png", marks)
    return encoded.tobytes()


@lru_cache(maxsize=16)
def _encode_blank(height: int, width: int) -> bytes:
    return _encode_png(np.zeros((height, width), np.uint8))
