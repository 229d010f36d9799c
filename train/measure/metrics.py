"""What restorations are measured by; none needs downloaded weights.

Photographs are (N, 3, H, W) RGB in [0, 1]; a function returns one value per photograph, (N,),
unless it says otherwise.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from train.losses.fidelity import MIN_MSE, split_luma_chroma

# From this opacity on a pixel counts as in a mark.
_MARKED_OPACITY = 0.5
# Between this and that, neither to find it nor to leave it is a fault.
_FAINT_OPACITY = 0.25
_SWD_PATCH_PX = 7
_SWD_PATCHES = 128
_SWD_PROJECTIONS = 256


def measure_luma_psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of luma, in dB; at most 50.

    Some pairs are undamaged; without a bound they would decide the mean over photographs alone.
    """
    luma, true_luma = split_luma_chroma(restored)[0], split_luma_chroma(clean)[0]
    mse = (luma - true_luma).square().mean((1, 2, 3)).clamp(min=MIN_MSE)
    return -10 * mse.log10()


def measure_luma_error(restored: Tensor, clean: Tensor) -> Tensor:
    """Absolute error of luma, (N, 1, H, W)."""
    return (split_luma_chroma(restored)[0] - split_luma_chroma(clean)[0]).abs()


def measure_colorfulness(photo: Tensor) -> Tensor:
    """Colourfulness, in units of 1/255: under 15 is nearly grey, over 80 is vivid.

    Source:
        Hasler, Süsstrunk 2003, "Measuring colourfulness in natural images", eq. 8.
    """
    red, green, blue = (photo * 255).unbind(1)
    red_green, yellow_blue = red - green, (red + green) / 2 - blue
    pair = torch.stack([red_green, yellow_blue]).flatten(2)  # (2, N, H * W)
    spread = pair.std(-1, correction=0).square().sum(0).sqrt()
    return spread + 0.3 * pair.mean(-1).square().sum(0).sqrt()


def convert_to_lab(photo: Tensor) -> Tensor:
    """CIELAB (D65) of sRGB, (N, 3, H, W).

    Source:
        IEC 61966-2-1 (sRGB) and CIE 15:2004 (L*a*b*).
    """
    photo = photo.clamp(0, 1)
    linear = torch.where(photo > 0.04045, ((photo + 0.055) / 1.055) ** 2.4, photo / 12.92)
    matrix = photo.new_tensor(
        [
            [0.412453, 0.357580, 0.180423],
            [0.212671, 0.715160, 0.072169],
            [0.019334, 0.119193, 0.950227],
        ]
    )
    white = photo.new_tensor([0.95047, 1.0, 1.08883])
    xyz = F.conv2d(linear, (matrix / white[:, None])[:, :, None, None])
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


