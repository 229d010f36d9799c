"""What a period's photographs suffer: named ranges, read from TOML.

A profile either mixes other profiles by weight or gives the ranges of every stage. Ranges
are pairs [low, high]; weights of one section are relative to each other; a `prob` of 0
switches its stage off.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from degrade.errors import ProfileError
from degrade.textures.painters.sheets import MARK_KINDS

Frac = Annotated[float, Meta(ge=0, le=1)]
FracRange = tuple[Frac, Frac]
Weight = Annotated[float, Meta(ge=0, le=1000)]
Px = Annotated[float, Meta(ge=0, le=64)]
PxRange = tuple[Px, Px]
Exponent = Annotated[float, Meta(ge=0.1, le=10)]
ExponentRange = tuple[Exponent, Exponent]
Gain = Annotated[float, Meta(ge=0, le=4)]
GainRange = tuple[Gain, Gain]
Level = Annotated[float, Meta(ge=-1, le=2)]
LevelRange = tuple[Level, Level]
Width = Annotated[float, Meta(ge=64, le=20480)]
WidthRange = tuple[Width, Width]
Quality = Annotated[float, Meta(ge=1, le=100)]
QualityRange = tuple[Quality, Quality]
Num = Annotated[int, Meta(ge=0, le=64)]
NumRange = tuple[Num, Num]

_FOLDER = Path(__file__).resolve().parent / "profiles"


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) == 2 and value[0] > value[1]:
                raise ValueError(f"{name}: low {value[0]} exceeds high {value[1]}")


class LensRanges(_Section, frozen=True, kw_only=True):
    """Lens blur; sigma is log-uniform."""

    prob: Frac = 0.0
    sigma_px_range: PxRange = (0.2, 3.0)
    defocus_prob: Frac = 0.0
    defocus_radius_px_range: PxRange = (1.0, 4.0)
    motion_prob: Frac = 0.0
    motion_length_px_range: PxRange = (2.0, 8.0)


class EmulsionRanges(_Section, frozen=True, kw_only=True):
    """Weights of the kinds of emulsion; jitter of their response; fading of colour dyes."""

    panchromatic: Weight = 0.0
    orthochromatic: Weight = 0.0
    blue_sensitive: Weight = 0.0
    colour: Weight = 1.0
    jitter_frac: Frac = 0.0
    desaturation_frac_range: FracRange = (0.0, 0.0)
    dye_fade_frac_range: FracRange = (0.0, 0.0)


class CurveRanges(_Section, frozen=True, kw_only=True):
    """Characteristic curve; gamma and contrast are log-uniform."""

    prob: Frac = 0.0
    gamma_range: ExponentRange = (1.0, 1.0)
    contrast_range: ExponentRange = (1.0, 1.0)
    gain_range: GainRange = (1.0, 1.0)
    brightness_range: LevelRange = (0.5, 0.5)
    black_range: FracRange = (0.0, 0.0)
    white_range: FracRange = (1.0, 1.0)


class GrainRanges(_Section, frozen=True, kw_only=True):
    """Grain: strength r / σ_f (log-uniform), spread of one grain, share of colour noise."""

    prob: Frac = 0.0
    strength_frac_range: FracRange = (0.03, 0.3)
    sigma_px_range: PxRange = (0.6, 1.5)
    chroma_frac_range: FracRange = (0.0, 0.0)
    multiplicative: bool = False


class VignetteRanges(_Section, frozen=True, kw_only=True):
    """Light fall-off: radial, and linear ramps on one side or on four."""

    radial_prob: Frac = 0.0
    radial_frac_range: FracRange = (0.1, 0.5)
    ramp_prob: Frac = 0.0
    four_sided_prob: Frac = 0.0
    ramp_frac_range: FracRange = (0.1, 0.4)
    ramp_width_frac_range: FracRange = (0.05, 0.4)
    white_prob: Frac = 0.0


class HalftoneRanges(_Section, frozen=True, kw_only=True):
    """Printing screen."""

    prob: Frac = 0.0
    scale_range: ExponentRange = (0.6, 1.4)
    hardness_range: ExponentRange = (1.2, 4.0)


class ToneRanges(_Section, frozen=True, kw_only=True):
    """Weights of the colours of a silver image, and how strong they are."""

    neutral: Weight = 1.0
    sepia: Weight = 0.0
    selenium: Weight = 0.0
    cyanotype: Weight = 0.0
    strength_frac_range: FracRange = (0.3, 1.0)


class AgeingRanges(_Section, frozen=True, kw_only=True):
    """Fading towards the paper and staining (yellow, brown), even or not."""

    fade_prob: Frac = 0.0
    fade_frac_range: FracRange = (0.05, 0.4)
    stain_prob: Frac = 0.0
    stain_frac_range: FracRange = (0.1, 0.6)
    uneven_prob: Frac = 0.5
    uneven_frac_range: FracRange = (0.2, 0.8)
    edge_prob: Frac = 0.2
    edge_width_frac_range: FracRange = (0.05, 0.3)


class FrameRanges(_Section, frozen=True, kw_only=True):
    """The print's own frame."""

    prob: Frac = 0.0
    border: Weight = 1.0
    deckle: Weight = 0.0
    rounded: Weight = 0.0
    mount: Weight = 0.0
    width_frac_range: FracRange = (0.02, 0.08)


