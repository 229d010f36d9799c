"""Estimate the damage of a real photograph by fitting the differentiable twin.

Given a restored photograph and the damaged one that it was made from, find the emulsion response,
characteristic curve, print tint, uneven light and fading, and blur with which `redamage` makes the
second of the first. Grain has no place here: the fit is of the mean, `grain_fit` has the rest.

The fit starts from simple statistics, runs on a reduced copy (tone, tint and fading are coarse) and
ends with the blur alone at the size of the photographs given. It is robust: what no damage of this
kind explains is left over, not averaged in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from restore.report.redamage import NUM_KNOTS, Damage, redamage
from restore.ycc import LUMA_WEIGHTS

Floats = NDArray[np.float32]

_FIT_SIDE_PX = 160
_NUM_STEPS = 100
_LEARNING_RATE = 0.04
_BETAS = (0.9, 0.999)
_NUM_CONTROLS = 13
"""Points of a curve that are fitted; between them it is straight."""
_GRID = 6
"""Points a side of the fields of light and fading."""
_ROBUST_SCALE = 0.03
_BLUR_RANGE_PX = (0.2, 8.0)
_BLUR_WINDOW_PX = 512
# Weights of the priors, beside a loss that counts 1 where a pixel is off by about two scales.
_PRIOR_BEND, _PRIOR_RESPONSE, _PRIOR_LIGHT, _PRIOR_FADE, _PRIOR_ROUGH = 0.02, 0.02, 0.1, 0.1, 0.2
_GREYS = np.array([0.0, 0.5, 1.0], np.float32)


@dataclass(frozen=True)
class DamageEstimate:
    """The estimated damage of one photograph, grain and marks apart.

    Attributes:
        is_monochrome: Whether the photograph was taken for a silver image, with one curve and one
            row of response, and a tint of its own.
        response: (3, 3) emulsion response, rows are output channels and sum to 1.
        curves: (3, NUM_KNOTS) characteristic curves.
        tint: (3, 3) colour (last axis) that black, middle grey and white have in the print.
        light: (n, n) share of the light that is left at evenly spaced points, corners included;
            1 where it is brightest.
        fade: (n, n) fading towards `fade_colour` at the same points.
        fade_colour: (3,).
        blur_sigma_px: Gaussian blur, in pixels of the photographs given; 0 for none.
    """

    is_monochrome: bool
    response: Floats
    curves: Floats
    tint: Floats
    light: Floats
    fade: Floats
    fade_colour: Floats
    blur_sigma_px: float

    def damage(self, height: int, width: int, *, blur_scale: float = 1.0) -> Damage:
        """The twin's parameters, as a batch of one without grain.

        Args:
            height: Rows of the photograph to damage.
            width: Columns.
            blur_scale: Its pixels per pixel of the photographs that the estimate was made from.
        """

        def batch(values: Floats) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values, np.float32))[None]

        return replace(
            Damage.none(1, 1, 1),  # fields of one point serve every point
            matrix=batch(self.response),
            knots=batch(self.curves),
            tone=batch(self.tint),
            fall_off=1 - _enlarge(batch(self.light)[None], height, width),
            age=_enlarge(batch(self.fade)[None], height, width).clamp(min=0),
            fade=torch.ones(1),
            fade_colour=batch(self.fade_colour),
            sigma_px=torch.tensor([self.blur_sigma_px * blur_scale]),
        )

    def print_curve(self) -> Floats:
        """(3, NUM_KNOTS) from a grey of the restored photograph to the colour in the print.

        Curve, tint and the mean of light and fading together: what can be told apart from a
        photograph alone.
        """
        light, fade = float(self.light.mean()), float(self.fade.mean())
        rows = []
        for c in range(3):
            exposed = np.clip(self.curves[c] * light, 0, 1)
            toned = np.interp(exposed, _GREYS, self.tint[:, c])
            rows.append(toned + fade * (self.fade_colour[c] - toned))
        return np.asarray(rows, np.float32)


def estimate_damage(
    restored: Floats, original: Floats, weight: Floats, *, is_monochrome: bool
) -> DamageEstimate:
    """Fit the twin's parameters.

    Args:
        restored: (H, W, 3) sRGB in [0, 1].
        original: (H, W, 3) likewise, the photograph it was made from.
        weight: (H, W) in [0, 1], 0 where marks hide the photograph.
        is_monochrome: Whether the original has no colours but its tint.

    Returns:
        The estimate; lengths in pixels of these photographs.
    """
    scale = min(1.0, _FIT_SIDE_PX / max(weight.shape))
    size = tuple(max(1, round(side * scale)) for side in weight.shape[::-1])
    small = [_reduce(weight[..., None] * photo, size) for photo in (restored, original)]
    small_weight = _reduce(weight, size)
    # Weighted means: a scratch must not leak into the reduced copy.
    cover = np.maximum(small_weight, np.float32(1e-3))[..., None]
    small = [np.asarray(photo / cover, np.float32) for photo in small]
    small_weight = np.where(small_weight > 0.5, small_weight, 0).astype(np.float32)
    model = _Model(small[0], small[1], small_weight, is_monochrome)
    blur_sigma_px = _fit_blur(model.estimate(), small[0], small[1], small_weight)
    _fit(model, _blur(small[0], blur_sigma_px), small[1], small_weight)
    estimate = model.estimate()
    y, x = _busiest_window(original, weight)
    window = (slice(y, y + _BLUR_WINDOW_PX), slice(x, x + _BLUR_WINDOW_PX))
    blur_sigma_px = _fit_blur(estimate, restored, original, weight, window)
    return replace(estimate, blur_sigma_px=blur_sigma_px)


class _Model(nn.Module):
    """The parameters while they are fitted."""

    def __init__(
        self, restored: Floats, original: Floats, weight: Floats, is_monochrome: bool
    ) -> None:
        super().__init__()
        self.is_monochrome = is_monochrome
        self.size = weight.shape
        seen = weight.ravel() > 0
        before, after = restored.reshape(-1, 3)[seen], original.reshape(-1, 3)[seen]
        start = np.eye(3, dtype=np.float32)
        if is_monochrome:
            start = _start_response(before, after @ LUMA_WEIGHTS)
            pairs = [(before @ start, after @ LUMA_WEIGHTS)]
        else:
            pairs = [(before[:, c], after[:, c]) for c in range(3)]
        controls = np.stack([_start_curve(*pair) for pair in pairs])
        self.start = nn.Parameter(torch.from_numpy(controls[:, :1]))
        rise = torch.from_numpy(np.diff(controls, axis=1)).clamp(min=2e-3)
        self.rise = nn.Parameter(torch.log(torch.expm1(rise * _NUM_CONTROLS)))
        chroma = _start_tint(after) if is_monochrome else np.zeros((3, 3), np.float32)
        self.chroma = nn.Parameter(torch.from_numpy(chroma), requires_grad=is_monochrome)
        weights = torch.from_numpy(start)
        self.response = nn.Parameter(weights.log() if is_monochrome else weights)
        self.light = nn.Parameter(torch.zeros(1, 1, _GRID, _GRID))
        self.fade = nn.Parameter(torch.full((1, 1, _GRID, _GRID), -4.0))
        top = np.percentile(after, 98, axis=0) if len(after) else np.ones(3)
        self.fade_colour = nn.Parameter(torch.from_numpy(np.asarray(top, np.float32)))
        self.neutral = Damage.none(1, 1, 1)  # fields of one point serve every point

    def curves(self) -> Tensor:
        """(3, _NUM_CONTROLS), rising."""
        rise = F.softplus(self.rise) / _NUM_CONTROLS
        curves = torch.cat([self.start, self.start + rise.cumsum(dim=1)], dim=1)
        return curves.expand(3, -1)

    def matrix(self) -> Tensor:
        """(3, 3), rows sum to 1."""
        if self.is_monochrome:
            return self.response.softmax(0).expand(3, 3)
        return self.response / self.response.sum(dim=1, keepdim=True)

    def tint(self) -> Tensor:
        """(3, 3): greys plus a colour without brightness."""
        luma = torch.from_numpy(LUMA_WEIGHTS)
        return torch.from_numpy(_GREYS)[:, None] + self.chroma - (self.chroma @ luma)[:, None]

    def fields(self) -> tuple[Tensor, Tensor]:
        """(1, 1, n, n) logarithm of the light, of mean 0, and fading."""
        return self.light - self.light.mean(), torch.sigmoid(self.fade)

    def damage(self) -> Damage:
        """At the size of the fit."""
        log_light, fade = self.fields()
        return replace(
            self.neutral,
            matrix=self.matrix()[None],
            knots=_to_knots(self.curves())[None],
            tone=self.tint()[None],
            fall_off=1 - _enlarge(log_light, *self.size).exp(),
            age=_enlarge(fade, *self.size).clamp(min=0),
            fade=torch.ones(1),
            fade_colour=self.fade_colour.clamp(0, 1)[None],
        )

    def prior(self) -> Tensor:
        """How far the parameters are from nothing in particular."""
        log_light, fade = self.fields()
        bends = self.curves().diff(n=2, dim=1) * _NUM_CONTROLS
        start = torch.from_numpy(LUMA_WEIGHTS) if self.is_monochrome else torch.eye(3)
        rough = sum(field.diff(n=2, dim=axis).square().mean()
                    for field in (log_light, fade) for axis in (2, 3))  # fmt: skip
        return (
            _PRIOR_BEND * bends.square().mean()
            + _PRIOR_RESPONSE * (self.matrix() - start).square().mean()
            + _PRIOR_LIGHT * log_light.square().mean()
            + _PRIOR_FADE * fade.mean()
            + _PRIOR_ROUGH * rough
        )

    @torch.no_grad()
    def estimate(self) -> DamageEstimate:
        """The parameters as they are, without blur; the brightest place has all its light."""
        log_light, fade = self.fields()
        light = log_light.exp()[0, 0]
        most = light.max()

        def array(values: Tensor) -> Floats:
            return values.detach().numpy().astype(np.float32).copy()

        return DamageEstimate(
            is_monochrome=self.is_monochrome,
            response=array(self.matrix()),
            curves=array(_to_knots(self.curves()) * most),
            tint=array(self.tint()),
            light=array(light / most),
            fade=array(fade[0, 0]),
            fade_colour=array(self.fade_colour.clamp(0, 1)),
            blur_sigma_px=0.0,
        )


def _fit(model: _Model, restored: Floats, original: Floats, weight: Floats) -> None:
    """Descend on the parameters of a model, in place."""
    before, after, mask = (_to_batch(p) for p in (restored, original, weight[..., None]))
    mask = mask / mask.sum().clamp(min=1) / 3
    parameters = [p for p in model.parameters() if p.requires_grad]
    means = [torch.zeros_like(p) for p in parameters]
    squares = [torch.zeros_like(p) for p in parameters]
    for step in range(_NUM_STEPS):
        off = (redamage(before, model.damage()) - after) / _ROBUST_SCALE
        loss = (mask * torch.log1p(off.square())).sum() + model.prior()
        # Adam by hand: torch.optim imports its compiler, seconds and hundreds of megabytes.
        rate = _LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / _NUM_STEPS))
        for parameter, slope, mean, square in zip(
            parameters, torch.autograd.grad(loss, parameters), means, squares, strict=True
        ):
            mean.lerp_(slope, 1 - _BETAS[0])
            square.lerp_(slope.square(), 1 - _BETAS[1])
            size = (square / (1 - _BETAS[1] ** (step + 1))).sqrt() + 1e-8
            parameter.data -= rate / (1 - _BETAS[0] ** (step + 1)) * mean / size


def _blur(photo: Floats, sigma_px: float) -> Floats:
    """Blur ahead of the fit: the lens comes before the emulsion, and both are linear."""
    if sigma_px == 0:
        return photo
    return np.asarray(cv2.GaussianBlur(photo, (0, 0), sigma_px), np.float32)


def _fit_blur(
    estimate: DamageEstimate,
    restored: Floats,
    original: Floats,
    weight: Floats,
    window: tuple[slice, slice] = (slice(None), slice(None)),
) -> float:
    """Deviation of the blur, by golden section on its logarithm, within a window."""
    before, after = _to_batch(restored[window]), _to_batch(original[window])
    mask = _to_batch(weight[window][..., None])
    whole = estimate.damage(*weight.shape)
    cut = replace(
        Damage.none(1, 1, 1),
        **{name: getattr(whole, name) for name in ("matrix", "knots", "tone", "fade")},
        fade_colour=whole.fade_colour,
        fall_off=whole.fall_off[..., window[0], window[1]],
        age=whole.age[..., window[0], window[1]],
    )
    most = min(_BLUR_RANGE_PX[1], (min(mask.shape[-2:]) - 1) / 3)

    @torch.no_grad()
    def misfit(sigma_px: float) -> float:
        off = redamage(before, replace(cut, sigma_px=torch.tensor([sigma_px]))) - after
        return float((mask * torch.log1p((off / _ROBUST_SCALE).square())).mean())

    if most <= _BLUR_RANGE_PX[0]:
        return 0.0
    low, high = math.log(_BLUR_RANGE_PX[0]), math.log(most)
    ratio = (math.sqrt(5) - 1) / 2
    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [misfit(math.exp(p)) for p in inner]
    for _ in range(8):
        if values[0] < values[1]:
            high = inner[1]
            inner = [high - ratio * (high - low), inner[0]]
            values = [misfit(math.exp(inner[0])), values[0]]
        else:
            low = inner[0]
            inner = [inner[1], low + ratio * (high - low)]
            values = [values[1], misfit(math.exp(inner[1]))]
    best = math.exp((low + high) / 2)
    return best if misfit(best) < misfit(0.0) else 0.0


def _busiest_window(photo: Floats, weight: Floats) -> tuple[int, int]:
    """Top left corner of the window with the most edges outside the marks."""
    luma = cv2.GaussianBlur(photo @ LUMA_WEIGHTS, (0, 0), 1.5)
    edges = np.abs(np.diff(luma, axis=0, append=luma[-1:]))
    edges = (edges + np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))) * weight
    sums = cv2.integral(edges)
    height, width = weight.shape
    rows = np.unique(np.linspace(0, max(0, height - _BLUR_WINDOW_PX), 5).astype(int))
    columns = np.unique(np.linspace(0, max(0, width - _BLUR_WINDOW_PX), 5).astype(int))

    def total(y: int, x: int) -> float:
        bottom, right = min(height, y + _BLUR_WINDOW_PX), min(width, x + _BLUR_WINDOW_PX)
        return float(sums[bottom, right] - sums[y, right] - sums[bottom, x] + sums[y, x])

    return max(((int(y), int(x)) for y in rows for x in columns), key=lambda place: total(*place))


def _start_response(before: Floats, after: Floats) -> Floats:
    """(3,) what share of red, green and blue makes the tones, the best of a few.

    Args:
        before: (n, 3) restored colours.
        after: (n,) brightness that became of them.
    """
    before, after = before[:: 1 + len(before) // 8000], after[:: 1 + len(after) // 8000]
    steps = range(5)
    shares = [(r / 4, g / 4, 1 - r / 4 - g / 4) for r in steps for g in steps if r + g <= 4]
    best, best_cost = LUMA_WEIGHTS, math.inf
    for share in (tuple(LUMA_WEIGHTS), *shares):
        weights = np.clip(share, 0.03, None).astype(np.float32)
        weights /= weights.sum()
        exposed = before @ weights
        curve = _start_curve(exposed, after)
        off = np.interp(exposed, np.linspace(0, 1, _NUM_CONTROLS), curve) - after
        cost = float(np.log1p((off / _ROBUST_SCALE) ** 2).mean()) if len(after) else 0.0
        cost += _PRIOR_RESPONSE * float(((weights - LUMA_WEIGHTS) ** 2).mean())
        if cost < best_cost:
            best, best_cost = weights, cost
    return best


def _start_curve(before: Floats, after: Floats) -> Floats:
    """Median of the tones that became of each tone, at the controls of a curve."""
    places = np.linspace(0, 1, _NUM_CONTROLS)
    index = np.rint(before * (_NUM_CONTROLS - 1)).astype(int)
    enough = max(10, len(before) // 1000)
    known = [i for i in range(_NUM_CONTROLS) if np.count_nonzero(index == i) >= enough]
    if len(known) < 2:
        return places.astype(np.float32)
    medians = np.maximum.accumulate([np.median(after[index == i]) for i in known])
    curve = np.interp(places, places[known], medians)
    # Tones that do not occur: straight on, as far as the range allows.
    slope = (medians[-1] - medians[0]) / (places[known[-1]] - places[known[0]])
    low, high = places < places[known[0]], places > places[known[-1]]
    curve[low] = medians[0] + slope * (places[low] - places[known[0]])
    curve[high] = medians[-1] + slope * (places[high] - places[known[-1]])
    return np.maximum.accumulate(curve.clip(0, 1)).astype(np.float32)


def _start_tint(after: Floats) -> Floats:
    """(3, 3) colour without brightness of black, middle grey and white."""
    luma = (after @ LUMA_WEIGHTS).clip(0, 1)
    hats = np.stack([np.clip(1 - np.abs(luma - grey) * 2, 0, 1) for grey in _GREYS], axis=1)
    normal = hats.T @ hats + 1e-3 * max(1, len(luma)) * np.eye(3)
    return np.linalg.solve(normal, hats.T @ (after - luma[:, None])).astype(np.float32)


def _to_knots(controls: Tensor) -> Tensor:
    """(3, _NUM_CONTROLS) to (3, NUM_KNOTS)."""
    return F.interpolate(controls[None], size=NUM_KNOTS, mode="linear", align_corners=True)[0]


def _enlarge(grid: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=True)


def _reduce(photo: Floats, size: tuple[int, ...]) -> Floats:
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.float32)


def _to_batch(photo: Floats) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(photo.transpose(2, 0, 1)))[None]
