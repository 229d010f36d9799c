"""The exact parameters of one damaged photograph, as a record and as JSON.

Lengths are in pixels of the photograph as it was built (`width_px` × `height_px`); rendering
at another size scales them. A stage that is None does not happen.
"""

import msgspec

FORMAT_VERSION = 1

Rgb = tuple[float, float, float]
"""A colour, each channel in [0, 1]."""


class _Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every record of a recipe."""


class Crop(_Record, frozen=True, kw_only=True):
    """The part of the source photograph that is used, in fractions of its sides."""

    left_frac: float = 0.0
    top_frac: float = 0.0
    right_frac: float = 1.0
    bottom_frac: float = 1.0


class Frame(_Record, frozen=True, kw_only=True):
    """The print's own frame, on clean and damaged alike.

    Attributes:
        kind: border, deckle, rounded or mount (a card with an opening).
        left_px: Width of the frame on the left; the others likewise.
        radius_px: Radius of the rounded corners of the picture.
        deckle_px: Depth of the ragged outer edge.
        oval: Whether a mount's opening is an ellipse.
        paper: Colour of the frame.
        backdrop: Colour outside the print's edge, as the scanner sees it.
        texture: Field whose rows shape the ragged edge.
        texture_x_px: Offset into it.
    """

    kind: str
    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    radius_px: float = 0.0
    deckle_px: float = 0.0
    oval: bool = False
    paper: Rgb = (1.0, 1.0, 1.0)
    backdrop: Rgb = (1.0, 1.0, 1.0)
    texture: str = ""
    texture_x_px: int = 0


class Lens(_Record, frozen=True, kw_only=True):
    """Blur of the taking lens: Gaussian, then defocus disc, then motion along a line."""

    sigma_px: float = 0.0
    defocus_radius_px: float = 0.0
    motion_length_px: float = 0.0
    motion_angle_deg: float = 0.0


class Emulsion(_Record, frozen=True, kw_only=True):
    """What the emulsion makes of colours: a 3×3 matrix over RGB.

    Attributes:
        kind: panchromatic, orthochromatic, blue-sensitive (three equal rows) or colour.
        matrix: Three rows, each the weights of red, green and blue in one output channel.
    """

    kind: str
    matrix: tuple[Rgb, Rgb, Rgb]


class Curve(_Record, frozen=True, kw_only=True):
    """Characteristic curve, one value per channel.

    y = black + (white − black) · S(clip(gain · (x^gamma − ½) + brightness)), where
    S(t) = t^contrast / (t^contrast + (1 − t)^contrast).
    """

    gamma: Rgb = (1.0, 1.0, 1.0)
    gain: Rgb = (1.0, 1.0, 1.0)
    brightness: Rgb = (0.5, 0.5, 0.5)
    contrast: float = 1.0
    black: Rgb = (0.0, 0.0, 0.0)
    white: Rgb = (1.0, 1.0, 1.0)


class Vignette(_Record, frozen=True, kw_only=True):
    """Uneven light: darkens (or whitens) towards the sides.

    Attributes:
        white: Whether it whitens instead of darkening.
        radial_frac: Strength at the corners of the radial part.
        inner_frac: Where it begins, in fractions of the half diagonal.
        centre_x_frac: Centre of the radial part.
        centre_y_frac: Likewise.
        ramps_px: Widths of four linear ramps: left, top, right, bottom (0: none).
        ramp_frac: Strength of the ramps at the edge.
    """

    white: bool = False
    radial_frac: float = 0.0
    inner_frac: float = 0.3
    centre_x_frac: float = 0.5
    centre_y_frac: float = 0.5
    ramps_px: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    ramp_frac: float = 0.0


class Grain(_Record, frozen=True, kw_only=True):
    """Film grain: a texture of unit deviation times a strength that follows the tone.

    Attributes:
        texture: Name of the tile.
        x_px: Crop offset into it.
        y_px: Likewise.
        flip: Whether it is mirrored.
        strength_frac: Grain radius over filter spread (r / σ_f); multiplies the table σ(u).
        chroma_frac: Share of independent noise per colour channel; 0 for silver.
        law: boolean (σ follows the Boolean model) or multiplicative (the first recipe:
            x · (1 − strength · noise)).
    """

    texture: str
    x_px: int
    y_px: int
    flip: bool = False
    strength_frac: float
    chroma_frac: float = 0.0
    law: str = "boolean"


class Halftone(_Record, frozen=True, kw_only=True):
    """Printing screen: ink where the tone is darker than the screen's threshold."""

    texture: str
    x_px: int
    y_px: int
    scale: float
    hardness: float


