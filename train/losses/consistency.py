"""Damage consistency: the restored photograph, damaged again by its own recipe, is the input.

The re-damaged output carries the very grain and marks of the input, so the loss cannot be won by
leaving them in, and where the damage hides the photograph (under opaque marks, in clipped tones) it
asks for nothing.
"""

from torch import Tensor

from degrade import PairReader
from train.damage.stages import Damage, redamage
from train.damage.twin import Damages, PackedDamage
from train.fastai_names import Callback
from train.losses.fidelity import FidelityLoss, charbonnier


def measure_consistency(restored: Tensor, damaged: Tensor, damage: Damage) -> Tensor:
    """Mean Charbonnier distance of the output, damaged again, from the input.

    Args:
        restored: (N, 3, H, W) RGB; clipped to [0, 1].
        damaged: (N, 3, H, W), the input.
        damage: Of the same batch.
    """
    return charbonnier(redamage(restored.clamp(0, 1), damage) - damaged).mean()


class Consistency(Callback):  # type: ignore[misc]  # fastai ships no types
    """Adds the damage consistency of each batch to the generator's loss."""

    order = 8
    run_valid = False

    def __init__(self, reader: PairReader) -> None:
        self.damages = Damages(reader)

    def before_train(self) -> None:
        """Ask the loader's workers for the damages."""
        self.dls.train.damages = self.damages

    def after_loss(self) -> None:
        """Add the term."""
        loss: FidelityLoss = self.loss_func
        restored, damaged = self.pred[0], self.x
        packed: PackedDamage | None = self.y[4]
        assert packed is not None
        value = measure_consistency(restored, damaged, packed.unpack(damaged.device))
        self.learn.loss_grad += loss.weigh("consistency", value)
        self.learn.loss = self.loss_grad.detach().clone()
