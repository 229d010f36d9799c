"""The generator: one fully convolutional U-Net that repairs a photograph and finds its marks.

A shared encoder feeds two decoders. The narrow one runs first and estimates the marks (opaque or
half-opaque physical damage); the wide one paints the photograph. Wherever marks were found, the
encoder's features are faded out of the wide decoder's skip connections and the photograph itself is
replaced by a smooth fill from around, so that damage does not leak into what is painted.

The wide decoder answers in the reverse order of the damage: at native resolution a residual takes
away grain and what is left of marks, then a smooth field of colour matrices and offsets, read off
at a coarse scale, undoes fading and toning, brings back contrast and lays colour.

A global branch (train/network/global_branch.py) may settle tone and colour first, from a reduced
copy of the whole; the encoder then may see the original too, in which marks are as they came.

Apart from the global branch nothing here looks at statistics over space (no batch, group or
instance norm, no global pooling), so a tile gives the same values as the whole photograph away from
the tile's edges, if it was adjusted by the grid of the whole and starts at a multiple of
`Generator.alignment`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.network.color import ColorNetwork
from train.network.config import GeneratorConfig
from train.network.encoder import Version
from train.network.global_branch import GlobalBranch, add_affine, adjust_by_grid, reduce_photo
from train.network.layers import ResidualBlock
from train.network.strips import run_in_strips
from train.network.toning import make_neutral, measure_toning, replace_colors

__all__ = ["Generator", "GeneratorConfig", "fill_from_around"]

# The gate is the marks' probability stretched by this much at both ends and clipped, so that it
# can be exactly 0 and 1 (Louizos, Welling, Kingma 2018, "Learning sparse neural networks through
# L0 regularization", the hard concrete's stretch): a faint doubt removes nothing.
_GATE_STRETCH = 0.05
# Logit of the marks before training: 2 % everywhere, below the stretch, so the gate starts closed.
_MARKS_BIAS = -4.0


class _ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel: no statistics over space."""

    def __init__(self, num_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor) -> Tensor:
        last = x.permute(0, 2, 3, 1)  # (N, H, W, C): a view of a channels-last tensor
        return F.layer_norm(last, self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)


def _stack(width: int, num_blocks: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width, _ChannelNorm(width)) for _ in range(num_blocks)))


