"""The loss of a close look: fidelity, marks found without false alarms, and detail as it looks.

Marks are weighed so that thin opaque ones are found, and what is no mark is left alone; luma's
detail is compared by a classifier's features on the tone of the clean photograph, so that tone,
which can't be known, plays no part in it.
"""

from __future__ import annotations

import math

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor

from train.config.losses import LossShape, LossWeights
from train.damage.laid import find_thin
from train.losses.fidelity import FidelityLoss, split_luma_chroma, sum_all
from train.losses.perceptual import Judged, judge, measure_perceptual
from train.network.features import FrozenFeatures
from train.network.generator import Look
from train.network.toning import make_neutral, measure_toning, measure_toning_reduced
from train.sliding import max_around, mean_around

# Marks of this opacity hide enough of what is under them to be found and filled entirely.
_HIDING_OPACITY = 0.5
# Up to this opacity a pixel counts as beside marks.
_BESIDE_OPACITY = 0.03
# What surrounds a mark: of a square of this side around it, at one of these reductions, what is no
# mark; at the finest at which that is enough.
_AROUND_PX = 15
_REDUCTIONS = (1, 4)
_MIN_BESIDE_FRAC = 0.05
# A mark's contrast is the mean over what of it is in a square of this side, so that noise cancels.
_NEAR_PX = 7
# A mark is seen if it stands out by this much and by this share of the deviations around it.
_SEEN_CONTRAST = 8 / 255
_SEEN_SHARE = 0.5
# A pixel of a thin mark is to be found from this share of that on, and entirely from one more on.
_UNSEEN = 0.5
# What is sound: no mark of more opacity is so near.
_MAX_OPACITY = 0.02
_NEAR_MARK_PX = 2
_MIN_SOUND_FRAC = 0.5
# Of a photograph, the share of pixels that are most surely called marks.
_HARDEST_FRAC = 0.01
# Tone is what is coarser than this, detail what is finer.
_TONE_PX = 16


@torch.no_grad()
def find_wanted(damaged: Tensor, marks: Tensor) -> tuple[Tensor, Tensor]:
    """What is to be found of marks, and how far each pixel counts: (N, 1, H, W) in [0, 1].

    Half opaque marks are to be found entirely, and thin ones as far as they are seen: a black speck
    on a forehead is half as wide as a pixel, and so a third opaque. Nobody finds white dust on a
    white sky, nor a faint speck in gravel. Who is asked for them learns to doubt those that are
    plain to see: they count less.

    Args:
        damaged: (N, 3, H, W) RGB in [0, 1].
        marks: (N, 1, H, W) opacity in [0, 1]; H and W multiples of 4.
    """
    luma, opacity = split_luma_chroma(damaged)[0][:, 0], marks[:, 0]  # (N, H, W)
    beside = (max_around(marks, 3)[:, 0] <= _BESIDE_OPACITY).to(luma.dtype)
    planes = torch.stack([beside, luma * beside, luma.square() * beside], dim=1)  # (N, 3, H, W)
    mean, deviation, share = luma, torch.ones_like(luma), torch.zeros_like(luma)
    for reduction in reversed(_REDUCTIONS):
        around = mean_around(F.avg_pool2d(planes, reduction), _AROUND_PX)
        part, total, squares = _enlarge(around, reduction).unbind(1)
        near = total / part.clamp(min=1e-6)
        variance = (squares / part.clamp(min=1e-6) - near.square()).clamp(min=0)
        enough = part >= _MIN_BESIDE_FRAC
        mean = torch.where(enough, near, mean)
        deviation = torch.where(enough, variance.sqrt(), deviation)
        share = torch.where(enough, part, share)
    inside = opacity * (opacity > _BESIDE_OPACITY)
    planes = torch.stack([(luma - mean) * inside, inside, inside.square()], dim=1)
    difference, total, squares = mean_around(planes, _NEAR_PX).abs().unbind(1)
    limit = _SEEN_CONTRAST + _SEEN_SHARE * deviation
    seen = (difference / total.clamp(min=1e-6) / limit).clamp(max=1)
    ink = difference / squares.clamp(min=1e-6)  # how far the ink is from what is around
    thin = find_thin(marks)[:, 0]
    stands_out = (thin * ink / limit - _UNSEEN).clamp(0, 1)
    is_known = (inside > 0) & (share > 0)  # what is wider than its surroundings can't be compared
    hiding = find_hiding(opacity)
    hiding = torch.where(is_known, hiding.maximum(stands_out), hiding)
    return hiding[:, None], torch.where(is_known, seen, 1.0)[:, None]