class Tone(_Record, frozen=True, kw_only=True):
    """Colour of the silver image: what black, middle grey and white become."""

    kind: str
    shadow: Rgb
    middle: Rgb
    highlight: Rgb


class Ageing(_Record, frozen=True, kw_only=True):
    """Fading towards a colour and staining by another, uneven over the print.

    x ← x + a (fade_colour − x) with a = fade_frac · e, then x ← x · (1 − b (1 − stain_colour))
    with b = stain_frac · e. The field e = 1 − uneven + uneven · (texture + edge ramp).
    """

    fade_frac: float = 0.0
    fade_colour: Rgb = (1.0, 1.0, 1.0)
    stain_frac: float = 0.0
    stain_colour: Rgb = (1.0, 1.0, 1.0)
    uneven_frac: float = 0.0
    edge_px: float = 0.0
    texture: str = ""
    x_frac: float = 0.0
    y_frac: float = 0.0


class Mark(_Record, frozen=True, kw_only=True):
    """One texture of physical damage laid upon the print.

    A sheet covers the photograph: `scale` photograph px per texture px, from offset
    (x_px, y_px). A sprite fills a box given in fractions of the photograph's sides.

    Attributes:
        blend: over (opacity · ink) or lighten (the brighter of the two).
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
    blend: str = "over"


class Scan(_Record, frozen=True, kw_only=True):
    """The scan: resampling, sharpening, sensor noise, and the quality of the stored JPEG.

    Attributes:
        resample_frac: Size of the low-resolution copy; 1 for none.
        sharpen_amount: Weight of the sharpening halo.
        sharpen_sigma_px: Its spread.
        noise_frac: Deviation of the sensor noise.
        noise_texture: Tile that it comes from.
        noise_x_px: Offset into the tile.
        noise_y_px: Likewise.
        jpeg_quality: Quality at which the damaged photograph is stored; 0: no JPEG loss asked
            for, stored at 95.
    """

    resample_frac: float = 1.0
    sharpen_amount: float = 0.0
    sharpen_sigma_px: float = 1.0
    noise_frac: float = 0.0
    noise_texture: str = ""
    noise_x_px: int = 0
    noise_y_px: int = 0
    jpeg_quality: int = 0


class Recipe(_Record, frozen=True, kw_only=True):
    """Everything that was done to one photograph.

    Attributes:
        format_version: Version of this record.
        seed: Seed of the build.
        key: Key of the source photograph.
        variant: Which of its damages this is.
        profile: Name of the profile whose ranges were drawn from.
        textures: Digests of the textures used, by name.
    """

    format_version: int = FORMAT_VERSION
    seed: int
    key: str
    variant: int
    profile: str
    width_px: int
    height_px: int
    crop: Crop
    frame: Frame | None = None
    lens: Lens | None = None
    emulsion: Emulsion | None = None
    curve: Curve | None = None
    vignette: Vignette | None = None
    grain: Grain | None = None
    halftone: Halftone | None = None
    tone: Tone | None = None
    ageing: Ageing | None = None
    marks: tuple[Mark, ...] = ()
    scan: Scan = Scan()
    textures: dict[str, str] = {}


_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Recipe)


def encode_recipe(recipe: Recipe) -> bytes:
    """A recipe as canonical JSON: sorted keys, no spaces, UTF-8."""
    return _ENCODER.encode(recipe)


def decode_recipe(encoded: bytes) -> Recipe:
    """The recipe that `encode_recipe` wrote.

    Raises:
        msgspec.MsgspecError: If it isn't one; the message names the field.
    """
    return _DECODER.decode(encoded)
