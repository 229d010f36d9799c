"""The building blocks of recipes and profiles: their base classes, and the units of ranges.

A stage's *record* holds what happens to one photograph; it is part of the recipe. A stage's
*ranges* hold what may happen; they are part of a profile.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

Rgb = tuple[float, float, float]
"""A colour, each channel in [0, 1]."""

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


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every record of a recipe."""


class Ranges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section of a profile; no range may begin above its end."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) == 2 and value[0] > value[1]:
                raise ValueError(f"{name}: low {value[0]} exceeds high {value[1]}")

    def refuse_no_weight(self, *names: str) -> None:
        """One of several weights must exceed 0, or there is nothing to choose.

        Raises:
            ValueError: If none does.
        """
        if not any(getattr(self, name) for name in names):
            raise ValueError(f"{', '.join(names)}: at least one weight must exceed 0")
