"""The exact parameters of one damaged photograph, as a record and as JSON.

Lengths are in pixels of the photograph as it was built (`width_px` × `height_px`); rendering
at another size scales them. A stage that is None does not happen. Each stage's own record stands
in its file under `degrade.damage`.
"""

from typing import Annotated, Literal

import msgspec

from degrade.damage.ageing import Ageing
from degrade.damage.copy import Copy
from degrade.damage.crop import Crop
from degrade.damage.curve import Curve
from degrade.damage.dyes import Dyes
from degrade.damage.emulsion import Emulsion
from degrade.damage.frame import Frame
from degrade.damage.grain import Grain
from degrade.damage.halftone import Halftone
from degrade.damage.lens import Lens
from degrade.damage.marks.records import Mark
from degrade.damage.scan import Scan
from degrade.damage.tone import Tone
from degrade.damage.uneven_tone import UnevenTone
from degrade.damage.vignette import Vignette
from degrade.schema import Record

FORMAT_VERSION: Literal[1] = 1
DIGEST_LENGTH = 16
"""So much of a texture's digest a recipe keeps."""

_SidePx = Annotated[int, msgspec.Meta(ge=1)]


class Recipe(Record, frozen=True, kw_only=True):
    """Everything that was done to one photograph.

    Attributes:
        format_version: Version of this record.
        seed: Seed of the build.
        key: Key of the source photograph.
        variant: Which of its damages this is.
        profile: Name of the profile whose ranges were drawn from.
        textures: Digests of the textures used, by name.
    """

    format_version: Literal[1] = FORMAT_VERSION
    seed: int
    key: str
    variant: int
    profile: str
    width_px: _SidePx
    height_px: _SidePx
    crop: Crop
    frame: Frame | None = None
    lens: Lens | None = None
    emulsion: Emulsion | None = None
    dyes: Dyes | None = None
    curve: Curve | None = None
    vignette: Vignette | None = None
    grain: Grain | None = None
    halftone: Halftone | None = None
    tone: Tone | None = None
    uneven_tone: UnevenTone | None = None
    ageing: Ageing | None = None
    marks: tuple[Mark, ...] = ()
    scan: Scan = Scan()
    copy: Copy | None = None
    textures: dict[str, str] = msgspec.field(default_factory=dict)


_LATER_STAGES = frozenset({"copy", "dyes", "uneven_tone"})
"""Stages that early recipes don't know: they aren't written where they don't happen, so that the
recipes of older profiles keep their bytes."""

_ENCODER = msgspec.json.Encoder(order="sorted")
_DECODER = msgspec.json.Decoder(Recipe)


def name_textures(recipe: Recipe) -> list[str]:
    """The textures that a recipe needs, sorted."""
    parts = (recipe.frame, recipe.dyes, recipe.grain, recipe.halftone, recipe.uneven_tone)
    records = (*parts, recipe.ageing, *recipe.marks)
    names = {record.texture for record in records if record} | {recipe.scan.noise_texture}
    return sorted(names - {""})


def encode_recipe(recipe: Recipe) -> bytes:
    """A recipe as canonical JSON: sorted keys, no spaces, UTF-8."""
    fields = {name: getattr(recipe, name) for name in recipe.__struct_fields__}
    absent = [name for name in _LATER_STAGES if fields[name] is None]
    return _ENCODER.encode({name: fields[name] for name in fields if name not in absent})


def decode_recipe(encoded: bytes) -> Recipe:
    """The recipe that `encode_recipe` wrote.

    Raises:
        msgspec.MsgspecError: If it isn't one; the message names the field.
    """
    return _DECODER.decode(encoded)
