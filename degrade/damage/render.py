"""Damage a photograph exactly as its recipe says. Nothing is drawn by chance here.

The order is that of a photograph's life: lens, emulsion, loss of dyes, curve, light fall-off,
grain, printing screen, tone, uneven toning, frame, ageing, marks, scan, copy. Every operation
gives the same bytes on every supported build of OpenCV and NumPy; that of a copy also depends on
the JPEG codec inside OpenCV.
"""

from typing import NamedTuple

import numpy as np

from degrade.arrays import Field, Mask, Photo, merge_photo, split_photo
from degrade.damage.ageing import age, ageing_field
from degrade.damage.copy import save_copy
from degrade.damage.crop import cut_out
from degrade.damage.curve import apply_curve
from degrade.damage.dyes import dyes_field, fade_dyes
from degrade.damage.emulsion import respond
from degrade.damage.frame import FrameFields, apply_frame, frame_fields
from degrade.damage.grain import add_grain, grain_field
from degrade.damage.halftone import apply_screen, screen_field
from degrade.damage.lens import blur_lens
from degrade.damage.marks.layers import MarkLayer, apply_marks, mark_layers
from degrade.damage.scan import Scan, apply_scan
from degrade.damage.tone import apply_tone
from degrade.damage.uneven_tone import tone_unevenly, uneven_tone_field
from degrade.damage.vignette import apply_vignette, vignette_field
from degrade.errors import TextureError
from degrade.recipe import DIGEST_LENGTH, Recipe, name_textures
from degrade.textures.pack import Textures

STAGES = (
    "lens", "emulsion", "dyes", "curve", "vignette", "grain", "halftone", "tone", "uneven_tone",
    "frame", "ageing", "marks", "scan", "copy",
)  # fmt: skip
"""Stages that can be left out, in the order in which they happen; each is a file beside this."""


def cut_photo(source: Photo, recipe: Recipe) -> Photo:
    """Crop and resize a source photograph as its recipe says.

    Args:
        source: (h, w, 3) RGB.
        recipe: Its crop and size are used.

    Returns:
        (recipe.height_px, recipe.width_px, 3) RGB.
    """
    return cut_out(source, recipe.crop, recipe.width_px, recipe.height_px)


class Rendered(NamedTuple):
    """A pair: clean and damaged (H, W, 3) RGB, marks (H, W), all uint8.

    The marks are the opacity of physical damage where it can be seen: white dust on white paper
    hides nothing and is no mark.
    """

    clean: Photo
    damaged: Photo
    marks: Mask


class Fields(NamedTuple):
    """What a recipe lays over a photograph, apart from the photograph itself; H × W each.

    Attributes:
        frame: Picture and print areas, if the print has a frame.
        dyes: How much of the loss of dyes each point has suffered.
        vignette: Strength of the fall-off.
        grain: Grain of unit variance at the recipe's size, (H, W) or (3, H, W).
        screen: Thresholds of the printing screen, (H, W) or (3, H, W).
        uneven_tone: Share of the second tone at each point.
        ageing: How far each point has aged.
        marks: Layers of damage, lowest first.
    """

    frame: FrameFields | None
    dyes: Field | None
    vignette: Field | None
    grain: Field | None
    screen: Field | None
    uneven_tone: Field | None
    ageing: Field | None
    marks: list[MarkLayer]


def without(recipe: Recipe, skip: frozenset[str]) -> Recipe:
    """A recipe without some of its stages.

    Raises:
        ValueError: If a stage is unknown.
    """
    unknown = skip - set(STAGES)
    if unknown:
        raise ValueError(f"unknown stage {sorted(unknown)[0]}; stages are {', '.join(STAGES)}")
    absent: dict[str, object] = {"marks": (), "scan": Scan()}
    kept = {field: getattr(recipe, field) for field in recipe.__struct_fields__}
    return Recipe(**{**kept, **{stage: absent.get(stage) for stage in skip}})


def check_textures(recipe: Recipe, textures: Textures) -> None:
    """Make sure that a pack has the very textures that a recipe was drawn with.

    Raises:
        TextureError: If it lacks one, or has another of that name.
    """
    for name in name_textures(recipe):
        wanted = recipe.textures.get(name)
        if wanted and textures.info(name).sha256[:DIGEST_LENGTH] != wanted:
            raise TextureError(
                f"{textures.folder}: {name} isn't the texture that the recipe was drawn with"
            )


