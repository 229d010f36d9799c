"""The critic: judges, patch by patch, whether a photograph is clean or restored.

Conditional (it sees the damaged photograph beside the restored one), at several scales, under
spectral norm; small enough to train on a CPU.

Source:
    Isola et al. 2017 (pix2pix: conditional PatchGAN), Wang et al. 2018 (pix2pixHD: several scales),
    Miyato et al. 2018 (spectral norm).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from train.config.critics import CriticConfig


def _conv(num_in: int, num_out: int, kernel: int, stride: int) -> nn.Module:
    conv = nn.Conv2d(num_in, num_out, kernel, stride, padding=kernel // 2 - (stride == 2))
    return spectral_norm(conv)


class PatchCritic(nn.Module):
    """One scale of the critic."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        widths_in = (6, *widths)
        self.down = nn.ModuleList(
            _conv(widths_in[i], width, 4, 2) for i, width in enumerate(widths[:-1])
        )
        self.last = _conv(widths_in[len(widths) - 1], widths[-1], 3, 1)
        self.verdict = _conv(widths[-1], 1, 3, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Judge (N, 6, H, W): verdicts (N, 1, h, w) and the features of every layer."""
        features: list[Tensor] = []
        for layer in (*self.down, self.last):
            x = F.leaky_relu(layer(x), 0.2)  # (N, widths[i], H / 2^(i+1), W / 2^(i+1))
            features.append(x.float())
        return self.verdict(x).float(), features  # (N, 1, h, w)


class Critic(nn.Module):
    """Patch critics of a photograph and of its halvings."""

    def __init__(self, config: CriticConfig) -> None:
        super().__init__()
        self.config = config
        self.scales = nn.ModuleList(PatchCritic(config.widths) for _ in range(config.num_scales))

    def forward(self, damaged: Tensor, photo: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Judge photographs, clean or restored, beside their damaged ones.

        Args:
            damaged: (N, 3, H, W) RGB in [0, 1].
            photo: (N, 3, H, W) RGB.

        Returns:
            Verdicts (N, 1, h, w), one per scale, high for clean; features of all layers and scales.
        """
        x = torch.cat([damaged, photo], dim=1) - 0.5  # (N, 6, H, W)
        verdicts: list[Tensor] = []
        features: list[Tensor] = []
        for i, scale in enumerate(self.scales):
            if i > 0:
                x = F.avg_pool2d(x, 2)  # (N, 6, H / 2^i, W / 2^i)
            verdict, layers = scale(x)
            verdicts.append(verdict)
            features.extend(layers)
        return verdicts, features
