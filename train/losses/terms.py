"""What the losses share: a sum of terms, each with a name and a weight."""

from __future__ import annotations

from torch import Tensor, nn

from train.config.losses import LossWeights


class WeighedTerms(nn.Module):
    """A loss that notes its terms; further ones are added by callbacks.

    Attributes:
        weights: By name of the term.
        terms: Unweighted values of the last batch, by name, detached.
    """

    def __init__(self, weights: LossWeights) -> None:
        super().__init__()
        self.weights = weights
        self.terms: dict[str, Tensor] = {}

    def weigh(self, name: str, value: Tensor) -> Tensor:
        """Note a term's value and return it times its weight."""
        self.terms[name] = value.detach()
        return value * float(getattr(self.weights, name))
