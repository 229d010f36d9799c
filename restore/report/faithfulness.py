"""Does a restoration explain the photograph that it was made from?

The damage of the photograph is estimated (`fit`, `grain_fit`), the restored photograph is
damaged again by it, and the two are compared outside the marks in units of the grain that is to be
expected. What differs in one place by more than grain and a restorer's licence (edges within most
of a pixel, local contrast within a factor, tone within a few levels) is named: something there was
painted in, moved or left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from restore.errors import RestoreError
from restore.passes.marks import find_unmarked
from restore.report.damage_again import damage_again, damage_evenly, enlarge_fields
from restore.report.estimate import DamageEstimate
from restore.report.fit.damage import estimate_damage
from restore.report.grain_fit import GrainEstimate, fit_grain
from restore.report.unexplained import UNEXPLAINED, Region, find_unexplained, outline
from restore.scan.profiles import scale_to_unit
from restore.ycc import LUMA_WEIGHTS, measure_own_color, to_ycc

Floats = NDArray[np.float32]

ANALYSED_SIDE_PX = 1024
"""Long side of the copy that is measured; larger photographs are reduced."""
MIN_SIDE_PX = 32
_PLAIN_SIDE_PX = 256
# Chroma, as distance from grey in CbCr: below the first there is none, from the second it shows.
_NO_CHROMA, _VISIBLE_CHROMA = 0.03, 0.04


@dataclass(frozen=True)
class Maps:
    """What was compared, as pictures of the analysed size.

    Attributes:
        original: (h, w, 3) sRGB in [0, 1].
        restored: (h, w, 3) likewise.
        damaged_again: (h, w, 3) the restored photograph with the estimated damage and fresh grain,
            without the marks.
        plain: Of at most 256 px, what the estimated damage makes of an even middle grey.
        difference: (h, w) brightness of the original less what is expected, in deviations of the
            expected grain; 0 under the marks.
        marks: (h, w) in [0, 1].
        unexplained: (h, w) mean square difference around each point, in units of what is licensed.
        added_chroma: (h, w) colour where the original had none.
    """

    original: Floats
    restored: Floats
    damaged_again: Floats
    plain: Floats
    difference: Floats
    marks: Floats
    unexplained: Floats
    added_chroma: Floats


@dataclass(frozen=True)
class Faithfulness:
    """How well a restoration explains its photograph.

    Attributes:
        width_px: Of the photograph.
        height_px: Likewise.
        score: 0 to 1: share of the photograph outside the marks that is explained; comparable
            across photographs, as what counts is measured in units of each one's own grain.
        within_3_sigma_frac: Share of pixels within three deviations of the expected grain.
        explained_variance_frac: Share of the original's variance that is explained, grain apart.
        unexplained_frac: Share of the area in places that are flagged.
        flagged_regions: Those places, the worst first.
        marks_frac: Share of the area that was removed as marks, and so inpainted.
        colorized_frac: Share of the area that was given visible colour and had none.
        damage: The estimate.
        grain: The estimate.
        analysed_scale: Pixels of the analysed copy, in which the estimates' lengths are, per pixel
            of the photograph.
        maps: Pictures.
    """

    width_px: int
    height_px: int
    score: float
    within_3_sigma_frac: float
    explained_variance_frac: float
    unexplained_frac: float
    flagged_regions: tuple[Region, ...]
    marks_frac: float
    colorized_frac: float
    damage: DamageEstimate
    grain: GrainEstimate
    analysed_scale: float
    maps: Maps

    def to_json(self) -> dict[str, Any]:
        """The numbers as JSON values; lengths in pixels of the photograph."""
        damage, grain = self.damage, self.grain

        def rounded(values: Floats) -> Any:
            return np.round(values.astype(np.float64), 4).tolist()

        return {
            "width_px": self.width_px,
            "height_px": self.height_px,
            "analysed_scale": round(self.analysed_scale, 5),
            "score": round(self.score, 4),
            "within_3_sigma_frac": round(self.within_3_sigma_frac, 4),
            "explained_variance_frac": round(self.explained_variance_frac, 4),
            "unexplained_frac": round(self.unexplained_frac, 4),
            "flagged_regions": [
                {**region._asdict(), "excess": round(region.excess, 2)}
                for region in self.flagged_regions
            ],
            "marks_frac": round(self.marks_frac, 4),
            "colorized_frac": round(self.colorized_frac, 4),
            "damage": {
                "is_monochrome": damage.is_monochrome,
                "response": rounded(damage.response),
                "curves": rounded(damage.curves),
                "tint": rounded(damage.tint),
                "print_curve": rounded(damage.print_curve()),
                "light": rounded(damage.light),
                "fade": rounded(damage.fade),
                "fade_color": rounded(damage.fade_color),
                "blur_sigma_px": round(damage.blur_sigma_px / self.analysed_scale, 3),
            },
            "grain": {
                "strength": round(grain.strength, 4),
                "product": round(grain.product, 4),
                "noise_frac": round(grain.noise_frac, 5),
                "size_px": round(grain.size_px / self.analysed_scale, 3),
                "tones": rounded(grain.tones),
                "sigmas": rounded(grain.sigmas),
            },
        }


def analysed_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the copy that is measured."""
    scale = min(1.0, ANALYSED_SIDE_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def measure_faithfulness(
    original: NDArray[Any],
    restored: NDArray[Any],
    marks: NDArray[Any],
    *,
    photo_size: tuple[int, int] | None = None,
) -> Faithfulness:
    """Measure how well a restoration explains its photograph.

    Args:
        original: (H, W, 3) RGB or (H, W) grey, sRGB; uint8, uint16, or float32 in [0, 1].
        restored: Likewise, of the same height and width.
        marks: (h, w) of any size, what was removed as physical damage; uint8, or float32 in [0, 1].
        photo_size: Width and height of the photograph if the arrays are reduced copies of it.

    Returns:
        Numbers and maps.

    Raises:
        RestoreError: If the photographs differ in size or are too small to measure.
    """
    if original.shape[:2] != restored.shape[:2]:
        raise RestoreError(
            f"original {original.shape[:2]} and restored {restored.shape[:2]} differ in size"
        )
    height, width = original.shape[:2]
    full_width, full_height = photo_size or (width, height)
    size = analysed_size(width, height)
    if min(size) < MIN_SIDE_PX:
        raise RestoreError(
            f"{full_width} x {full_height} px is too small or too narrow to measure its damage"
        )
    before, after = (_prepare(photo, size) for photo in (original, restored))
    opacity = _prepare(marks, size)[..., 0]
    seen = find_unmarked(opacity)
    weight = seen.astype(np.float32)
    is_monochrome = measure_own_color(before, seen) < 0.5
    damage = estimate_damage(after, before, weight, is_monochrome=is_monochrome)
    developed, expected = damage_evenly(after, damage)
    tone = developed[..., 0] if damage.is_monochrome else developed @ LUMA_WEIGHTS
    tone = np.asarray(tone, np.float32)
    slope = 1 - enlarge_fields(damage, *weight.shape)[1]
    residual = np.asarray((before - expected) @ LUMA_WEIGHTS, np.float32)
    grain = fit_grain(residual, tone, slope, weight)
    sigma = grain.sigma(tone, slope)
    unexplained = find_unexplained(before, expected, sigma, grain, weight)
    scale_x, scale_y = full_width / size[0], full_height / size[1]
    regions, flagged = outline(unexplained, scale_x, scale_y)
    num_seen = max(1, int(np.count_nonzero(seen)))
    difference = np.asarray(residual / sigma * weight, np.float32)
    luma = (before @ LUMA_WEIGHTS)[seen]
    left_over = max(0.0, float((residual[seen] ** 2 - sigma[seen] ** 2).sum()))
    spread = float(((luma - luma.mean()) ** 2).sum()) if seen.any() else 0.0
    graded = ((unexplained - 1) / (UNEXPLAINED - 1)).clip(0, 1)
    added = _find_added_chroma(before, after, expected, is_monochrome=damage.is_monochrome)
    rng = np.random.default_rng(0)  # the same photograph gives the same report
    return Faithfulness(
        width_px=full_width,
        height_px=full_height,
        score=1 - float(graded[seen].sum()) / num_seen,
        within_3_sigma_frac=float((np.abs(difference[seen]) <= 3).sum()) / num_seen,
        explained_variance_frac=max(0.0, 1 - left_over / spread) if spread > 0 else 0.0,
        unexplained_frac=float((flagged & seen).mean()),
        flagged_regions=regions,
        marks_frac=float(opacity.mean()),
        colorized_frac=float((added > _VISIBLE_CHROMA).mean()),
        damage=damage,
        grain=grain,
        analysed_scale=1 / max(scale_x, scale_y),
        maps=Maps(
            original=before,
            restored=after,
            damaged_again=damage_again(after, damage, grain, rng),
            plain=_draw_plain(damage, weight.shape),
            difference=difference,
            marks=opacity,
            unexplained=unexplained,
            added_chroma=added,
        ),
    )


def _prepare(photo: NDArray[Any], size: tuple[int, int]) -> Floats:
    """(H, W, 3) sRGB in [0, 1] of the analysed size."""
    if photo.shape[1::-1] != size:
        photo = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), photo.dtype)
    values = photo.astype(np.float32) if photo.dtype.kind == "f" else scale_to_unit(photo)
    values = np.atleast_3d(values)[..., :3].clip(0, 1)
    return np.repeat(values, 3, axis=-1) if values.shape[-1] == 1 else values


