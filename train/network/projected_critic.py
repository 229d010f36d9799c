"""The projected critic: judges the features of photographs rather than photographs.

Source:
    Sauer et al. 2021, "Projected GANs converge faster", section 3: a critic on each of several
    scales of a frozen classifier's features. Theirs are mixed at random first, ours are taken as
    they are; spectral norm as there (Miyato et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

_WIDTH = 64
_SLOPE = 0.2


def _build_head(num_in: int) -> nn.Sequential:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(num_in, _WIDTH, 1)),
        nn.LeakyReLU(_SLOPE),
        spectral_norm(nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)),
        nn.LeakyReLU(_SLOPE),
        spectral_norm(nn.Conv2d(_WIDTH, 1, 3, padding=1)),
    )


class ProjectedCritic(nn.Module):
    """A small critic on each scale of a classifier's features."""

    def __init__(self, widths: Sequence[int]) -> None:
        """Judge features of so many channels, one number for each scale."""
        super().__init__()
        self.heads = nn.ModuleList(map(_build_head, widths))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Verdicts (N, 1, h, w) on features (N, C, h, w) of each scale, high for clean."""
        return [head(f) for head, f in zip(self.heads, features, strict=True)]