def measure_delta_e(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean colour difference ΔE2000: 1 is just visible."""
    return map_delta_e(restored, clean).mean((1, 2))


def map_delta_e(restored: Tensor, clean: Tensor) -> Tensor:
    """Colour difference ΔE2000 of each pixel, (N, H, W).

    Source:
        Sharma, Wu, Dalal 2005, "The CIEDE2000 color-difference formula", eq. 2-22.
    """
    l1, a1, b1 = convert_to_lab(restored).double().unbind(1)
    l2, a2, b2 = convert_to_lab(clean).double().unbind(1)
    c7 = ((a1.hypot(b1) + a2.hypot(b2)) / 2) ** 7
    g = 0.5 * (1 - (c7 / (c7 + 25.0**7)).sqrt())
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = a1.hypot(b1), a2.hypot(b2)
    h1 = torch.rad2deg(torch.atan2(b1, a1)) % 360
    h2 = torch.rad2deg(torch.atan2(b2, a2)) % 360

    grey = c1 * c2 == 0
    turn = h2 - h1
    dh = torch.where(turn.abs() <= 180, turn, turn - 360 * turn.sign())
    dh = torch.where(grey, torch.zeros_like(dh), dh)
    dl, dc = l2 - l1, c2 - c1
    dhh = 2 * (c1 * c2).sqrt() * torch.sin(torch.deg2rad(dh / 2))

    total = h1 + h2
    wrapped = torch.where(total < 360, total + 360, total - 360) / 2
    hue = torch.where((h1 - h2).abs() <= 180, total / 2, wrapped)
    hue = torch.where(grey, total, hue)
    light, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    t = (
        1
        - 0.17 * torch.cos(torch.deg2rad(hue - 30))
        + 0.24 * torch.cos(torch.deg2rad(2 * hue))
        + 0.32 * torch.cos(torch.deg2rad(3 * hue + 6))
        - 0.20 * torch.cos(torch.deg2rad(4 * hue - 63))
    )
    theta = 30 * torch.exp(-(((hue - 275) / 25) ** 2))
    rc = 2 * (chroma**7 / (chroma**7 + 25.0**7)).sqrt()
    sl = 1 + 0.015 * (light - 50) ** 2 / (20 + (light - 50) ** 2).sqrt()
    sc, sh = 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    rt = -torch.sin(torch.deg2rad(2 * theta)) * rc
    square = (dl / sl) ** 2 + (dc / sc) ** 2 + (dhh / sh) ** 2 + rt * (dc / sc) * (dhh / sh)
    return square.clamp(min=0).sqrt().float()


def count_marks(logits: Tensor, marks: Tensor) -> Tensor:
    """Pixels (true positive, false positive, false negative) at opacity one half, (N, 3).

    Marks of less than half opacity, down to a quarter, may be found and need not be.
    """
    found, true = logits > 0, marks >= _MARKED_OPACITY
    pairs = (found & true, found & (marks < _FAINT_OPACITY), ~found & true)
    return torch.stack([p.sum((1, 2, 3)) for p in pairs], dim=1)


def summarise_f1(counts: Tensor) -> float:
    """F1 of summed counts (N, 3); 1 where there is nothing to find and nothing was found."""
    hit, wrong, missed = counts.sum(0).tolist()
    return 2 * hit / (2 * hit + wrong + missed) if hit + wrong + missed else 1.0


def count_scores(scores: Tensor, marks: Tensor) -> Tensor:
    """Pixels by the score that they were given, (2, 256) float64: those in marks, and the others.

    Args:
        scores: (N, 1, H, W) in [0, 1]; told apart in steps of 1/255.
        marks: (N, 1, H, W); a pixel is in a mark from opacity one half on, as for F1.
    """
    levels = (scores.clamp(0, 1) * 255).round().long()
    kinds = (marks >= _MARKED_OPACITY, marks < _MARKED_OPACITY)
    return torch.stack([torch.bincount(levels[k], minlength=256).double() for k in kinds])


def summarise_ap(counts: Tensor) -> float:
    """Average precision of summed counts (2, 256); 1 where there is nothing to find.

    Σ (R_k - R_{k-1}) P_k over falling thresholds, P precision and R recall. A score that is the
    same everywhere reaches the share of pixels in marks.

    Source:
        Everingham et al. 2015, "The PASCAL visual object classes challenge: a retrospective";
        without interpolation.
    """
    inside, outside = counts.flip(1).cumsum(1)  # found at each threshold, the highest first
    if inside[-1] == 0:
        return 1.0
    precision = inside / (inside + outside).clamp(min=1)
    gained = inside.diff(prepend=inside.new_zeros(1)) / inside[-1]
    return float((gained * precision).sum())


def measure_swd(restored: Tensor, clean: Tensor) -> float:
    """Sliced Wasserstein distance of two sets of photographs, times 1000, mean over scales.

    Compares the distributions of 7 × 7 patches on every level of a Laplacian pyramid: textures that
    are missing or invented count, wherever they are. The projections are always the same.

    Args:
        restored: (N, 3, H, W).
        clean: (N, 3, H, W), the same photographs in the same order.

    Source:
        Karras et al. 2018, "Progressive growing of GANs", section 5; we take the same patch places
        in both sets.
    """
    rng = np.random.default_rng(0)
    distances = []
    for ours, theirs in zip(_laplacian(restored), _laplacian(clean), strict=True):
        places = _draw_places(rng, ours.shape)
        a, b = _cut_patches(ours, places), _cut_patches(theirs, places)
        mean = b.mean((0, 2), keepdim=True)
        std = b.std((0, 2), keepdim=True).clamp(min=1e-6)
        a, b = ((p - mean) / std for p in (a, b))
        directions = torch.from_numpy(
            rng.standard_normal((a[0].numel(), _SWD_PROJECTIONS)).astype(np.float32)
        ).to(a.device)
        directions /= directions.norm(dim=0)
        ours_sorted = (a.flatten(1) @ directions).sort(dim=0).values
        theirs_sorted = (b.flatten(1) @ directions).sort(dim=0).values
        distances.append(float((ours_sorted - theirs_sorted).abs().mean()))
    return 1000 * math.fsum(distances) / len(distances)


def _laplacian(photo: Tensor) -> list[Tensor]:
    levels = []
    while min(photo.shape[-2:]) >= 32:
        small = F.avg_pool2d(photo, 2)
        back = F.interpolate(small, size=photo.shape[-2:], mode="bilinear", align_corners=False)
        levels.append(photo - back)
        photo = small
    return [*levels, photo]


def _draw_places(rng: np.random.Generator, shape: torch.Size) -> Tensor:
    num, _, height, width = shape
    draws = rng.random((num, _SWD_PATCHES, 2)) * (
        height - _SWD_PATCH_PX + 1,
        width - _SWD_PATCH_PX + 1,
    )
    return torch.from_numpy(draws.astype(np.int64))


def _cut_patches(photo: Tensor, places: Tensor) -> Tensor:
    """(N * patches, 3, 49)."""
    offsets = torch.arange(_SWD_PATCH_PX)
    rows = (places[:, :, 0, None] + offsets)[:, :, :, None]  # (N, P, 7, 1)
    columns = (places[:, :, 1, None] + offsets)[:, :, None, :]  # (N, P, 1, 7)
    which = torch.arange(photo.shape[0])[:, None, None, None]
    patches = photo.permute(0, 2, 3, 1)[which, rows, columns]  # (N, P, 7, 7, 3)
    return patches.flatten(0, 1).permute(0, 3, 1, 2).flatten(2)
