"""Which terms the generator's loss has, what they weigh, and their shape."""

from __future__ import annotations

from typing import Literal

from train.config.schema import Config, Fraction, Weight


class LossWeights(Config, frozen=True, kw_only=True):
    """Weight of each term of the generator's loss; 0 leaves the term out.

    The five from `color` on are those of the colour network, which has no others. The last two are
    for generators with a close look.

    Attributes:
        luma: Charbonnier distance of luma.
        psnr: Logarithm of each photograph's mean squared error of luma.
        chroma: Charbonnier distance of chroma, rebalanced towards saturated colours.
        cast: Distance of each photograph's mean chroma.
        detail: Charbonnier distance of luma's and chroma's Laplacian pyramids.
        marks: Cross-entropy and Dice of the marks.
        adversarial: Hinge loss against the critic.
        features: Feature matching on the critic.
        consistency: Charbonnier distance of the output, damaged again, from the input.
        color: Distance of chroma, weighted as `LossShape.color_weighting` says.
        perceptual: Distance of a frozen classifier's features.
        stray_edges: Chroma that changes where luma doesn't.
        fringes: Chroma that changes more than the truth.
        hints: Error of chroma under hints.
        projected: Hinge loss against the projected critic.
        false_alarms: Cross-entropy of what is most surely called a mark where there are none.
        perceptual_detail: Distance of a frozen classifier's features of luma's detail.
    """

    luma: Weight = 0.5
    psnr: Weight = 0.0
    chroma: Weight = 1.0
    cast: Weight = 0.0
    detail: Weight = 1.0
    marks: Weight = 0.2
    adversarial: Weight = 0.01
    features: Weight = 0.1
    consistency: Weight = 0.3
    color: Weight = 4.0
    perceptual: Weight = 0.15
    stray_edges: Weight = 0.4
    fringes: Weight = 0.0
    hints: Weight = 2.0
    projected: Weight = 0.03
    false_alarms: Weight = 0.0
    perceptual_detail: Weight = 0.0


LOSS_NAMES: tuple[str, ...] = LossWeights.__struct_fields__


class LossShape(Config, frozen=True, kw_only=True):
    """Shape of the loss terms.

    Attributes:
        saturation_boost: How much more a fully saturated colour weighs than grey in `chroma`.
        marks_boost: How much more a pixel hidden by marks weighs in `luma` and `chroma`.
        color_weighting: Whether colours weigh more in `color` as they are saturated, or as they
            are rare.
        color_boost: How much more a fully saturated colour weighs than grey in `color`.
        thin_boost: How much more a thin opaque mark weighs in the `marks` of a close look.
        missed_share: Weight there of what is missed, against false alarms; 0.5: alike.
    """

    saturation_boost: Weight = 4.0
    marks_boost: Weight = 2.0
    color_weighting: Literal["saturation", "rarity"] = "saturation"
    color_boost: Weight = 6.0
    thin_boost: Weight = 0.0
    missed_share: Fraction = 0.5