def render_fields(
    recipe: Recipe, textures: Textures, height: int | None = None, width: int | None = None
) -> Fields:
    """Everything of a recipe that is a field over the photograph.

    Args:
        recipe: Its textures are looked up in the pack.
        textures: The pack.
        height: Rows; the recipe's own by default.
        width: Columns; likewise.

    Raises:
        TextureError: If the pack lacks a texture.
    """
    height, width = height or recipe.height_px, width or recipe.width_px
    ratio = min(height / recipe.height_px, width / recipe.width_px)
    size = (height, width, ratio)
    frame, dyes, vignette, grain = recipe.frame, recipe.dyes, recipe.vignette, recipe.grain
    screen, uneven_tone, ageing = recipe.halftone, recipe.uneven_tone, recipe.ageing
    return Fields(
        frame=None if frame is None else frame_fields(frame, textures, *size),
        dyes=None if dyes is None else dyes_field(dyes, textures, height, width),
        vignette=None if vignette is None else vignette_field(vignette, *size),
        grain=None if grain is None else grain_field(grain, textures, *size),
        screen=None if screen is None else screen_field(screen, textures, *size),
        uneven_tone=(
            None if uneven_tone is None else uneven_tone_field(uneven_tone, textures, *size)
        ),
        ageing=None if ageing is None else ageing_field(ageing, textures, *size),
        marks=mark_layers(recipe.marks, textures, *size),
    )


def frame_photo(photo: Photo, recipe: Recipe, fields: Fields) -> Photo:
    """The clean photograph in its frame, (H, W, 3) → (H, W, 3)."""
    if recipe.frame is None or fields.frame is None:
        return photo
    planes = split_photo(photo).astype(np.float32)
    planes *= np.float32(1 / 255)
    return merge_photo(apply_frame(planes, recipe.frame, fields.frame))


def expose_and_print(photo: Photo, recipe: Recipe, fields: Fields) -> Field:
    """Everything but marks and scan: a clean photograph to an aged print.

    Args:
        photo: (H, W, 3) RGB uint8.
        recipe: What to do.
        fields: From `render_fields` at the photograph's size.

    Returns:
        (3, H, W) in [0, 1].
    """
    ratio = min(photo.shape[0] / recipe.height_px, photo.shape[1] / recipe.width_px)
    deep = respond(photo, recipe.emulsion)
    if recipe.lens is not None:
        # Blurring after the emulsion's matrix is the same (both are linear), and cheaper.
        deep = blur_lens(deep, recipe.lens, ratio)
    if recipe.dyes is not None and fields.dyes is not None:
        deep = fade_dyes(deep, recipe.dyes, fields.dyes)
    image = apply_curve(deep, recipe.curve)
    if recipe.vignette is not None and fields.vignette is not None:
        image = apply_vignette(image, recipe.vignette, fields.vignette)
    if recipe.grain is not None and fields.grain is not None:
        image = add_grain(image, recipe.grain, fields.grain)
    if recipe.halftone is not None and fields.screen is not None:
        image = apply_screen(image, recipe.halftone, fields.screen)
    silver, image = image, apply_tone(image, recipe.tone)
    if recipe.uneven_tone is not None and fields.uneven_tone is not None:
        image = tone_unevenly(image, silver, recipe.uneven_tone, fields.uneven_tone)
    if recipe.frame is not None and fields.frame is not None:
        image = apply_frame(image, recipe.frame, fields.frame)
    if recipe.ageing is not None and fields.ageing is not None:
        image = age(image, recipe.ageing, fields.ageing)
    return image


def render(
    photo: Photo, recipe: Recipe, textures: Textures, *, skip: frozenset[str] = frozenset()
) -> Rendered:
    """Damage one photograph.

    Args:
        photo: (H, W, 3) RGB, cut by `cut_photo` or of another size with the same aspect.
        recipe: What to do.
        textures: The pack whose textures the recipe names.
        skip: Stages to leave out, of STAGES.

    Returns:
        The pair, before any encoding. The scan's JPEG is the encoding of the stored
        photograph itself (`degrade.damage.scan.stored_quality`).

    Raises:
        TextureError: If the pack lacks a texture, or has another of that name.
        ValueError: If a stage is unknown.
    """
    if skip:
        recipe = without(recipe, skip)
    check_textures(recipe, textures)
    height, width = photo.shape[:2]
    fields = render_fields(recipe, textures, height, width)
    ratio = min(height / recipe.height_px, width / recipe.width_px)
    clean = frame_photo(photo, recipe, fields)
    image = expose_and_print(photo, recipe, fields)
    marks = apply_marks(image, fields.marks)
    damaged = apply_scan(merge_photo(image), recipe.scan, textures, ratio)
    if recipe.copy is not None:
        damaged = save_copy(damaged, recipe.copy, ratio)
    return Rendered(clean, damaged, marks)
