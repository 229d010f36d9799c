"""Every random draw: from a profile's ranges to the recipe of one photograph."""

from degrade.damage.marks.draw import draw_marks
from degrade.damage.streams import Draws, sample_draws
from degrade.profile import Profile
from degrade.recipe import (
    Ageing,
    Crop,
    Curve,
    Emulsion,
    Frame,
    Grain,
    Halftone,
    Lens,
    Mark,
    Recipe,
    Rgb,
    Scan,
    Tone,
    Vignette,
)
from degrade.textures.pack import Textures

CROPS = ("square", "whole")

_SPECTRA: dict[str, Rgb] = {
    # Sensitivity to red, green and blue.
    "panchromatic": (0.30, 0.59, 0.11),
    "orthochromatic": (0.0, 0.5, 0.5),
    "blue_sensitive": (0.0, 0.1, 0.9),
}
_TONES: dict[str, tuple[Rgb, Rgb, Rgb]] = {
    "sepia": ((0.13, 0.07, 0.03), (0.58, 0.49, 0.37), (0.97, 0.91, 0.78)),
    "selenium": ((0.09, 0.05, 0.08), (0.52, 0.49, 0.51), (0.98, 0.97, 0.95)),
    "cyanotype": ((0.03, 0.10, 0.30), (0.32, 0.50, 0.66), (0.94, 0.97, 0.98)),
}


def _draw_crop(
    draws: Draws, source_size: tuple[int, int], size_px: int, crop: str
) -> tuple[Crop, int, int]:
    width, height = source_size
    if crop == "whole":
        scale = size_px / min(width, height)
        return Crop(), max(1, round(width * scale)), max(1, round(height * scale))
    # A square of the photograph, slightly stretched either way: some sources were squashed
    # to a square, and prints are not always shown at their true ratio.
    side = min(width, height) * draws.uniform((0.65, 1.0))
    stretch = draws.log_uniform((0.8, 1.25))
    box_width = min(side * max(1.0, stretch), width)
    box_height = min(side * max(1.0, 1 / stretch), height)
    left = draws.unit() * (1 - box_width / width)
    # Heads are near the top.
    top = draws.unit() ** 1.5 * (1 - box_height / height)
    box = Crop(
        left_frac=round(left, 6),
        top_frac=round(top, 6),
        right_frac=round(left + box_width / width, 6),
        bottom_frac=round(top + box_height / height, 6),
    )
    return box, size_px, size_px


def _draw_frame(draws: Draws, profile: Profile, textures: Textures, short_px: int) -> Frame | None:
    ranges = profile.frame
    if not draws.chance(ranges.prob):
        return None
    names = ("border", "deckle", "rounded", "mount")
    kind = draws.pick({name: getattr(ranges, name) for name in names})
    width = draws.uniform(ranges.width_frac_range) * short_px
    sides = [width * draws.uniform((0.8, 1.2)) for _ in range(4)]
    # The print rarely fills the scan evenly: some sides may be cut off.
    sides = [side if draws.chance(0.85) else 0.0 for side in sides]
    paper = draws.tint((0.90, 0.88, 0.83), (1.0, 1.0, 1.0))
    backdrop = draws.tint((0.02, 0.02, 0.02), (1.0, 1.0, 1.0))
    radius, deckle, oval = 0.0, 0.0, False
    if kind == "rounded":
        radius = short_px * draws.uniform((0.03, 0.1))
        sides = [side * 0.3 for side in sides]
        paper = backdrop
    elif kind == "deckle":
        deckle = short_px * draws.uniform((0.006, 0.02))
    elif kind == "mount":
        sides = [side * 1.6 for side in sides]
        sides[3] *= draws.uniform((1.0, 2.0))
        oval = draws.chance(0.25)
        paper = draws.tint((0.25, 0.20, 0.16), (0.95, 0.92, 0.85))
    fields = textures.of_kind("field")
    info = draws.texture(fields) if fields else None
    left, top, right, bottom = (round(side, 3) for side in sides)
    return Frame(
        kind=kind,
        left_px=left,
        top_px=top,
        right_px=right,
        bottom_px=bottom,
        radius_px=round(radius, 3),
        deckle_px=round(deckle, 3) if info else 0.0,
        oval=oval,
        paper=paper,
        backdrop=backdrop,
        texture=info.name if info else "",
        texture_x_px=draws.offset(),
    )


