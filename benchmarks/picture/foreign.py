"""Damage that `degrade` did not make: that of two peers, drawn here from their published settings.

Used by `quality.py` and `foreign_large.py` to see whether a network restores more than what it was
trained on. Every draw comes from one generator, keyed by the seed, the damage and the photograph,
so that neither the order nor the number of photographs matters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Photo = NDArray[np.uint8]
Floats = NDArray[np.float32]

_KERNELS = (
    ("iso", 0.45), ("aniso", 0.25), ("general iso", 0.12), ("general aniso", 0.03),
    ("plateau iso", 0.12), ("plateau aniso", 0.03),
)  # fmt: skip
_MIN_SIDE_PX = 8


class Foreign(NamedTuple):
    """A photograph damaged by a peer.

    Attributes:
        damaged: (H, W, 3) RGB.
        marks: (H, W), 255 where the photograph is hidden.
    """

    damaged: Photo
    marks: Photo


class Order(NamedTuple):
    """Settings of one of Real-ESRGAN's two orders.

    Attributes:
        blur_prob: Probability of the blur.
        sigma_range: Of the blur, px.
        resize_probs: Of enlarging, shrinking and neither.
        scale_range: Of the resizing.
        gaussian_range: Standard deviation of the noise in 1/255.
        poisson_range: Strength of the noise where it is shot noise.
    """

    blur_prob: float
    sigma_range: tuple[float, float]
    resize_probs: tuple[float, float, float]
    scale_range: tuple[float, float]
    gaussian_range: tuple[float, float]
    poisson_range: tuple[float, float]


FIRST_ORDER = Order(1.0, (0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3.0))
SECOND_ORDER = Order(0.8, (0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5))


def damage_like_bopbtl(clean: Photo, rng: np.random.Generator) -> Foreign:
    """Blur, noise, loss of resolution and JPEG in any order, then holes of flat white.

    A tenth of the peer's pairs is grey on both sides; here the damaged side alone is, because the
    truth to be restored stays the photograph in colour. The peer's masks of holes are files of
    another project; strokes and patches are drawn here instead, on half of the photographs, which
    is how often the peer uses a mask.

    Args:
        clean: (H, W, 3) RGB; left unchanged.
        rng: Of this photograph.

    Source:
        Wan et al. 2020, "Bringing old photos back to life", and the ranges of its repository:
        each of four steps with probability .7; Gaussian blur of 3, 5 or 7 px with σ 1-5; Gaussian
        or speckle noise of 5-50/255, or salt and pepper on up to 1 %; each side to .5-1 and back
        by nearest or linear interpolation; JPEG 40-100. We shrink by area, they cubically.
    """
    damaged = wear_like_bopbtl(clean, rng).copy()
    marks = np.zeros(clean.shape[:2], np.uint8)
    if rng.random() < 0.5:
        marks = draw_holes(clean.shape[0], clean.shape[1], rng)
    damaged[marks > 0] = 255
    return Foreign(damaged, marks)


def wear_like_bopbtl(clean: Photo, rng: np.random.Generator) -> Photo:
    """The same damage (H, W, 3) without the holes."""
    steps: list[Callable[[Photo, np.random.Generator], Photo]] = [
        _blur_a_little, _add_one_noise, _lose_resolution,
        lambda photo, rng: _compress(photo, int(rng.integers(40, 101))),
    ]  # fmt: skip
    photo = clean
    for number in rng.permutation(len(steps)):
        if rng.random() < 0.7:
            photo = steps[number](photo, rng)
    if rng.random() < 0.1:
        photo = _as_photo(cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB))
    return photo


def damage_like_real_esrgan(clean: Photo, rng: np.random.Generator) -> Foreign:
    """Two rounds of blur, resizing, noise and JPEG; ringing at the end.

    The peer also shrinks by four, for its network enlarges by four; here the photograph ends at
    its own size.

    Args:
        clean: (H, W, 3) RGB; left unchanged.
        rng: Of this photograph.

    Source:
        Wang et al. 2021, "Real-ESRGAN", section 3 and the ×4 options of its repository. Kernels:
        generalised Gaussians after Liu et al. 2020, "Estimating generalized Gaussian blur kernels",
        plateaus 1 / (1 + q^β), and the circular low-pass ω J₁(ω r) / (2 π r).
    """
    height, width = clean.shape[:2]
    photo = _to_floats(clean)
    photo = _compress_floats(_run_order(photo, FIRST_ORDER, (height, width), rng), rng)
    photo = _run_order(photo, SECOND_ORDER, (height, width), rng)
    ringing = (
        _sinc_kernel(_draw_side(rng), rng.uniform(math.pi / 3, math.pi))
        if rng.random() < 0.8
        else np.ones((1, 1), np.float32)
    )
    if rng.random() < 0.5:
        photo = _filter(_resize(photo, height, width, rng), ringing)
        photo = _compress_floats(photo, rng)
    else:
        photo = _compress_floats(photo, rng)
        photo = _filter(_resize(photo, height, width, rng), ringing)
    return Foreign(_to_bytes(photo), np.zeros((height, width), np.uint8))


DAMAGES: dict[str, Callable[[Photo, np.random.Generator], Foreign]] = {
    "bopbtl": damage_like_bopbtl,
    "real-esrgan": damage_like_real_esrgan,
}


def draw_holes(height: int, width: int, rng: np.random.Generator) -> Photo:
    """Marks (H, W) of a few wandering strokes and patches, hard-edged, 0 or 255.

    Source:
        Yu et al. 2019, "Free-form image inpainting with gated convolution", algorithm 1 (strokes
        of jointed lines); ours are thinner, as cracks and scratches are.
    """
    marks = np.zeros((height, width), np.uint8)
    side = min(height, width)
    for _ in range(int(rng.integers(1, 7))):
        thickness = max(1, round(side * rng.uniform(0.004, 0.03)))
        turn = rng.uniform(0, 2 * math.pi)
        points = [rng.random(2) * (width, height)]
        for _ in range(int(rng.integers(2, 9))):
            turn += rng.uniform(-0.6, 0.6)
            step = side * rng.uniform(0.04, 0.15)
            points.append(points[-1] + step * np.array([math.cos(turn), math.sin(turn)]))
        cv2.polylines(marks, [np.rint(points).astype(np.int32)], False, 255, thickness)
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.random(2) * (width, height)
        axes = np.rint(side * rng.uniform(0.01, 0.05, 2)).astype(int) + 1
        cv2.ellipse(marks, (int(x), int(y)), (int(axes[0]), int(axes[1])),
                    float(rng.uniform(0, 180)), 0, 360, 255, -1)  # fmt: skip
    return marks


def _blur_a_little(photo: Photo, rng: np.random.Generator) -> Photo:
    side = int(rng.choice([3, 5, 7]))
    return _as_photo(cv2.GaussianBlur(photo, (side, side), rng.uniform(1, 5)))


def _add_one_noise(photo: Photo, rng: np.random.Generator) -> Photo:
    kind = rng.integers(3)
    clean = _to_floats(photo)
    if kind == 2:
        out = clean.copy()
        amount, salt_frac = rng.uniform(0, 0.01), rng.uniform(0.3, 0.8)
        hit, salt = rng.random(photo.shape) < amount, rng.random(photo.shape) < salt_frac
        out[hit] = salt[hit]
        return _to_bytes(out)
    noise = rng.normal(0, rng.uniform(5, 50) / 255, photo.shape)
    return _to_bytes(clean + (noise if kind == 0 else noise * clean))


def _lose_resolution(photo: Photo, rng: np.random.Generator) -> Photo:
    height, width = photo.shape[:2]
    small = int(rng.integers(width // 2, width + 1)), int(rng.integers(height // 2, height + 1))
    back = cv2.INTER_NEAREST if rng.random() < 0.5 else cv2.INTER_LINEAR
    shrunk = cv2.resize(photo, small, interpolation=cv2.INTER_AREA)
    return _as_photo(cv2.resize(shrunk, (width, height), interpolation=back))


def _run_order(
    photo: Floats, order: Order, size: tuple[int, int], rng: np.random.Generator
) -> Floats:
    """Blur, resize relative to `size` and add noise."""
    if rng.random() < order.blur_prob:
        photo = _filter(photo, _draw_kernel(order, rng))
    low, high = order.scale_range
    way = rng.choice(3, p=order.resize_probs)
    scale = (rng.uniform(1, high), rng.uniform(low, 1), 1.0)[way]
    height, width = (max(_MIN_SIDE_PX, int(side * scale)) for side in size)
    photo = _resize(photo, height, width, rng)
    is_grey = rng.random() < 0.4
    shape = (*photo.shape[:2], 1) if is_grey else photo.shape
    if rng.random() < 0.5:
        noise = rng.normal(0, rng.uniform(*order.gaussian_range) / 255, shape)
    else:
        seen = photo.mean(2, keepdims=True) if is_grey else photo
        seen = np.rint(seen * 255).clip(0, 255) / 255
        levels = 2 ** math.ceil(math.log2(max(2, len(np.unique(seen)))))
        noise = rng.uniform(*order.poisson_range) * (rng.poisson(seen * levels) / levels - seen)
    return np.clip(photo + noise, 0, 1).astype(np.float32)


def _draw_kernel(order: Order, rng: np.random.Generator) -> Floats:
    side = _draw_side(rng)
    if rng.random() < 0.1:
        lowest = math.pi / 3 if side < 13 else math.pi / 5
        return _sinc_kernel(side, rng.uniform(lowest, math.pi))
    name = str(rng.choice([n for n, _ in _KERNELS], p=[p for _, p in _KERNELS]))
    sigma = rng.uniform(*order.sigma_range, 2)
    angle = rng.uniform(-math.pi, math.pi)
    if name.endswith(" iso") or name == "iso":
        sigma[1] = sigma[0]
    highest = 4.0 if name.startswith("general") else 2.0
    lowest = 0.5 if name.startswith("general") else 1.0
    beta = rng.uniform(lowest, 1) if rng.random() < 0.5 else rng.uniform(1, highest)
    across, along = _rotate_grid(side, angle)
    distance = (across / sigma[0]) ** 2 + (along / sigma[1]) ** 2
    if name.startswith("plateau"):
        kernel = 1 / (1 + distance**beta)
    else:
        kernel = np.exp(-0.5 * distance ** (beta if name.startswith("general") else 1.0))
    return np.asarray(kernel / kernel.sum(), np.float32)


def _draw_side(rng: np.random.Generator) -> int:
    return int(rng.choice(range(7, 22, 2)))


def _rotate_grid(side: int, angle: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.mgrid[:side, :side].astype(np.float64) - side // 2
    c, s = math.cos(angle), math.sin(angle)
    return c * x + s * y, c * y - s * x


def _sinc_kernel(side: int, cutoff: float) -> Floats:
    """Circular low-pass; `cutoff` in radians a pixel, up to π."""
    x, y = _rotate_grid(side, 0.0)
    radius = np.hypot(x, y)
    radius[side // 2, side // 2] = 1
    # Bessel's integral: J₁(z) is the mean over τ in (0, π) of cos(τ - z sin τ).
    turns = (np.arange(256) + 0.5) * (math.pi / 256)
    waves = np.cos(turns - cutoff * radius[..., None] * np.sin(turns)).mean(-1)
    kernel = cutoff * waves / (2 * math.pi * radius)
    kernel[side // 2, side // 2] = cutoff**2 / (4 * math.pi)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _filter(photo: Floats, kernel: Floats) -> Floats:
    return np.asarray(
        cv2.filter2D(photo, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32
    )


def _resize(photo: Floats, height: int, width: int, rng: np.random.Generator) -> Floats:
    way = int(rng.choice([cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    return np.asarray(cv2.resize(photo, (width, height), interpolation=way), np.float32)


def _compress_floats(photo: Floats, rng: np.random.Generator) -> Floats:
    return _to_floats(_compress(_to_bytes(photo), int(rng.integers(30, 96))))


def _compress(photo: Photo, quality: int) -> Photo:
    bgr = cv2.cvtColor(photo, cv2.COLOR_RGB2BGR)
    encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError(f"OpenCV can't decode its own JPEG of quality {quality}")
    return _as_photo(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB))


def _to_floats(photo: Photo) -> Floats:
    return np.asarray(photo, np.float32) / np.float32(255)


def _to_bytes(photo: NDArray[np.floating]) -> Photo:
    return _as_photo(np.rint(photo.clip(0, 1) * 255))


def _as_photo(array: NDArray[np.generic]) -> Photo:
    return np.asarray(array, dtype=np.uint8)
