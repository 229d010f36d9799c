"""What a profile says of marks, and what a recipe does."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType, field

from degrade.schema import Frac, FracRange, NumRange, Ranges, Record, Rgb, WidthRange
from degrade.textures.kinds import KINDS


class KindRanges(Ranges, frozen=True, kw_only=True):
    """One kind of mark: how often it occurs, how many textures, how opaque, how large.

    `light_prob`, where given, replaces that of all marks; what bares the paper (crease, crack,
    peel, tear, corner, chip, fold, wear, flake) is light unless it is given. `size_frac_range` is
    of the photograph's width, for marks that have a place of their own; those that cross it are as
    long as it is. `rim_prob` is the chance of a shadow along one side.
    """

    prob: Frac = 0.0
    num_range: NumRange = (1, 1)
    opacity_frac_range: FracRange = (0.4, 1.0)
    size_frac_range: FracRange = (0.1, 0.5)
    light_prob: Frac | None = None
    rim_prob: Frac = 0.0


class MarksRanges(Ranges, frozen=True, kw_only=True):
    """Physical damage.

    Attributes:
        severity_sigma: Spread of the log-normal factor by which one photograph's probabilities of
            all kinds are multiplied.
        severity_in_numbers: Whether the numbers of its marks are multiplied, too, by the square
            root of that factor: together the two spread as the counts of real scans do.
        foxing_below: Whether foxing, which grows in the paper, lies below all other marks; older
            profiles have it above dust.
        scan_width_px_range: Width of the virtual scan of the whole print (log-uniform); it
            sets the size of dust, dirt, hair, fibres, scratches and foxing.
        light_prob: Chance that specks, hairs, threads, scratches and fingerprints are light rather
            than dark.
        lighten: Whether light marks take the brighter value, as in the first recipe.
        kinds: By name of kind.
    """

    severity_sigma: Annotated[float, Meta(ge=0, le=2)] = 0.0
    severity_in_numbers: bool = False
    foxing_below: bool = False
    scan_width_px_range: WidthRange = (256.0, 5120.0)
    light_prob: Frac = 0.6
    lighten: bool = False
    kinds: dict[str, KindRanges] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in self.kinds:
            if kind not in KINDS:
                raise ValueError(f"kinds.{kind}: unknown kind; kinds are {', '.join(KINDS)}")


class Rim(Record, frozen=True, kw_only=True):
    """The shadow along one side of a mark, where paper or emulsion stands up.

    Attributes:
        opacity_frac: How dark it is.
        width_px: Its softness.
        x_px: How far it lies to the right of the mark.
        y_px: How far it lies below.
        ink: Its colour.
    """

    opacity_frac: float
    width_px: float
    x_px: float
    y_px: float
    ink: Rgb


class Mark(Record, frozen=True, kw_only=True):
    """One texture of physical damage laid upon the print.

    A sheet covers the photograph: `scale` photograph px per texture px, from offset
    (x_px, y_px). A sprite fills a box given in fractions of the photograph's sides.

    Attributes:
        blend: over (opacity · ink) or lighten (the brighter of the two).
        rim: Its shadow. Unset rather than None where there is none: early recipes don't know it,
            and keep their bytes.
    """

    kind: str
    texture: str
    x_px: int = 0
    y_px: int = 0
    scale: float = 1.0
    box: tuple[float, float, float, float] | None = None
    quarter_turns: int = 0
    flip: bool = False
    opacity_frac: float = 1.0
    ink: Rgb = (1.0, 1.0, 1.0)
    blend: Literal["over", "lighten"] = "over"
    rim: Rim | UnsetType = UNSET