def _draw_lens(draws: Draws, profile: Profile) -> Lens | None:
    ranges = profile.lens
    blur, defocus = draws.chance(ranges.prob), draws.chance(ranges.defocus_prob)
    motion = draws.chance(ranges.motion_prob)
    sigma = draws.log_uniform(ranges.sigma_px_range)
    radius = draws.uniform(ranges.defocus_radius_px_range)
    length = draws.uniform(ranges.motion_length_px_range)
    angle = draws.uniform((0, 180))
    if not (blur or defocus or motion):
        return None
    return Lens(
        sigma_px=sigma if blur else 0.0,
        defocus_radius_px=radius if defocus else 0.0,
        motion_length_px=length if motion else 0.0,
        motion_angle_deg=angle if motion else 0.0,
    )


def _draw_emulsion(draws: Draws, profile: Profile) -> Emulsion | None:
    ranges = profile.emulsion
    kind = draws.pick({name: getattr(ranges, name) for name in (*_SPECTRA, "colour")})
    if kind in _SPECTRA:
        jitter = ranges.jitter_frac
        raw = [max(w + jitter * (draws.unit() - 0.5), 0.0) for w in _SPECTRA[kind]]
        total = sum(raw)
        red, green, blue = (round(w / total, 6) for w in raw)
        row = (red, green, blue)
        return Emulsion(kind=kind, matrix=(row, row, row))
    grey = draws.uniform(ranges.desaturation_frac_range)
    spread = draws.uniform(ranges.dye_fade_frac_range) * 0.3
    if grey == 0 and spread == 0:
        return None
    # Dyes that lose their purity let each layer show through in the others.
    matrix = []
    for c in range(3):
        leak = [draws.unit() * spread if i != c else 0.0 for i in range(3)]
        leak[c] = 1 - sum(leak)
        red, green, blue = (
            round(grey * grey_weight + (1 - grey) * share, 6)
            for grey_weight, share in zip(_SPECTRA["panchromatic"], leak, strict=True)
        )
        matrix.append((red, green, blue))
    return Emulsion(kind=kind, matrix=(matrix[0], matrix[1], matrix[2]))


def _draw_curve(draws: Draws, profile: Profile, colour: bool) -> Curve | None:
    ranges = profile.curve
    happens = draws.chance(ranges.prob)
    gamma, contrast = (
        draws.log_uniform(ranges.gamma_range),
        draws.log_uniform(ranges.contrast_range),
    )
    gain, brightness = draws.uniform(ranges.gain_range), draws.uniform(ranges.brightness_range)
    black, white = draws.uniform(ranges.black_range), draws.uniform(ranges.white_range)
    # Each dye fades at its own pace: cyan and yellow go before magenta, the picture reddens.
    fade = draws.uniform(profile.emulsion.dye_fade_frac_range) if colour else 0.0
    shares = [draws.uniform((0.0, 0.35)), draws.uniform((0.3, 1.0)), draws.uniform((0.3, 1.0))]
    if draws.chance(0.3):
        shares = shares[::-1]
    if not happens and fade == 0:
        return None
    if not happens:
        gamma = contrast = gain = white = 1.0
        brightness, black = 0.5, 0.0
    white = max(white, black + 0.2)

    def per_channel(value: float, slope: float) -> Rgb:
        red, green, blue = (round(value + slope * fade * share, 6) for share in shares)
        return red, green, blue

    return Curve(
        gamma=per_channel(gamma, 0.35),
        gain=(gain, gain, gain),
        brightness=(brightness, brightness, brightness),
        contrast=contrast,
        black=per_channel(black, 0.12),
        white=per_channel(min(white, 1.0), -0.28),
    )