def _double(x: Tensor) -> Tensor:
    """Twice the size. Bilinear, then convolved by what follows: leaves no mesh."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class Generator(nn.Module):
    """The network that restores; before training it returns the photograph unchanged.

    Attributes:
        config: Its size.
        num_strips: In how many strips the layers at native resolution run; for inference, where
            memory is short.
    """

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GeneratorConfig()
        self.num_strips = 1
        widths, marks_width = config.widths, config.marks_width
        num_up = len(widths) - 1

        self.global_branch = GlobalBranch() if config.global_px else None
        self.color_network: ColorNetwork | None = None
        if config.color_encoder:
            self.color_network = ColorNetwork(cast(Version, config.color_encoder))
        self.stem = nn.Conv2d(3 * config.stem_photos, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(map(_stack, widths, config.encoder_blocks))
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
        self.decoder = nn.ModuleList(map(_stack, widths[:-1], config.decoder_blocks))
        self.tone_out = nn.Conv2d(widths[config.tone_scale], 12, 1)
        self.paint_norm = _ChannelNorm(widths[0])
        self.paint_out = nn.Conv2d(widths[0], 3, 3, padding=1)

        still = ((self.tone_out, 0.0), (self.paint_out, 0.0), (self.marks_out, _MARKS_BIAS))
        for layer, bias in still:
            nn.init.zeros_(layer.weight)
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]  # Conv2d's default bias

    @property
    def alignment(self) -> int:
        """Sides of a photograph must be multiples of this many pixels, and tiles start at one."""
        return int(2 ** (len(self.config.widths) - 1))

    def forward(self, photo: Tensor, known_marks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Restore whole photographs and find their marks.

        Args:
            photo: (N, 3, H, W) RGB in [0, 1]; H and W multiples of `alignment`.
            known_marks: (N, 1, H, W) in [0, 1], where the caller knows of damage; painted over
                besides what the network finds.

        Returns:
            restored: (N, 3, H, W) RGB, not clamped.
            marks_logits: (N, 1, H, W) logits of the opacity of marks.

        Raises:
            ValueError: If the sides are no multiples of `alignment`.
        """
        return self.restore_locally(self.adjust_globally(photo), known_marks, photo)

    def find_grid(self, photo: Tensor) -> Tensor | None:
        """The global branch's grid (N, 12, h, w) for whole photographs (N, 3, H, W), if any.

        In evaluation mode the colours of a photograph that has none of its own, only toning, are
        found in its neutral copy.
        """
        if self.global_branch is None:
            return None
        reduced = reduce_photo(photo, self.config.global_px)
        if self.training:
            grid: Tensor = self.global_branch(reduced)
            return grid
        grid, toning = self._look_twice(reduced), measure_toning(reduced)
        if not toning.any():
            return grid
        return replace_colors(grid, self._look_twice(make_neutral(reduced)), toning)

    def _look_twice(self, reduced: Tensor) -> Tensor:
        """The mean of the branch's grids for photographs and their mirror images."""
        assert self.global_branch is not None
        grid: Tensor = self.global_branch(reduced)
        mirrored: Tensor = self.global_branch(reduced.flip(3))
        return (grid + mirrored.flip(3)) / 2

    def adjust_globally(self, photo: Tensor) -> Tensor:
        """Whole photographs (N, 3, H, W), their tone and colour settled by the global branch."""
        grid = self.find_grid(photo)
        return photo if grid is None else adjust_by_grid(photo, grid)

    def restore_locally(
        self, photo: Tensor, known_marks: Tensor | None = None, original: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """What follows the global branch, for photographs or tiles of them; see `forward`.

        Args:
            photo: As the global branch adjusted it.
            known_marks: See `forward`.
            original: Before that, (N, 3, H, W); None: it was not adjusted.
        """
        if photo.shape[-2] % self.alignment or photo.shape[-1] % self.alignment:
            height, width = photo.shape[-2:]
            raise ValueError(f"sides must be multiples of {self.alignment}, got {height}x{width}")
        original = photo if original is None else original
        *skips, x = self._encode(photo, original)  # (N, widths[i], H / 2^i, W / 2^i)

        marks_logits = self._find_marks(skips, x)  # (N, 1, H, W)
        gate = _gate(marks_logits.detach(), known_marks)  # (N, 1, H, W)
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
            y = F.relu(_double(y) + self.marks_skip[i](skip))
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
        decoded: Tensor = self.decoder[i](_double(self.up[i](x)) + seen)
        return decoded

    def _run_finest(self, layers: Callable[..., Tensor], *planes: tuple[Tensor, int]) -> Tensor:
        """Run layers at native resolution, in strips where that is asked for."""
        num_blocks = max(self.config.encoder_blocks[0], self.config.decoder_blocks[0])
        unit = max(8, 2**self.config.tone_scale)  # of every factor, and more than doubling reaches
        reach = -(-(2 * num_blocks + 3) // unit) * unit
        return run_in_strips(layers, self.num_strips, reach, *planes)


def _gate(marks_logits: Tensor, known_marks: Tensor | None) -> Tensor:
    gate = torch.sigmoid(marks_logits) * (1 + 2 * _GATE_STRETCH) - _GATE_STRETCH
    gate = gate.clamp(0, 1)
    return gate if known_marks is None else torch.maximum(gate, known_marks)


def fill_from_around(photo: Tensor, marks: Tensor, num_scales: int = 5) -> Tensor:
    """Continue a photograph smoothly into its marks.

    Args:
        photo: (N, 3, H, W) RGB in [0, 1]; H and W multiples of 2^num_scales.
        marks: (N, 1, H, W) in [0, 1]; 1 hides the photograph.
        num_scales: Halvings; holes of up to about 2^num_scales px are filled.

    Returns:
        (N, 3, H, W) RGB: the weighted mean of what is visible around, at the finest scale at which
        something is.

    Source:
        Gortler, Grzeszczuk, Szeliski, Cohen 1996, "The Lumigraph", pull-push (section 3.4.2).
    """
    weights = [1 - marks]
    sums = [photo * weights[0]]  # premultiplied by the weight
    for _ in range(num_scales):
        sums.append(F.avg_pool2d(sums[-1], 2))
        weights.append(F.avg_pool2d(weights[-1], 2))
    hidden = F.avg_pool2d(photo, 2**num_scales)  # where all is hidden, better than black
    filled = (sums[-1] + 1e-3 * hidden) / (weights[-1] + 1e-3)
    for total, weight in zip(reversed(sums[:-1]), reversed(weights[:-1]), strict=True):
        filled = total + (1 - weight) * _double(filled)
    return filled
