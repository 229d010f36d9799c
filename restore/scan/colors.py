"""What a photograph's samples mean: its profile, or what else tells its colours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pyvips

from restore.scan.icc import read_png_colors
from restore.scan.profiles import ColorSpace, Srgb, is_whole_profile, read_profile


@dataclass
class Colors:
    """How samples are to be understood, and written again.

    Attributes:
        space: What the samples mean, after `convert`.
        icc: The profile that says so; None if the file has none.
        convert: Takes colours that can't be undone to sRGB; None for all others.
        notices: Lines for the user.
    """

    space: ColorSpace = field(default_factory=Srgb)
    icc: bytes | None = None
    convert: Callable[[pyvips.Image], pyvips.Image] | None = None
    notices: list[str] = field(default_factory=list)


def srgb_profile() -> bytes:
    """The ICC profile of sRGB."""
    return bytes(pyvips.Image.profile_load("srgb"))


def take_profile(icc: bytes | None, num_bands: int, *, deep: bool) -> Colors:
    """Colours by a profile.

    Args:
        icc: As it stands in the file, or is made of what else tells the colours.
        num_bands: 1 (grey) or 3 (RGB).
        deep: Whether samples have 16 bits.
    """
    if icc is None:
        return Colors()
    size = int.from_bytes(icc[:4], "big")
    icc = icc[:size] if size >= 132 else icc  # some writers pad
    if not is_whole_profile(icc):
        return Colors(notices=["its colour profile is damaged and is left out"])
    profile = read_profile(icc)
    if profile is not None and len(profile.curves) == num_bands:
        return Colors(Srgb() if profile.is_srgb else profile, icc)
    if icc[16:20] != (b"RGB " if num_bands == 3 else b"GRAY"):
        return Colors(notices=["its colour profile doesn't fit and is left out"])
    if num_bands == 1:
        return Colors(icc=icc)
    notice = "its colour profile can't be undone; written as sRGB"
    return convert_to_srgb("srgb", deep=deep, notice=notice)


def convert_to_srgb(fallback: str, *, deep: bool, notice: str) -> Colors:
    """Colours that are converted to sRGB, by the profile in the file or a fallback."""

    def convert(image: pyvips.Image) -> pyvips.Image:
        return image.icc_transform(
            "srgb",
            embedded=True,
            input_profile=fallback,
            intent="relative",
            black_point_compensation=True,
            depth=16 if deep else 8,
        )

    return Colors(Srgb(), srgb_profile(), convert, [notice])


def take_png_colors(png: dict[bytes, bytes], num_bands: int, *, deep: bool) -> Colors:
    """Colours by a PNG file's chunks, where libpng found no profile."""
    colors = take_profile(read_png_colors(png, num_bands), num_bands, deep=deep)
    if b"iCCP" in png:
        colors.notices.append("its colour profile is damaged and is left out")
    return colors