def _draw_vignette(draws: Draws, profile: Profile, short_px: int) -> Vignette | None:
    ranges = profile.vignette
    radial, ramp = draws.chance(ranges.radial_prob), draws.chance(ranges.ramp_prob)
    white, four = draws.chance(ranges.white_prob), draws.chance(ranges.four_sided_prob)
    radial_frac = draws.uniform(ranges.radial_frac_range)
    inner, x, y = (
        draws.uniform((0.2, 0.6)),
        draws.uniform((0.35, 0.65)),
        draws.uniform((0.35, 0.65)),
    )
    ramp_frac = draws.uniform(ranges.ramp_frac_range)
    widths = [round(draws.uniform(ranges.ramp_width_frac_range) * short_px, 3) for _ in range(4)]
    side = draws.whole((0, 3))
    if not (radial or ramp):
        return None
    if not four:
        widths = [width * 2 if i == side else 0.0 for i, width in enumerate(widths)]
    return Vignette(
        white=white,
        radial_frac=radial_frac if radial else 0.0,
        inner_frac=inner,
        centre_x_frac=x,
        centre_y_frac=y,
        ramps_px=(widths[0], widths[1], widths[2], widths[3]) if ramp else (0.0, 0.0, 0.0, 0.0),
        ramp_frac=ramp_frac if ramp else 0.0,
    )


def _draw_grain(draws: Draws, profile: Profile, textures: Textures, colour: bool) -> Grain | None:
    ranges = profile.grain
    low, high = ranges.sigma_px_range
    infos = textures.of_kind("grain")
    infos = tuple(i for i in infos if low <= i.sigma_px <= high) or infos
    happens = draws.chance(ranges.prob)
    if not happens or not infos:
        return None
    return Grain(
        texture=draws.texture(infos).name,
        x_px=draws.offset(),
        y_px=draws.offset(),
        flip=draws.chance(0.5),
        strength_frac=draws.log_uniform(ranges.strength_frac_range),
        chroma_frac=draws.uniform(ranges.chroma_frac_range) if colour else 0.0,
        law="multiplicative" if ranges.multiplicative else "boolean",
    )


def _draw_halftone(draws: Draws, profile: Profile, textures: Textures) -> Halftone | None:
    ranges = profile.halftone
    infos = textures.of_kind("screen")
    if not draws.chance(ranges.prob) or not infos:
        return None
    return Halftone(
        texture=draws.texture(infos).name,
        x_px=draws.offset(),
        y_px=draws.offset(),
        scale=draws.uniform(ranges.scale_range),
        hardness=draws.log_uniform(ranges.hardness_range),
    )


def _draw_tone(draws: Draws, profile: Profile) -> Tone | None:
    ranges = profile.tone
    kind = draws.pick({name: getattr(ranges, name) for name in (*_TONES, "neutral")})
    strength = draws.uniform(ranges.strength_frac_range)
    jitter = [0.05 * (draws.unit() - 0.5) for _ in range(3)]
    if kind == "neutral":
        return None

    def toned(grey: float, colour: Rgb) -> Rgb:
        red, green, blue = (
            round(min(max(grey + strength * (c - grey + j), 0.0), 1.0), 5)
            for c, j in zip(colour, jitter, strict=True)
        )
        return red, green, blue

    shadow, middle, highlight = _TONES[kind]
    return Tone(
        kind=kind,
        shadow=toned(0.0, shadow),
        middle=toned(0.5, middle),
        highlight=toned(1.0, highlight),
    )


