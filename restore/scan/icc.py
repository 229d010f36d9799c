"""Make ICC profiles of primaries and gamma, for photographs that tell their colours otherwise.

PNG files may do so in their chunks gAMA, cHRM and cICP, cameras in EXIF (Adobe RGB by DCF's rules).

Source:
    ICC.1:2001 (version 2), 6.5; Lindbloom, "RGB/XYZ Matrices" and "Chromatic Adaptation".
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


class Primaries(NamedTuple):
    """Chromaticities (x, y) of white, red, green and blue."""

    white: tuple[float, float]
    red: tuple[float, float]
    green: tuple[float, float]
    blue: tuple[float, float]

    def is_near(self, other: Primaries) -> bool:
        """Whether no chromaticity differs by more than writers round."""
        return bool(np.abs(np.subtract(self, other)).max() < 0.002)


_D65 = (0.3127, 0.3290)
SRGB = Primaries(_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
ADOBE_RGB = Primaries(_D65, (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
DISPLAY_P3 = Primaries(_D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
REC2020 = Primaries(_D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046))
SRGB_CURVE = 0.0
"""In place of a gamma."""


def make_profile(gamma: float, primaries: Primaries, name: str) -> bytes | None:
    """A profile of three primaries.

    Args:
        gamma: Linear light is the sample to this power; `SRGB_CURVE` is sRGB's curve.
        primaries: What red, green, blue and white are.
        name: What readers show.

    Returns:
        The profile; None if the primaries span no colours.
    """
    matrix = _to_d50(primaries)
    if matrix is None:
        return None
    tags = {f"{'rgb'[i]}XYZ".encode(): _xyz(matrix[:, i]) for i in range(3)}
    tags |= {f"{letter}TRC".encode(): _curve(gamma) for letter in "rgb"}
    return _profile(b"RGB ", tags, name)


def make_grey_profile(gamma: float, name: str) -> bytes:
    """A profile of grey with a gamma."""
    return _profile(b"GRAY", {b"kTRC": _curve(gamma)}, name)


def read_png_colors(chunks: dict[bytes, bytes], num_bands: int) -> bytes | None:
    """The profile that a PNG file's chunks amount to; None if that is sRGB, or they say nothing.

    Args:
        chunks: gAMA, cHRM, sRGB, cICP by name.
        num_bands: 1 or 3.
    """
    gamma, primaries = 1 / 0.45455, SRGB
    cicp = chunks.get(b"cICP", b"")
    if len(cicp) == 4 and cicp[0] in _CICP_PRIMARIES and cicp[1] in _CICP_CURVES:
        primaries, gamma = _CICP_PRIMARIES[cicp[0]], _CICP_CURVES[cicp[1]]
        if primaries is SRGB and gamma == SRGB_CURVE:
            return None
    elif b"sRGB" in chunks:
        return None
    else:
        if len(chunks.get(b"cHRM", b"")) == 32:
            v = [value / 100_000 for value in struct.unpack(">8I", chunks[b"cHRM"])]
            primaries = Primaries(*((v[i], v[i + 1]) for i in range(0, 8, 2)))
        if len(chunks.get(b"gAMA", b"")) == 4:
            stored = struct.unpack(">I", chunks[b"gAMA"])[0] / 100_000
            gamma = 1 / stored if 0.1 <= stored <= 5 else gamma
        near_srgb = abs(1 / gamma - 0.45455) < 0.005
        if near_srgb and (num_bands == 1 or primaries.is_near(SRGB)):
            return None  # what writers of sRGB put
        if b"gAMA" not in chunks:
            gamma = SRGB_CURVE
    if num_bands == 1:
        return make_grey_profile(gamma, "PNG grey") if gamma != SRGB_CURVE else None
    return make_profile(gamma, primaries, "PNG colours")


_CICP_PRIMARIES = {1: SRGB, 9: REC2020, 12: DISPLAY_P3}
_CICP_CURVES = {1: SRGB_CURVE, 4: 2.2, 5: 2.8, 6: SRGB_CURVE, 8: 1.0, 13: SRGB_CURVE}


def _to_d50(primaries: Primaries) -> NDArray[np.float64] | None:
    """Columns are red, green and blue in XYZ, seen in D50; they sum up to white."""
    if any(y < 1e-4 for _, y in primaries):
        return None
    white, *colors = (np.array([x / y, 1, (1 - x - y) / y]) for x, y in primaries)
    matrix = np.stack(colors, axis=1)
    if np.linalg.cond(matrix) > 1e6:
        return None
    matrix = matrix * np.linalg.solve(matrix, white)
    scale = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD @ matrix
    return adapted if np.isfinite(adapted).all() and np.abs(adapted).max() < 30_000 else None


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(float(v) * 65536) for v in values))


def _curve(gamma: float) -> bytes:
    if gamma == SRGB_CURVE:
        levels = np.linspace(0, 1, 1024)
        linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        table = np.rint(linear * 65535).astype(">u2")
        return b"curv\0\0\0\0" + struct.pack(">I", 1024) + table.tobytes()
    return b"curv\0\0\0\0" + struct.pack(">IHH", 1, min(round(gamma * 256), 65535), 0)


def _profile(space: bytes, tags: dict[bytes, bytes], name: str) -> bytes:
    text = name.encode("ascii")
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + bytes(79),
        b"cprt": b"text\0\0\0\0no copyright\0",
        b"wtpt": _xyz(_D50),
        **tags,
    }
    table, data = b"", b""
    start = 132 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag + struct.pack(">II", start + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    head = bytearray(128)
    struct.pack_into(">I", head, 0, start + len(data))
    head[8:12], head[12:16], head[16:20], head[20:24] = b"\2\x40\0\0", b"mntr", space, b"XYZ "
    struct.pack_into(">6H", head, 24, 2024, 1, 1, 0, 0, 0)
    head[36:40] = b"acsp"
    struct.pack_into(">3i", head, 68, *(round(float(v) * 65536) for v in _D50))
    return bytes(head) + struct.pack(">I", len(tags)) + table + data
