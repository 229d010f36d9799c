"""The terms of the losses: small functions of tensors, each with its source.

Photographs are (N, 3, H, W) RGB in [0, 1]. Distances are measured on luma and chroma apart, since
colour is guessed where luma is known.
"""

from __future__ import annotations

import math

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor

from train.config.losses import LossShape, LossWeights
from train.losses.terms import WeighedTerms
from train.parallel import count, unite

CHARBONNIER_EPSILON = 1e-3
# Mean squared error at which a photograph counts as restored: 50 dB.
MIN_MSE = 1e-5
# Chroma vectors of natural photographs are seldom longer than this (a pure primary: about 0.6).
FULL_SATURATION = 0.3

# ITU-R BT.601 luma, and the colour differences scaled to [-0.5, 0.5].
_YCBCR = (
    (0.299, 0.587, 0.114),
    (-0.168736, -0.331264, 0.5),
    (0.5, -0.418688, -0.081312),
)


def split_luma_chroma(photo: Tensor) -> tuple[Tensor, Tensor]:
    """Luma (N, 1, H, W) in [0, 1] and chroma (N, 2, H, W) in [-0.5, 0.5] of a photograph.

    Source:
        ITU-R BT.601-7, section 2.5 (full range).
    """
    matrix = torch.tensor(_YCBCR, dtype=photo.dtype, device=photo.device)
    ycbcr = F.conv2d(photo, matrix[:, :, None, None])
    return ycbcr[:, :1], ycbcr[:, 1:]


def join_luma_chroma(luma: Tensor, chroma: Tensor) -> Tensor:
    """The photograph (N, 3, H, W) of luma and chroma: the inverse of `split_luma_chroma`."""
    matrix = torch.tensor(_YCBCR, dtype=torch.float64).inverse().to(luma)
    return F.conv2d(torch.cat([luma, chroma], dim=1), matrix[:, :, None, None])


def charbonnier(difference: Tensor) -> Tensor:
    """sqrt(d² + ε²) - ε of each value: like |d|, but smooth at 0.

    Source:
        Charbonnier, Blanc-Féraud, Aubert, Barlaud 1994, "Two deterministic half-quadratic
        regularization algorithms for computed imaging"; we subtract ε so that 0 costs 0.
    """
    return (difference.square() + CHARBONNIER_EPSILON**2).sqrt() - CHARBONNIER_EPSILON


def weigh_marks(marks: Tensor, boost: float) -> Tensor:
    """Weights (N, 1, H, W) of pixels: 1 where the photograph is seen, 1 + boost under marks.

    Source:
        Liu et al. 2018, "Image inpainting for irregular holes using partial convolutions", eq. 7
        weighs holes by 6 and the rest by 1; here by the opacity.
    """
    return 1 + boost * marks


def weigh_saturation(chroma: Tensor, boost: float) -> Tensor:
    """Weights (N, 1, H, W) of pixels by the saturation of their true colour; their mean is 1.

    Under an absolute loss the best guess is a median, and the median of natural colours is nearly
    grey. So without weights a network learns to give brown instead of colours.

    Args:
        chroma: (N, 2, H, W) of the clean photograph.
        boost: How much more a saturated pixel weighs than a grey one.

    Source:
        Zhang, Isola, Efros 2016, "Colorful image colorization", section 2.2 (class rebalancing);
        theirs are weights of colour bins by rarity, ours grow with the chroma's length.
    """
    length = torch.linalg.vector_norm(chroma, dim=1, keepdim=True)
    weights = 1 + boost * (length / FULL_SATURATION).clamp(max=1)
    return weights / unite(weights.mean())


