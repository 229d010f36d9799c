"""Damage consistency: the restored photograph, damaged again by its own recipe, is the input.

The output, damaged again, has the very grain and marks of the input, so a network gains nothing by
leaving them in. Where the damage hides the photograph (under opaque marks, in clipped tones), the
loss is the same for every output.
"""

from torch import Tensor

from train.damage.stages import Damage, redamage
from train.losses.fidelity import charbonnier


def measure_consistency_loss(restored: Tensor, damaged: Tensor, damage: Damage) -> Tensor:
    """Mean Charbonnier distance of the output, damaged again, from the input.

    Args:
        restored: (N, 3, H, W) RGB; clipped to [0, 1].
        damaged: (N, 3, H, W), the input.
        damage: Of the same batch.
    """
    return charbonnier(redamage(restored.clamp(0, 1), damage) - damaged).mean()