class KindRanges(_Section, frozen=True, kw_only=True):
    """One kind of mark: how often it occurs, how many textures, how opaque, how large.

    `light_prob`, where given, replaces that of all marks; what bares the paper (crease, crack,
    peel, tear, corner, chip) is light unless it is given.
    """

    prob: Frac = 0.0
    num_range: NumRange = (1, 1)
    opacity_frac_range: FracRange = (0.4, 1.0)
    size_frac_range: FracRange = (0.1, 0.5)
    light_prob: Frac | None = None


class MarksRanges(_Section, frozen=True, kw_only=True):
    """Physical damage.

    Attributes:
        severity_sigma: Spread of the log-normal factor on probabilities and numbers.
        scan_width_px_range: Width of the virtual scan of the whole print (log-uniform); it
            sets the size of dust, dirt, hair, fibres and scratches.
        light_prob: Chance that specks and scratches are light rather than dark.
        lighten: Whether light marks take the brighter value, as in the first recipe.
        kinds: By name of kind.
    """

    severity_sigma: Annotated[float, Meta(ge=0, le=2)] = 0.0
    scan_width_px_range: WidthRange = (256.0, 5120.0)
    light_prob: Frac = 0.6
    lighten: bool = False
    kinds: dict[str, KindRanges] = {}

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in self.kinds:
            if kind not in MARK_KINDS:
                raise ValueError(f"kinds.{kind}: unknown kind; kinds are {', '.join(MARK_KINDS)}")


class ScanRanges(_Section, frozen=True, kw_only=True):
    """The scan: resampling, halo, sensor noise (deviation), JPEG."""

    resample_prob: Frac = 0.0
    resample_frac_range: tuple[
        Annotated[float, Meta(ge=0.1, le=1)], Annotated[float, Meta(ge=0.1, le=1)]
    ] = (0.5, 0.95)
    sharpen_prob: Frac = 0.0
    sharpen_amount_range: GainRange = (0.2, 1.0)
    sharpen_sigma_px_range: PxRange = (0.6, 1.5)
    noise_prob: Frac = 0.0
    noise_frac_range: FracRange = (0.002, 0.02)
    jpeg_prob: Frac = 0.0
    jpeg_quality_range: QualityRange = (30.0, 95.0)


class Profile(_Section, frozen=True, kw_only=True):
    """A profile.

    Attributes:
        name: Name of the file without its suffix.
        description: One line.
        undamaged_prob: Share of photographs left as they are.
        mix: Other profiles by weight; then every stage here is ignored.
        parts: The profiles of the mix, resolved when loaded.
    """

    name: str = ""
    description: str = ""
    undamaged_prob: Frac = 0.0
    mix: dict[str, Weight] = {}
    parts: dict[str, "Profile"] = {}
    lens: LensRanges = LensRanges()
    emulsion: EmulsionRanges = EmulsionRanges()
    curve: CurveRanges = CurveRanges()
    grain: GrainRanges = GrainRanges()
    vignette: VignetteRanges = VignetteRanges()
    halftone: HalftoneRanges = HalftoneRanges()
    tone: ToneRanges = ToneRanges()
    ageing: AgeingRanges = AgeingRanges()
    frame: FrameRanges = FrameRanges()
    marks: MarksRanges = MarksRanges()
    scan: ScanRanges = ScanRanges()


def _files() -> Iterator[Path]:
    return iter(sorted(_FOLDER.glob("*.toml")))


def list_profiles() -> dict[str, str]:
    """Name and description of every profile that is shipped."""
    return {path.stem: load_profile(path.stem).description for path in _files()}


def profile_text(name: str) -> str:
    """The TOML of a shipped profile.

    Raises:
        ProfileError: If there is none of that name.
    """
    return _path_of(name).read_text(encoding="utf-8")


def _path_of(name_or_path: str) -> Path:
    shipped = _FOLDER / f"{name_or_path}.toml"
    if "/" not in name_or_path and shipped.is_file():
        return shipped
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        return path
    names = ", ".join(p.stem for p in _files())
    raise ProfileError(f"{name_or_path}: no such profile or file; profiles are {names}")


def load_profile(name_or_path: str) -> Profile:
    """Load a shipped profile by name, or one's own by path.

    Args:
        name_or_path: A name from `list_profiles`, or a TOML file.

    Raises:
        ProfileError: If it is missing or wrong; the message names file, key and allowed range.
    """
    return _load(name_or_path, ())


def _load(name_or_path: str, above: tuple[Path, ...]) -> Profile:
    path = _path_of(name_or_path)
    if path in above:
        raise ProfileError(f"{path}: the mix contains itself")
    try:
        profile = msgspec.toml.decode(path.read_bytes(), type=Profile)
    except OSError as error:
        raise ProfileError(f"{path}: {error.strerror or error}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        text = str(error).replace("$.", "")
        raise ProfileError(f"{path}: {text}") from error
    for reserved in ("name", "parts"):
        if getattr(profile, reserved):
            raise ProfileError(f"{path}: {reserved} is set by the program; remove it")
    if profile.mix and sum(profile.mix.values()) <= 0:
        raise ProfileError(f"{path}: mix: at least one weight must exceed 0")
    parts = {}
    for part in sorted(profile.mix):
        beside = path.parent / f"{part}.toml"
        parts[part] = _load(str(beside) if beside.is_file() else part, (*above, path))
    return msgspec.structs.replace(profile, name=path.stem, parts=parts)


def profile_to_json(profile: Profile) -> bytes:
    """A profile in full, its parts included, as canonical JSON."""
    return msgspec.json.encode(profile, order="sorted")
