"""Hints as a user might give them: points and strokes of the colours that a photograph truly has.

Places are drawn first; their colours are then read from the clean photograph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.ycc import to_rgb, to_ycc

NUM_LEVELS = 254
"""Chroma from -0.5 to 0.5 in whole numbers, 0 among them."""

_NONE_PROB = 1 / 3
_MAX_NUM = 20
_MAX_SIDE_PX = 15
_STROKE_PROB = 0.25
_MIN_STROKE_PX = 10
_MAX_WIDTH_PX = 7
# A stroke stays where Cb and Cr are so near to those that it began with.
_SAME_CHROMA = 0.06
# Joined through pixels so near to its L*, a* and b*, a place's surroundings are one thing with it;
# it is neither tiny nor most of the photograph.
_SAME_LAB = (25.0, 9.0, 9.0)
_THING_FRACS = (0.005, 0.3)
# What it is dyed: so much chroma, turned at least so far.
_DYED_CHROMA, _MIN_TURN = (0.05, 0.25), math.pi / 4


@dataclass(frozen=True)
class Hint:
    """A point, or a stroke that begins there.

    Attributes:
        x_px: Middle of the square whose mean colour it has.
        y_px: Likewise.
        side_px: Side of that square, which is itself painted if it is a point.
        end_x_px: Where a stroke ends.
        end_y_px: Likewise.
        width_px: Of the stroke; 0: it is a point.
    """

    x_px: int
    y_px: int
    side_px: int
    end_x_px: int = 0
    end_y_px: int = 0
    width_px: int = 0


def draw_hints(side_px: int, rng: np.random.Generator) -> list[Hint]:
    """Draw hints for a square photograph: none a third of the time, else 1 to 20.

    Source:
        Zhang et al. 2017, "Real-time user-guided image colorization with learned deep priors",
        section 3.1 (places drawn at random, colours averaged over patches); the strokes are ours.
    """
    if rng.random() < _NONE_PROB:
        return []
    num = int(math.exp(rng.uniform(0, math.log(_MAX_NUM + 1))))
    return [_draw_hint(side_px, rng) for _ in range(num)]


def _draw_hint(side_px: int, rng: np.random.Generator) -> Hint:
    x, y = (int(at) for at in rng.integers(side_px, size=2))
    square = int(rng.integers(1, _MAX_SIDE_PX, endpoint=True))
    if rng.random() >= _STROKE_PROB:
        return Hint(x, y, square)
    angle, length = rng.uniform(0, 2 * math.pi), rng.uniform(_MIN_STROKE_PX, side_px / 2)
    end_x, end_y = int(x + length * math.cos(angle)), int(y + length * math.sin(angle))
    width = int(rng.integers(1, _MAX_WIDTH_PX, endpoint=True))
    return Hint(x, y, square, end_x, end_y, width)


def draw_points(num: int, side_px: int, square_px: int, rng: np.random.Generator) -> list[Hint]:
    """Draw so many points of one size."""
    places = rng.integers(side_px, size=(num, 2)).tolist()
    return [Hint(x, y, square_px) for x, y in places]


def recolor_thing(
    clean: NDArray[np.uint8], hint: Hint, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Dye the thing under a hint, so that the hint says what nobody could have guessed.

    Hints of true colours alone teach that one of them tells much of the whole photograph.

    Args:
        clean: (H, W, 3) RGB.
        hint: Within it.
        rng: Draws the colour.

    Returns:
        (H, W, 3) of the same luma; the photograph itself if the hint lies on no single thing.
    """
    turn, strength = rng.uniform(_MIN_TURN, 2 * math.pi - _MIN_TURN), rng.uniform(*_DYED_CHROMA)
    photo = clean.astype(np.float32) / np.float32(255)
    lab = cv2.cvtColor(cv2.medianBlur(clean, 5).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    found = np.zeros((clean.shape[0] + 2, clean.shape[1] + 2), np.uint8)
    flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
    cv2.floodFill(lab, found, (hint.x_px, hint.y_px), (0, 0, 0), _SAME_LAB, _SAME_LAB, flags)
    thing = cv2.morphologyEx(found[1:-1, 1:-1], cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    if not _THING_FRACS[0] <= thing.mean() <= _THING_FRACS[1]:
        return clean
    ycc = to_ycc(photo)
    color = ycc[..., 1:][thing > 0].mean(0)
    angle = math.atan2(color[1], color[0]) + turn
    dyed = strength * np.array([math.cos(angle), math.sin(angle)], np.float32)
    share = cv2.GaussianBlur(thing.astype(np.float32), (0, 0), 0.7)[..., None]
    ycc[..., 1:] += share * (dyed - color)
    return np.rint(to_rgb(ycc).clip(0, 1) * 255).astype(np.uint8)


def paint_hints(clean: NDArray[np.uint8], hints: list[Hint]) -> NDArray[np.int8]:
    """Read the hints' colours from a photograph and paint them, later ones over earlier.

    Args:
        clean: (H, W, 3) RGB.
        hints: Within it; a stroke may leave it.

    Returns:
        (H, W, 3): Cb and Cr times NUM_LEVELS, and 1 where there is a hint; else all 0.
    """
    height, width = clean.shape[:2]
    painted = np.zeros((height, width, 3), np.int8)
    if not hints:
        return painted
    chroma = to_ycc(clean.astype(np.float32) / np.float32(255))[..., 1:]
    for hint in hints:
        top, left = max(0, hint.y_px - hint.side_px // 2), max(0, hint.x_px - hint.side_px // 2)
        square = np.s_[top : top + hint.side_px, left : left + hint.side_px]
        color = chroma[square].mean((0, 1))
        where = np.zeros((height, width), np.uint8)
        if hint.width_px:
            start, end = (hint.x_px, hint.y_px), (hint.end_x_px, hint.end_y_px)
            cv2.line(where, start, end, 1, hint.width_px)
            where &= (np.abs(chroma - color).max(-1) < _SAME_CHROMA).view(np.uint8)
        else:
            where[square] = 1
        painted[where > 0] = [*np.rint(color * NUM_LEVELS).astype(np.int8), 1]
    return painted
