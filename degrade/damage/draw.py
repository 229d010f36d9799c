"""Draw everything that happens to one photograph: from a profile's ranges to a recipe."""

import msgspec

from degrade.damage.ageing import draw_ageing
from degrade.damage.copy import draw_copy
from degrade.damage.crop import CROPS, draw_crop
from degrade.damage.curve import draw_curve
from degrade.damage.dyes import draw_dyes
from degrade.damage.emulsion import draw_emulsion, has_color
from degrade.damage.frame import draw_frame
from degrade.damage.grain import draw_grain
from degrade.damage.halftone import draw_halftone
from degrade.damage.lens import draw_lens
from degrade.damage.marks.draw import draw_marks
from degrade.damage.marks.records import Mark
from degrade.damage.scan import Scan, draw_scan
from degrade.damage.streams import Draws, sample_draws
from degrade.damage.tone import draw_tone
from degrade.damage.uneven_tone import draw_uneven_tone
from degrade.damage.vignette import draw_vignette
from degrade.profile import Profile
from degrade.recipe import DIGEST_LENGTH, Recipe, name_textures
from degrade.textures.pack import Textures


def _choose_leaf(draws: Draws, profile: Profile) -> tuple[Profile, bool]:
    """What a mix, or a mix of mixes, comes to, and whether the photograph stays undamaged."""
    undamaged = draws.chance(profile.undamaged_prob)
    while profile.mix:
        profile = profile.parts[draws.pick(profile.mix)]
        if profile.undamaged_prob > 0:
            undamaged = draws.chance(profile.undamaged_prob) or undamaged
    return profile, undamaged


def draw_recipe(
    profile: Profile,
    textures: Textures,
    *,
    seed: int,
    key: str,
    variant: int,
    source_size: tuple[int, int],
    size_px: int,
    crop: str = "square",
) -> Recipe:
    """Draw everything that will happen to one photograph.

    Args:
        profile: Ranges to draw from; a mix first draws one of its parts.
        textures: The pack to choose textures from.
        seed: Seed of the build.
        key: Key of the source photograph.
        variant: Which of its damages this is.
        source_size: (width, height) of the source photograph, in px.
        size_px: Short side of the photograph that is made.
        crop: One of CROPS: a random square, or the whole photograph.

    Returns:
        A recipe that depends on these arguments alone.

    Raises:
        ValueError: If crop is unknown.
    """
    if crop not in CROPS:
        raise ValueError(f"crop {crop!r} is not one of {', '.join(CROPS)}")
    draws = sample_draws(seed, key, variant)
    box, width, height = draw_crop(draws["crop"], source_size, size_px, crop)
    leaf, undamaged = _choose_leaf(draws["profile"], profile)
    frame = draw_frame(draws["frame"], leaf.frame, textures, size_px)
    emulsion = lens = dyes = curve = vignette = grain = halftone = None
    tone = uneven_tone = ageing = copy = None
    marks: tuple[Mark, ...] = ()
    scan = Scan()
    if not undamaged:
        emulsion = draw_emulsion(draws["emulsion"], leaf.emulsion)
        color = has_color(emulsion)
        dye_fade_frac_range = leaf.emulsion.dye_fade_frac_range if color else None
        lens = draw_lens(draws["lens"], leaf.lens)
        dyes = draw_dyes(draws["dyes"], leaf.dyes, textures) if color else None
        curve = draw_curve(draws["curve"], leaf.curve, dye_fade_frac_range)
        vignette = draw_vignette(draws["vignette"], leaf.vignette, size_px)
        grain = draw_grain(draws["grain"], leaf.grain, textures, color)
        halftone = draw_halftone(draws["halftone"], leaf.halftone, textures, color)
        tone = None if color else draw_tone(draws["tone"], leaf.tone)
        if not color:
            uneven = leaf.uneven_tone
            uneven_tone = draw_uneven_tone(draws["uneven_tone"], uneven, textures, size_px)
        ageing = draw_ageing(draws["ageing"], leaf.ageing, textures, size_px)
        marks = draw_marks(draws["marks"], leaf.marks, textures, width, height)
        scan = draw_scan(draws["scan"], leaf.scan, textures)
        copy = draw_copy(draws["copy"], leaf.copy)
    recipe = Recipe(
        seed=seed, key=key, variant=variant, profile=leaf.name, width_px=width, height_px=height,
        crop=box, frame=frame, lens=lens, emulsion=emulsion, dyes=dyes, curve=curve,
        vignette=vignette, grain=grain, halftone=halftone, tone=tone, uneven_tone=uneven_tone,
        ageing=ageing, marks=marks, scan=scan, copy=copy,
    )  # fmt: skip
    digests = {name: textures.info(name).sha256[:DIGEST_LENGTH] for name in name_textures(recipe)}
    return msgspec.structs.replace(recipe, textures=digests)