def _draw_plain(damage: DamageEstimate, shape: tuple[int, ...]) -> Floats:
    """A small sheet of even middle grey, damaged."""
    scale = min(1.0, _PLAIN_SIDE_PX / max(shape))
    height, width = (max(1, round(side * scale)) for side in shape)
    grey = np.full((height, width, 3), 0.5, np.float32)
    return damage_evenly(grey, replace(damage, blur_sigma_px=0.0))[1]


def _find_added_chroma(
    original: Floats, restored: Floats, expected: Floats, *, is_monochrome: bool
) -> Floats:
    """Chroma where the original had none but its tint, (H, W); a tint that is kept isn't added."""
    before, after = to_ycc(original)[..., 1:], to_ycc(restored)[..., 1:]
    own = to_ycc(original - expected)[..., 1:] if is_monochrome else before
    # JPEG's chroma is coarse.
    before, own = (np.asarray(cv2.GaussianBlur(c, (0, 0), 2.0), np.float32) for c in (before, own))
    gained = np.minimum(_length(after - before), _length(after))
    return np.where(_length(own) < _NO_CHROMA, gained, 0).astype(np.float32)


def _length(chroma: Floats) -> Floats:
    return np.asarray(np.hypot(chroma[..., 0], chroma[..., 1]), np.float32)