def _enlarge(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear") if factor > 1 else x


def find_hiding(marks: Tensor) -> Tensor:
    """What is to be found of marks by opacity alone: those that are half opaque count entirely."""
    return (marks / _HIDING_OPACITY).clamp(max=1)


def measure_found_marks(
    logits: Tensor, marks: Tensor, visible: Tensor, thin_boost: float, missed_share: float
) -> Tensor:
    """Weighted cross-entropy plus Tversky loss of the marks; half-opaque marks are accepted.

    Thin marks cover few pixels: what misses all hairs still has a good mean, and a good Dice where
    there is a stain. So a pixel of a thin mark weighs more, by its opacity: opaque hairs are what
    anyone sees. And a miss costs more than a false alarm, since what is missed is left in the
    photograph, while what is filled needlessly goes on from around it.

    Args:
        logits: (N, 1, H, W).
        marks: (N, 1, H, W) in [0, 1].
        visible: (N, 1, H, W), how far each pixel counts.
        thin_boost: How much more a pixel of a thin opaque mark weighs than others.
        missed_share: Weight of misses; that of false alarms is what is left to 1. At .5, and
            without boost, this is `train.losses.fidelity.measure_marks`.

    Source:
        Salehi, Erdogmus, Gholipour 2017, "Tversky loss function for image segmentation using 3D
        fully convolutional deep networks", eq. 4; ours has squares as Milletari, Navab, Ahmadi
        2016, "V-Net", so that each mark is best answered by about the number it is given here.
    """
    weights = visible * (1 + thin_boost * find_thin(marks))
    entropy = F.binary_cross_entropy_with_logits(logits, marks, reduction="none")
    found = torch.sigmoid(logits)
    overlap = sum_all(weights * found * marks)
    false, missed = sum_all(weights * found.square()), sum_all(weights * marks.square())
    tversky = 1 - (overlap + 0.5) / ((1 - missed_share) * false + missed_share * missed + 0.5)
    return sum_all(weights * entropy) / sum_all(weights) + tversky


@torch.no_grad()
def find_sound(marks: Tensor) -> Tensor:
    """Where no mark is near, however grainy, faded or blurred it is: (N, 1, H, W) of 0 and 1."""
    near = max_around(marks, 2 * _NEAR_MARK_PX + 1)
    return (near <= _MAX_OPACITY).to(marks.dtype)


def measure_false_alarms(logits: Tensor, sound: Tensor) -> Tensor:
    """Cross-entropy of the pixels most surely called marks, over what is sound in photographs.

    A rim, a spoke, an eyelash: false alarms are few, so the mean over all pixels hides them.

    Args:
        logits: (N, 1, H, W).
        sound: (N, 1, H, W) of 0 and 1, from `find_sound`.

    Returns:
        The mean over the photographs of which at least half is sound; 0 where there are none.

    Source:
        Shrivastava, Gupta, Girshick 2016, "Training region-based object detectors with online hard
        example mining"; ours mines pixels.
    """
    counts = (sound.mean((1, 2, 3)) >= _MIN_SOUND_FRAC).to(logits.dtype)  # (N,)
    pixels = (F.softplus(logits) * sound).flatten(1)  # (N, H * W)
    num = math.ceil(_HARDEST_FRAC * pixels.shape[1])
    hardest = pixels.topk(num, dim=1, sorted=False).values.mean(1)
    return sum_all(hardest * counts) / sum_all(counts).clamp(min=1)


def lay_detail(luma: Tensor, true_luma: Tensor) -> Tensor:
    """Detail of a restored luma on the tone of the true one, in three bands.

    Args:
        luma: (N, 1, H, W); H and W multiples of 16.
        true_luma: Likewise, of the clean photograph.

    Returns:
        (N, 3, H, W).
    """
    missing = F.avg_pool2d(true_luma - luma, _TONE_PX)
    missing = F.interpolate(missing, scale_factor=float(_TONE_PX), mode="bilinear")
    return (luma + missing).expand(-1, 3, -1, -1)


def make_neutral_where_toned(clean: Tensor, damaged: Tensor, look: Look | None = None) -> Tensor:
    """Clean photographs (N, 3, H, W), neutral where the damaged ones have no colours.

    Of parts, with a look at their wholes, the wholes decide, as for the generator: a brown door is
    no toned photograph.
    """
    toning = measure_toning_reduced(damaged) if look is None else measure_toning(look.photo)  # (N,)
    return clean + toning[:, None, None, None] * (make_neutral(clean) - clean)


class RepairLoss(FidelityLoss):
    """The loss of a generator with a close look, without a critic.

    Attributes:
        features: For the perceptual term and the projected critic; None where neither is wanted.
        judged: What was judged in the last batch.
    """

    def __init__(
        self,
        weights: LossWeights,
        shape: LossShape,
        features: FrozenFeatures | None,
        *,
        guesses_colors: bool = True,
    ) -> None:
        """Weigh the terms; see `train.config.losses`.

        Args:
            weights: Of the terms.
            shape: Of the terms.
            features: See the class.
            guesses_colors: Whether photographs without colours are to be given some; else neutral
                ones are wanted, since a colour network lays them.
        """
        super().__init__(weights, shape)
        self.features = features
        self.guesses_colors = guesses_colors
        self.judged: Judged | None = None

    def forward(
        self,
        pred: tuple[Tensor, Tensor],
        clean: Tensor,
        marks: Tensor,
        damaged: Tensor,
        look: Look | None = None,
    ) -> Tensor:
        """See `FidelityLoss.forward`; `look` as in `train.network.generator.Generator.forward`."""
        wanted = clean if self.guesses_colors else make_neutral_where_toned(clean, damaged, look)
        total = super().forward(pred, wanted, marks, damaged)
        if self.weights.false_alarms > 0:
            value = measure_false_alarms(pred[1], find_sound(marks))
            total = total + self.weigh("false_alarms", value)
        if self.features is not None:
            luma, _ = split_luma_chroma(pred[0])
            true_luma, _ = split_luma_chroma(clean)
            true_photo = true_luma.expand(-1, 3, -1, -1)
            self.judged = judge(lay_detail(luma, true_luma), true_photo, self.features)
            if self.weights.perceptual_detail > 0:
                value = measure_perceptual(self.judged.features, self.judged.true_features)
                total = total + self.weigh("perceptual_detail", value)
        return total

    def compare_marks(self, logits: Tensor, marks: Tensor, damaged: Tensor) -> Tensor:
        """See `measure_found_marks`."""
        wanted, visible = find_wanted(damaged, marks)
        thin_boost, missed_share = self.shape.thin_boost, self.shape.missed_share
        return measure_found_marks(logits, wanted, visible, thin_boost, missed_share)


class MarksLoss(RepairLoss):
    """The loss of marks stages: of the marks alone."""

    def __init__(self, weights: LossWeights, shape: LossShape) -> None:
        """Weigh the terms."""
        alone = {"luma": 0.0, "psnr": 0.0, "chroma": 0.0, "cast": 0.0, "detail": 0.0}
        super().__init__(msgspec.structs.replace(weights, **alone), shape, None)