def _draw_ageing(
    draws: Draws, profile: Profile, textures: Textures, short_px: int
) -> Ageing | None:
    ranges = profile.ageing
    fade, stain = draws.chance(ranges.fade_prob), draws.chance(ranges.stain_prob)
    uneven, edge = draws.chance(ranges.uneven_prob), draws.chance(ranges.edge_prob)
    fade_frac = draws.uniform(ranges.fade_frac_range)
    stain_frac = draws.uniform(ranges.stain_frac_range)
    uneven_frac = draws.uniform(ranges.uneven_frac_range)
    edge_px = draws.uniform(ranges.edge_width_frac_range) * short_px
    fade_colour = draws.tint((0.72, 0.66, 0.55), (0.93, 0.91, 0.86))
    stain_colour = draws.tint((0.72, 0.52, 0.28), (0.98, 0.93, 0.76))
    infos = textures.of_kind("field")
    if not (fade or stain):
        return None
    return Ageing(
        fade_frac=fade_frac if fade else 0.0,
        fade_colour=fade_colour,
        stain_frac=stain_frac if stain else 0.0,
        stain_colour=stain_colour,
        uneven_frac=uneven_frac if uneven and infos else 0.0,
        edge_px=round(edge_px, 3) if edge else 0.0,
        texture=draws.texture(infos).name if uneven and infos else "",
        x_frac=draws.uniform((0, 1)),
        y_frac=draws.uniform((0, 1)),
    )


def _draw_scan(draws: Draws, profile: Profile, textures: Textures) -> Scan:
    ranges = profile.scan
    resamples, sharpens = draws.chance(ranges.resample_prob), draws.chance(ranges.sharpen_prob)
    noisy, jpeg = draws.chance(ranges.noise_prob), draws.chance(ranges.jpeg_prob)
    infos = textures.of_kind("grain")
    return Scan(
        resample_frac=draws.uniform(ranges.resample_frac_range) if resamples else 1.0,
        sharpen_amount=draws.uniform(ranges.sharpen_amount_range) if sharpens else 0.0,
        sharpen_sigma_px=draws.uniform(ranges.sharpen_sigma_px_range),
        noise_frac=draws.log_uniform(ranges.noise_frac_range) if noisy and infos else 0.0,
        noise_texture=infos[0].name if noisy and infos else "",
        noise_x_px=draws.offset(),
        noise_y_px=draws.offset(),
        jpeg_quality=round(draws.uniform(ranges.jpeg_quality_range)) if jpeg else 0,
    )


def _leaf(draws: Draws, profile: Profile) -> Profile:
    while profile.mix:
        profile = profile.parts[draws.pick(profile.mix)]
    return profile


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
    box, width, height = _draw_crop(draws["crop"], source_size, size_px, crop)
    undamaged = draws["profile"].chance(profile.undamaged_prob)
    leaf = _leaf(draws["profile"], profile)
    frame = _draw_frame(draws["frame"], leaf, textures, size_px)
    emulsion = lens = curve = vignette = grain = halftone = tone = ageing = None
    marks: tuple[Mark, ...] = ()
    scan = Scan()
    if not undamaged:
        emulsion = _draw_emulsion(draws["emulsion"], leaf)
        colour = emulsion is None or emulsion.kind == "colour"
        lens = _draw_lens(draws["lens"], leaf)
        curve = _draw_curve(draws["curve"], leaf, colour)
        vignette = _draw_vignette(draws["vignette"], leaf, size_px)
        grain = _draw_grain(draws["grain"], leaf, textures, colour)
        halftone = _draw_halftone(draws["halftone"], leaf, textures)
        tone = None if colour else _draw_tone(draws["tone"], leaf)
        ageing = _draw_ageing(draws["ageing"], leaf, textures, size_px)
        marks = draw_marks(draws["marks"], leaf, textures, width, height)
        scan = _draw_scan(draws["scan"], leaf, textures)
    names = {record.texture for record in (frame, grain, halftone, ageing, *marks) if record}
    names = (names | {scan.noise_texture}) - {""}
    return Recipe(
        seed=seed, key=key, variant=variant, profile=leaf.name, width_px=width, height_px=height,
        crop=box, frame=frame, lens=lens, emulsion=emulsion, curve=curve, vignette=vignette,
        grain=grain, halftone=halftone, tone=tone, ageing=ageing, marks=marks, scan=scan,
        textures={name: textures.info(name).sha256[:16] for name in sorted(names)},
    )  # fmt: skip
