"""The local network of before: one U-Net that finds marks and paints the photograph.

A shared encoder feeds two decoders. The narrow one runs first and estimates the marks (opaque or
half-opaque physical damage); the wide one paints the photograph. Wherever marks were found, the
encoder's features are faded out of the wide decoder's skip connections and the photograph itself is
replaced by a smooth fill from around, so that damage does not leak into what is painted.

The wide decoder answers in the reverse order of the damage: at native resolution a residual takes
away grain and what is left of marks, then a smooth field of colour matrices and offsets, read off
at a coarse scale, undoes fading and toning, brings back contrast and lays colour.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.network.config import GeneratorConfig
from train.network.global_branch import add_affine
from train.network.layers import ChannelNorm, double_size, stack_blocks
from train.network.local.fill import fill_from_around, open_gate
from train.network.strips import run_in_strips

# Logit of the marks before training: 2 % everywhere, below the gate's stretch, so it starts closed.
_MARKS_BIAS = -4.0


class LocalUNet(nn.Module):
    """One U-Net with two decoders; before training it returns the photograph unchanged.

    Attributes:
        config: Its size.
        num_strips: In how many strips the layers at native resolution run.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        """Build it with random weights."""
        super().__init__()
        self.config = config
        self.num_strips = 1
        widths, marks_width = config.widths, config.marks_width
        num_up = len(widths) - 1
        self.stem = nn.Conv2d(3 * config.stem_photos, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(map(stack_blocks, widths, config.encoder_blocks))
        self.down = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 3, stride=2, padding=1) for i in range(num_up)
        )

        self.marks_in = nn.Conv2d(widths[-1], marks_width, 1)
        self.marks_skip = nn.ModuleList(nn.Conv2d(w, marks_width, 1) for w in widths[:-1])
        self.marks_conv = nn.ModuleList(
            nn.Conv2d(marks_width, marks_width, 3, padding=1) for _ in range(num_up)
        )
        self.marks_out = nn.Conv2d(marks_width, 1, 3, padding=1)

        self.up = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in range(num_up))
        self.fill = nn.ParameterList(torch.zeros(1, w, 1, 1) for w in widths[:-1])
        self.decoder = nn.ModuleList(map(stack_blocks, widths[:-1], config.decoder_blocks))
        self.tone_out = nn.Conv2d(widths[config.tone_scale], 12, 1)
        self.paint_norm = ChannelNorm(widths[0])
        self.paint_out = nn.Conv2d(widths[0], 3, 3, padding=1)

        still = ((self.tone_out, 0.0), (self.paint_out, 0.0), (self.marks_out, _MARKS_BIAS))
        for layer, bias in still:
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]  # Conv2d's default bias

    def open_gate(self, marks_logits: Tensor) -> Tensor:
        """See `train.network.local.fill.open_gate`."""
        return open_gate(marks_logits)

    def restore_locally(
        self, photo: Tensor, known_marks: Tensor | None, original: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `train.network.generator.Generator.restore_locally`."""
        *skips, x = self._encode(photo, original)  # (N, widths[i], H / 2^i, W / 2^i)

        marks_logits = self._find_marks(skips, x)  # (N, 1, H, W)
        gate = self.open_gate(marks_logits.detach())  # (N, 1, H, W)
        gate = gate if known_marks is None else gate.maximum(known_marks)
        gates = [gate.to(x.dtype)]
        for _ in skips[1:]:
            gates.append(F.avg_pool2d(gates[-1], 2))  # (N, 1, H / 2^i, W / 2^i)

        tones = []
        for i in reversed(range(1, len(skips))):
            x = self._decode(i, skips[i], gates[i], x)  # (N, widths[i], H / 2^i, W / 2^i)
            if i == self.config.tone_scale:
                tones = [(self.tone_out(x), 2**i)]  # (N, 12, H / 2^i, W / 2^i)
        around = fill_from_around(photo, gate, num_scales=len(skips))  # (N, 3, H, W)

        def paint(
            photo: Tensor, around: Tensor, gate: Tensor, skip: Tensor, x: Tensor, *tones: Tensor
        ) -> Tensor:
            x = self._decode(0, skip, gate.to(x.dtype), x)
            residual = self.paint_out(F.relu(self.paint_norm(x)))  # (N, 3, h, W)
            repaired = photo + gate * (around - photo) + residual.to(photo.dtype)
            return self._adjust_tone(repaired, tones[0] if tones else self.tone_out(x))

        planes = [(photo, 1), (around, 1), (gate, 1), (skips[0], 1), (x, 2), *tones]
        return self._run_finest(paint, *planes), marks_logits

    def _encode(self, photo: Tensor, original: Tensor) -> list[Tensor]:
        """Features of a photograph at every scale, native resolution first."""
        seen = photo if self.config.stem_photos == 1 else torch.cat([photo, original], dim=1)
        features = [self._run_finest(lambda x: self.encoder[0](self.stem(2 * x - 1)), (seen, 1))]
        for down, blocks in zip(self.down, self.encoder[1:], strict=True):
            features.append(blocks(down(features[-1])))
        return features

    def _adjust_tone(self, photo: Tensor, coefficients: Tensor) -> Tensor:
        """Change (N, 3, H, W) by colour matrices (N, 12, H / 2^tone_scale, W / 2^tone_scale)."""
        scale = float(2**self.config.tone_scale)
        field = F.interpolate(coefficients.to(photo.dtype), scale_factor=scale, mode="bilinear")
        return add_affine(photo, field)

    def _find_marks(self, skips: list[Tensor], deepest: Tensor) -> Tensor:
        def refine(i: int, skip: Tensor, y: Tensor) -> Tensor:
            y = F.relu(double_size(y) + self.marks_skip[i](skip))
            return F.relu(self.marks_conv[i](y))  # (N, marks_width, H / 2^i, W / 2^i)

        y = self.marks_in(deepest)  # (N, marks_width, H / alignment, W / alignment)
        for i in reversed(range(1, len(skips))):
            y = refine(i, skips[i], y)
        logits = self._run_finest(
            lambda skip, y: self.marks_out(refine(0, skip, y)), (skips[0], 1), (y, 2)
        )
        return logits.float()  # (N, 1, H, W)

    def _decode(self, i: int, skip: Tensor, gate: Tensor, x: Tensor) -> Tensor:
        """The wide decoder's scale i: from (N, widths[i + 1], h / 2, w / 2) to twice the size."""
        seen = skip + gate * (self.fill[i].to(x.dtype) - skip)
        decoded: Tensor = self.decoder[i](double_size(self.up[i](x)) + seen)
        return decoded

    def _run_finest(self, layers: Callable[..., Tensor], *planes: tuple[Tensor, int]) -> Tensor:
        """Run layers at native resolution, in strips where that is asked for."""
        num_blocks = max(self.config.encoder_blocks[0], self.config.decoder_blocks[0])
        unit = max(8, 2**self.config.tone_scale)  # of every factor, and more than doubling reaches
        reach = -(-(2 * num_blocks + 3) // unit) * unit
        return run_in_strips(layers, self.num_strips, reach, *planes)
