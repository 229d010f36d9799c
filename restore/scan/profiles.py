"""Between a photograph's own samples and the sRGB values that the network works on.

Conversions are exact both ways, so a photograph gets back the profile that it came with, and
colours outside sRGB survive (as values beyond [0, 1]). That is possible for profiles made of three
primaries and tone curves (Adobe RGB, Display P3, ProPhoto, most scanners') and for grey curves;
`read_profile` returns None for the others.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

# sRGB's primaries relative to the profile connection space's white (D50): IEC 61966-2-1, Bradford.
_SRGB_TO_XYZ = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)
# A profile whose samples differ from sRGB's by less than this everywhere is sRGB.
_SAME_AS_SRGB = 1.5 / 255


class ColorSpace(Protocol):
    """How samples are to be understood."""

    @property
    def is_srgb(self) -> bool:
        """Whether the samples are sRGB (or grey with sRGB's curve) already."""

    def to_srgb(self, samples: NDArray[Any]) -> Floats:
        """(h, w, 3) or (h, w, 1) uint8 or uint16 samples to (h, w, 3) sRGB."""

    def from_srgb(self, photo: Floats, num_bands: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """(h, w, 3) sRGB to (h, w, num_bands) samples."""


class Srgb:
    """Samples that are sRGB, or grey with sRGB's curve."""

    is_srgb = True

    def to_srgb(self, samples: NDArray[Any]) -> Floats:
        """(h, w, 1 or 3) uint8 or uint16 samples to (h, w, 3) sRGB in [0, 1]."""
        return _three_bands(scale_to_unit(samples))

    def from_srgb(self, photo: Floats, num_bands: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """(h, w, 3) sRGB to (h, w, num_bands) samples; for one band, of a grey photograph."""
        return scale_to_samples(photo[..., :num_bands], dtype)


@dataclass(frozen=True)
class MatrixProfile:
    """Samples described by tone curves and, in colour, three primaries.

    Attributes:
        curves: Linear light at 4,096 even steps of the sample, for each band.
        to_linear_srgb: (3, 3); None for a grey profile.
    """

    curves: tuple[NDArray[np.float64], ...]
    to_linear_srgb: NDArray[np.float64] | None

    @property
    def is_srgb(self) -> bool:
        """Whether no colour differs visibly when this profile is taken for sRGB."""
        steps = np.linspace(0, 255, 18).astype(np.uint8)
        bands = 1 if self.to_linear_srgb is None else 3
        cube = np.stack(np.meshgrid(*[steps] * bands, indexing="ij"), axis=-1)
        cube = cube.reshape(1, -1, bands)
        return bool(np.abs(self.to_srgb(cube) - Srgb().to_srgb(cube)).max() < _SAME_AS_SRGB)

    def to_srgb(self, samples: NDArray[Any]) -> Floats:
        """(h, w, 1 or 3) samples to (h, w, 3) sRGB; what lies outside sRGB leaves [0, 1]."""
        levels = np.linspace(0, 1, np.iinfo(samples.dtype).max + 1)
        bands = []
        for i, curve in enumerate(self.curves):
            table = np.interp(levels, np.linspace(0, 1, len(curve)), curve).astype(np.float32)
            bands.append(table[samples[..., i]])
        linear = np.stack(bands, axis=-1)
        if self.to_linear_srgb is not None:
            linear = linear @ self.to_linear_srgb.T.astype(np.float32)
        return _three_bands(encode_srgb(linear))

    def from_srgb(self, photo: Floats, num_bands: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """(h, w, 3) sRGB to (h, w, num_bands) samples."""
        linear = decode_srgb(photo[..., :num_bands])
        if self.to_linear_srgb is not None:
            linear = linear @ np.linalg.inv(self.to_linear_srgb).T.astype(np.float32)
        bands = []
        for i, curve in enumerate(self.curves):
            rising = np.maximum.accumulate(curve)
            bands.append(np.interp(linear[..., i], rising, np.linspace(0, 1, len(curve))))
        return scale_to_samples(np.stack(bands, axis=-1), dtype)


def scale_to_unit(samples: NDArray[Any]) -> Floats:
    """uint8 or uint16 samples to float32 in [0, 1]; equal for equal 8- and 16-bit values."""
    if samples.dtype == np.uint8:
        return (np.arange(256, dtype=np.float32) * 257 / np.float32(65535))[samples]
    return samples.astype(np.float32) / np.float32(65535)


def scale_to_samples(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in [0, 1] to uint8 or uint16; rounded, and clipped."""
    top = np.iinfo(dtype).max
    return np.rint(values.clip(0, 1) * top).astype(dtype)


def encode_srgb(linear: Floats) -> Floats:
    """Linear light to sRGB's curve, mirrored below zero."""
    size = np.abs(linear)
    curved = np.float32(1.055) * size ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.copysign(np.where(size <= 0.0031308, size * np.float32(12.92), curved), linear)


def decode_srgb(values: Floats) -> Floats:
    """The inverse of `encode_srgb`."""
    size = np.abs(values)
    linear = ((size + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.copysign(np.where(size <= 0.04045, size / np.float32(12.92), linear), values)


def is_whole_profile(icc: bytes) -> bool:
    """Whether a profile's lengths fit: other programs refuse it otherwise."""
    if len(icc) < 132 or icc[36:40] != b"acsp":
        return False
    size, num_tags = struct.unpack_from(">I", icc)[0], struct.unpack_from(">I", icc, 128)[0]
    if size != len(icc) or 132 + 12 * num_tags > size:
        return False
    places = (struct.unpack_from(">II", icc, 136 + 12 * i) for i in range(num_tags))
    return all(start + length <= size for start, length in places)


def read_profile(icc: bytes) -> MatrixProfile | None:
    """Understand an ICC profile made of tone curves and primaries.

    Args:
        icc: The profile.

    Returns:
        The colour space, or None if the profile is of another kind (tables, CMYK) or damaged.

    Source:
        ICC.1:2022, sections 7.2, 10.6, 10.18 and 10.31.
    """
    try:
        space = icc[16:20]
        tags = {}
        (num_tags,) = struct.unpack_from(">I", icc, 128)
        for i in range(min(num_tags, 200)):
            name, start, size = struct.unpack_from(">4sII", icc, 132 + 12 * i)
            tags[name] = icc[start : start + size]
        if space == b"GRAY":
            return MatrixProfile((_read_curve(tags[b"kTRC"]),), None)
        if space != b"RGB " or b"A2B0" in tags:
            return None
        primaries = np.stack(
            [_read_xyz(tags[name]) for name in (b"rXYZ", b"gXYZ", b"bXYZ")], axis=1
        )
        matrix = np.linalg.inv(_SRGB_TO_XYZ) @ primaries
        if not np.isfinite(matrix).all() or np.linalg.cond(matrix) > 1e4:
            return None
        curves = tuple(_read_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC"))
        return MatrixProfile(curves, matrix)
    except (struct.error, KeyError, ValueError, np.linalg.LinAlgError):
        return None


def _read_xyz(tag: bytes) -> NDArray[np.float64]:
    return np.array(struct.unpack_from(">3i", tag, 8)) / 65536


def _read_curve(tag: bytes) -> NDArray[np.float64]:
    levels = np.linspace(0, 1, 4096)
    kind = tag[:4]
    if kind == b"curv":
        (num,) = struct.unpack_from(">I", tag, 8)
        if num == 0:
            return levels
        table = np.frombuffer(tag, ">u2", count=num, offset=12)
        if num == 1:
            return levels ** max(float(table[0]) / 256, 0.1)
        return np.interp(levels, np.linspace(0, 1, num), table / 65535)
    if kind != b"para":
        raise ValueError(f"a curve of kind {kind!r}")
    (function,) = struct.unpack_from(">H", tag, 8)
    num_parameters = (1, 3, 4, 5, 7)[min(function, 4)]
    values = [v / 65536 for v in struct.unpack_from(f">{num_parameters}i", tag, 12)]
    g, a, b, c, d, e, f = values + [0.0] * (7 - num_parameters)
    if function == 0:
        a, d = 1.0, -1.0
    elif function in (1, 2):
        if a == 0:
            raise ValueError("a curve without slope")
        e, f, c, d = c, c, 0.0, -b / a
    curve = np.where(levels >= d, np.maximum(a * levels + b, 0) ** g + e, c * levels + f)
    if not np.isfinite(curve).all():
        raise ValueError("a curve that isn't finite")
    return curve.clip(0, 1)


def _three_bands(values: Floats) -> Floats:
    return np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values