def measure_luma(restored: Tensor, clean: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean Charbonnier distance of luma."""
    return (charbonnier(restored - clean) * weights).mean()


def measure_psnr(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean over photographs of log10(MSE + 1e-5) + 5: a tenth of the dB missing to 50 dB.

    Each photograph counts by the share of its error that is taken away. So a photograph with little
    damage weighs as much as a faded one, whose tone can't be known, and changing an undamaged one
    costs something.

    Args:
        restored: (N, 1, H, W) luma.
        clean: (N, 1, H, W).

    Source:
        Chen et al. 2021, "HINet: half instance normalization network for image restoration",
        section 3.3 (the PSNR loss); the floor is ours, and train.measure.metrics' bound of 50 dB.
    """
    squares = (restored - clean).square().mean((1, 2, 3))
    return ((squares + MIN_MSE).log10() - math.log10(MIN_MSE)).mean()


def measure_chroma(restored: Tensor, clean: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean Charbonnier distance of chroma, by the length of its difference."""
    squares = (restored - clean).square().sum(1, keepdim=True)
    distance = (squares + CHARBONNIER_EPSILON**2).sqrt() - CHARBONNIER_EPSILON
    return (distance * weights).mean()


def measure_cast(restored: Tensor, clean: Tensor) -> Tensor:
    """Mean distance between the mean chroma (N, 2, H, W) of each photograph and what it should be.

    What is wrong everywhere hides behind what is wrong somewhere: where colours can't be known, a
    cast that is left adds little to `measure_chroma`.
    """
    apart = (restored - clean).mean((2, 3))
    distance = (apart.square().sum(1) + CHARBONNIER_EPSILON**2).sqrt() - CHARBONNIER_EPSILON
    return distance.mean()


def measure_detail(restored: Tensor, clean: Tensor, weights: Tensor, num_scales: int = 4) -> Tensor:
    """Weighted mean Charbonnier distance of Laplacian pyramids, summed over their bands.

    Tone and colour of an old photograph can't be known. Where the tone is wrong, an absolute loss
    hardly changes with grain: |bias + noise| is no larger than |bias| on average. The bands don't
    hold the bias, so in them grain always counts.

    Args:
        restored: (N, C, H, W) luma or chroma; H and W multiples of 2^num_scales.
        clean: (N, C, H, W).
        weights: (N, 1, H, W).
        num_scales: Bands; what is coarser doesn't count.

    Source:
        Bojanowski et al. 2018, "Optimizing the latent space of generative networks", eq. 3; ours
        halves by averaging and weighs all bands alike.
    """
    error = restored - clean
    total = error.new_zeros(())
    for _ in range(num_scales):
        small = F.avg_pool2d(error, 2)
        back = F.interpolate(small, scale_factor=2.0, mode="bilinear", align_corners=False)
        total = total + (charbonnier(error - back) * weights).mean()
        error, weights = small, F.avg_pool2d(weights, 2)
    return total


def measure_marks(logits: Tensor, marks: Tensor) -> Tensor:
    """Cross-entropy plus Dice of the marks; both accept half-opaque marks.

    Args:
        logits: (N, 1, H, W).
        marks: (N, 1, H, W) opacity in [0, 1].

    Source:
        Milletari, Navab, Ahmadi 2016, "V-Net", eq. 2-3 (Dice with squares in the denominator, so
        that a half-opaque mark is best answered by its opacity), over the whole batch.
    """
    found = torch.sigmoid(logits)
    overlap = 2 * sum_all(found * marks) + 1
    dice = 1 - overlap / (sum_all(found.square()) + sum_all(marks.square()) + 1)
    return F.binary_cross_entropy_with_logits(logits, marks) + dice


def sum_all(values: Tensor) -> Tensor:
    """Sum over the whole batch, over all processes."""
    return count() * unite(values.sum())


class FidelityLoss(WeighedTerms):
    """The generator's loss without the critic; further terms are added by callbacks."""

    def __init__(self, weights: LossWeights, shape: LossShape) -> None:
        super().__init__(weights)
        self.shape = shape

    def forward(
        self, pred: tuple[Tensor, Tensor], clean: Tensor, marks: Tensor, damaged: Tensor
    ) -> Tensor:
        """Weighted sum of the terms; a term of weight 0 isn't computed.

        Args:
            pred: restored (N, 3, H, W) and marks logits (N, 1, H, W).
            clean: (N, 3, H, W).
            marks: (N, 1, H, W).
            damaged: (N, 3, H, W), what was restored.
        """
        restored, logits = pred
        self.terms = {}
        luma, chroma = split_luma_chroma(restored)
        true_luma, true_chroma = split_luma_chroma(clean)
        hidden = weigh_marks(marks, self.shape.marks_boost)
        total = restored.new_zeros(())
        if self.weights.luma > 0:
            total = total + self.weigh("luma", measure_luma(luma, true_luma, hidden))
        if self.weights.psnr > 0:
            total = total + self.weigh("psnr", measure_psnr(luma, true_luma))
        if self.weights.chroma > 0:
            saturation = weigh_saturation(true_chroma, self.shape.saturation_boost)
            value = measure_chroma(chroma, true_chroma, hidden * saturation)
            total = total + self.weigh("chroma", value)
        if self.weights.cast > 0:
            total = total + self.weigh("cast", measure_cast(chroma, true_chroma))
        if self.weights.detail > 0:
            value = measure_detail(luma, true_luma, hidden)
            value = value + measure_detail(chroma, true_chroma, hidden)
            total = total + self.weigh("detail", value)
        if self.weights.marks > 0:
            total = total + self.weigh("marks", self.compare_marks(logits, marks, damaged))
        return total

    def compare_marks(self, logits: Tensor, marks: Tensor, damaged: Tensor) -> Tensor:
        """See `measure_marks`."""
        return measure_marks(logits, marks)


class CoarseLoss(FidelityLoss):
    """The loss of global stages: luma, chroma and casts alone, at a quarter of the size.

    Grain, which a global branch can't take away, is averaged out there.
    """

    def __init__(self, weights: LossWeights, shape: LossShape) -> None:
        super().__init__(msgspec.structs.replace(weights, detail=0.0, marks=0.0), shape)

    def forward(
        self, pred: tuple[Tensor, Tensor], clean: Tensor, marks: Tensor, damaged: Tensor
    ) -> Tensor:
        """Weighted sum of the terms.

        Args:
            pred: restored (N, 3, H, W), and how far the colours of each photograph count (N,).
            clean: (N, 3, H, W).
            marks: (N, 1, H, W).
            damaged: (N, 3, H, W); only marks depend on it, which don't count here.
        """
        restored, colored = pred
        restored, clean, marks = (F.avg_pool2d(p, 4) for p in (restored, clean, marks))
        luma, chroma = split_luma_chroma(restored)
        _, true_chroma = split_luma_chroma(clean)
        # Colours that don't count are as they should be: they neither cost nor teach anything.
        counted = colored[:, None, None, None]
        chroma = true_chroma + counted * (chroma - true_chroma)
        restored = join_luma_chroma(luma, chroma)
        return super().forward((restored, marks), clean, marks, damaged)
