"""Damage one photograph: from a file to a file."""

from __future__ import annotations

from pathlib import Path

import msgspec

from degrade.arrays import Photo, encode_jpeg, encode_photo
from degrade.build.decode import decode_photo
from degrade.build.sources import show_key
from degrade.damage.crop import Crop
from degrade.damage.draw import draw_recipe
from degrade.damage.render import Rendered, cut_photo, render
from degrade.damage.scan import BEST_QUALITY, stored_quality
from degrade.errors import StoreError, UnreadablePhoto
from degrade.profile import Profile
from degrade.recipe import Recipe, decode_recipe
from degrade.store.whole import write_whole
from degrade.textures.pack import Textures

_LARGE_PX = 1 << 14
# A recipe of a whole photograph fits another one whose sides are so nearly in the same ratio, apart
# from rounding.
_MOST_SQUEEZED = 1.02
LOSSLESS_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
JPEG_SUFFIXES = (".jpg", ".jpeg")


def read_photo(path: Path) -> Photo:
    """Read a photograph, upright and at its full size.

    Returns:
        (H, W, 3) RGB.

    Raises:
        UnreadablePhoto: If it is missing or no image.
    """
    try:
        return decode_photo(path.read_bytes(), _LARGE_PX)
    except OSError as error:
        raise UnreadablePhoto(f"{path}: cannot be read: {error.strerror}") from error
    except UnreadablePhoto as error:
        raise UnreadablePhoto(f"{path}: {error}") from error


def read_recipe(path: Path) -> Recipe:
    """Read a recipe's JSON.

    Raises:
        StoreError: If it is missing or no recipe; the message names the field.
    """
    try:
        return decode_recipe(path.read_bytes())
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path}: not a recipe: {error}") from error


def draw_whole(
    photo: Photo,
    name: str,
    profile: Profile,
    textures: Textures,
    seed: int,
    size_px: int | None,
) -> Recipe:
    """Draw a recipe for the whole of a photograph.

    Args:
        photo: (H, W, 3) RGB.
        name: What the draw depends on beside the seed.
        profile: Its damage is drawn from.
        textures: The pack.
        seed: Seed of every draw.
        size_px: Short side of the result; None keeps the photograph's own.
    """
    height, width = photo.shape[:2]
    return draw_recipe(
        profile,
        textures,
        seed=seed,
        key=show_key(name),
        variant=0,
        source_size=(width, height),
        size_px=size_px or min(height, width),
        crop="whole",
    )


def damage_photo(
    photo: Photo,
    recipe: Recipe,
    textures: Textures,
    *,
    size_px: int | None = None,
    skip: frozenset[str] = frozenset(),
) -> Rendered:
    """Carry out a recipe on a photograph.

    Args:
        photo: (H, W, 3) RGB source photograph.
        recipe: Its crop is cut out.
        textures: The pack.
        size_px: Short side of the result if not the recipe's own.
        skip: Stages to leave out.

    Raises:
        StoreError: If the photograph is of another shape than that of the recipe.
        TextureError: If the pack hasn't got the recipe's textures.
    """
    height, width = photo.shape[:2]
    if recipe.crop == Crop():
        squeezed = (width / height) / (recipe.width_px / recipe.height_px)
        most = _MOST_SQUEEZED + 1 / min(recipe.width_px, recipe.height_px)
        if not 1 / most <= squeezed <= most:
            raise StoreError(
                f"the recipe is for a photograph of {recipe.width_px} x {recipe.height_px} px; one "
                f"of {width} x {height} px would be squeezed"
            )
    cut = recipe
    if size_px is not None:
        scale = size_px / min(recipe.width_px, recipe.height_px)
        cut = msgspec.structs.replace(
            recipe,
            width_px=max(size_px, round(recipe.width_px * scale)),
            height_px=max(size_px, round(recipe.height_px * scale)),
        )
    return render(cut_photo(photo, cut), recipe, textures, skip=skip)


def write_photo(out: Path, photo: Photo, recipe: Recipe, skip: frozenset[str]) -> None:
    """Write a damaged photograph: JPEG at the quality its recipe asks for, or without loss.

    Args:
        out: Its suffix tells the format.
        photo: (H, W, 3) RGB.
        recipe: What was done to it.
        skip: Stages that were left out; without the scan, nothing is lost to JPEG.

    Raises:
        StoreError: If it cannot be written.
    """
    if out.suffix.lower() in JPEG_SUFFIXES:
        quality = BEST_QUALITY if "scan" in skip else stored_quality(recipe.scan)
        write_whole(out, [encode_jpeg(photo, quality)])
        return
    write_whole(out, [encode_photo(photo, out.suffix.lower())])
