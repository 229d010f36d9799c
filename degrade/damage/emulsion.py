"""What the emulsion makes of colours: silver of three sensitivities, or dyes."""

import cv2
import numpy as np

from degrade.arrays import Deep, Photo, split_photo
from degrade.damage.streams import Draws
from degrade.schema import Frac, FracRange, Ranges, Record, Rgb, Weight

_SPECTRA: dict[str, Rgb] = {
    # Sensitivity to red, green and blue.
    "panchromatic": (0.30, 0.59, 0.11),
    "orthochromatic": (0.0, 0.5, 0.5),
    "blue_sensitive": (0.0, 0.1, 0.9),
}


class EmulsionRanges(Ranges, frozen=True, kw_only=True):
    """Weights of the kinds of emulsion; jitter of their response; fading of colour dyes."""

    panchromatic: Weight = 0.0
    orthochromatic: Weight = 0.0
    blue_sensitive: Weight = 0.0
    colour: Weight = 1.0
    jitter_frac: Frac = 0.0
    desaturation_frac_range: FracRange = (0.0, 0.0)
    dye_fade_frac_range: FracRange = (0.0, 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.refuse_no_weight("panchromatic", "orthochromatic", "blue_sensitive", "colour")


class Emulsion(Record, frozen=True, kw_only=True):
    """What the emulsion makes of colours: a 3×3 matrix over RGB.

    Attributes:
        kind: panchromatic, orthochromatic, blue_sensitive (three equal rows) or colour.
        matrix: Three rows, each the weights of red, green and blue in one output channel.
    """

    kind: str
    matrix: tuple[Rgb, Rgb, Rgb]


def draw_emulsion(draws: Draws, ranges: EmulsionRanges) -> Emulsion | None:
    """Draw an emulsion; None keeps the colours as they are."""
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


def has_color(emulsion: Emulsion | None) -> bool:
    """Whether a photograph is still in colour behind an emulsion."""
    return emulsion is None or emulsion.kind == "colour"


def respond(photo: Photo, emulsion: Emulsion | None) -> Deep:
    """Expose an emulsion.

    Args:
        photo: (H, W, 3) RGB.
        emulsion: None keeps the colours.

    Returns:
        16 bit; (H, W) where the three rows of the matrix are equal, else (3, H, W).
    """
    if emulsion is None:
        planes = split_photo(photo).astype(np.uint16)
        planes *= np.uint16(257)
        return planes
    # OpenCV works in float32 here. Weights of eight fractional bits make every sum of an emulsion
    # exact in its 24, so that neither the order nor fused multiplication matters.
    weights = np.rint(np.array(emulsion.matrix) * (257 * 256)).astype(np.float32) / np.float32(256)
    exposed = cv2.transform(photo.astype(np.uint16), weights)
    rows = emulsion.matrix
    if rows[0] == rows[1] == rows[2]:
        return np.asarray(cv2.extractChannel(exposed, 0), np.uint16)
    planes = np.empty((3, *photo.shape[:2]), np.uint16)
    cv2.split(exposed, list(planes))
    return planes
