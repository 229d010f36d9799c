"""The close look: find all marks, fill them, and refine what is filled.

A narrow U-Net with a large field of view finds the marks. What they hide is filled from around them
at native resolution, by arithmetic without weights. Grain may be taken away by a filter next
(shrinkage.py). A second U-Net sees the filled photograph and where it was filled: it takes away
grain, blur and what the fill left, by a residual and by a field of colour matrices, read off at a
coarse scale. It begins as the identity. What was hidden it doesn't see: one that did put most marks
back, for more is hidden needlessly than is hidden by marks (docs/experiments.md, 44).

Both networks fold the photograph: four pixels become the channels of one, and nothing but the fill
and the sums at the end is computed at native resolution, where most of the time used to go. The
second may have a scale at native resolution, too: grain is what it takes away best.

Source:
    Shi et al. 2016, "Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network" (unfolding); Wang et al. 2021, "Real-ESRGAN", section 3.3 (folding
    first, to restore at the same size).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.network.config import GeneratorConfig
from train.network.encoder import ClassifierEncoder, Version
from train.network.global_branch import add_affine
from train.network.layers import (
    ChannelNorm,
    NormedConv,
    double_size,
    stack_blocks,
    stack_convs,
)
from train.network.local.fill import decide_hidden, fill_evenly, find_hidden
from train.network.local.shrinkage import Shrinkage
from train.network.strips import run_in_strips
from train.network.toning import make_neutral

# Logit of the marks before training: 2 % everywhere, so the gate starts closed.
_MARKS_BIAS = -4.0
# What a known mark of -1 takes from the logit of what is found: no doubt is left.
_DOUBT_LOGITS = 16.0
# Rows around a row on which layers at native resolution depend, and more.
_NATIVE_REACH_PX = 8


class _UNet(nn.Module):
    """What U-Nets share, whatever their stem: layers by scale, the finest first."""

    def __init__(
        self,
        stem: nn.Conv2d,
        widths: tuple[int, ...],
        encoder_blocks: tuple[int, ...],
        decoder_blocks: tuple[int, ...],
    ) -> None:
        """Build it with random weights; see `GeneratorConfig` for what the lists mean."""
        super().__init__()
        num_up = len(widths) - 1
        self.stem = stem
        self.encoder = nn.ModuleList(map(stack_blocks, widths, encoder_blocks))
        self.down = nn.ModuleList(
            nn.Conv2d(widths[i], widths[i + 1], 3, stride=2, padding=1) for i in range(num_up)
        )
        self.up = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in range(num_up))
        self.decoder = nn.ModuleList(map(stack_blocks, widths[:-1], decoder_blocks))

    def encode(self, finest: Tensor) -> list[Tensor]:
        """Features of every scale on the way down, from those of the finest; these first."""
        skips = [finest]
        for down, blocks in zip(self.down, self.encoder[1:], strict=True):
            skips.append(blocks(down(skips[-1])))
        return skips


class FoldedUNet(_UNet):
    """A U-Net that begins at half resolution.

    Its stem folds and convolves at once: a layer of 6 x 6 pixels that moves by two is one of 3 x 3
    folded cells.
    """

    def __init__(
        self,
        num_in: int,
        widths: tuple[int, ...],
        encoder_blocks: tuple[int, ...],
        decoder_blocks: tuple[int, ...],
    ) -> None:
        """Build it with random weights; see `GeneratorConfig` for what the lists mean."""
        stem = nn.Conv2d(num_in, widths[0], 6, stride=2, padding=2)
        super().__init__(stem, widths, encoder_blocks, decoder_blocks)

    def forward(self, seen: Tensor) -> list[Tensor]:
        """Features of (N, num_in, H, W), the finest first: (N, widths[i], H / 2^(i+1), ...)."""
        return _decode(self.encode(self.encoder[0](self.stem(seen))), self.up, self.decoder)


class MarksNetwork(nn.Module):
    """Finds the marks; before training it finds none.

    Plain layers, normed over the batch: on the same batches the loss of residual blocks without
    such norms fell more slowly (docs/experiments.md, 38). A classifier's encoder may tell it what
    is in the picture: it sees the photograph at half size, and joins from a quarter of the size on.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        """Build it with random weights."""
        super().__init__()
        widths, blocks = config.marks_widths, config.marks_blocks
        num_up = len(widths) - 1
        self.stem = NormedConv(6, widths[0], 6, stride=2)
        self.classifier: ClassifierEncoder | None = None
        told = [0] * len(widths)
        if config.marks_encoder:
            self.classifier = ClassifierEncoder(cast(Version, config.marks_encoder))
            self.classifier.cut_after(num_up - 1)
            told = [0, *self.classifier.widths[:num_up]]
        self.encoder = nn.ModuleList(
            stack_convs(widths[max(i - 1, 0)] + told[i], widths[i], blocks[i])
            for i in range(len(widths))
        )
        self.up = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in range(num_up))
        self.decoder = nn.ModuleList(stack_convs(widths[i], widths[i], 1) for i in range(num_up))
        self.out = nn.Conv2d(widths[0], 4, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, _MARKS_BIAS)  # type: ignore[arg-type]  # Conv2d's default bias

    def forward(self, photo: Tensor, original: Tensor) -> Tensor:
        """Logits of the opacity of marks.

        Args:
            photo: (N, 3, H, W) RGB in [0, 1], tone and colour adjusted; of that the tone is seen.
            original: (N, 3, H, W), as it came.

        Returns:
            (N, 1, H, W) float32.
        """
        # Colours that were laid are guesses, and tell what the guesser took for sound.
        lighter = original + make_neutral(photo - original)
        x = self.stem(2 * torch.cat([lighter, original], dim=1) - 1)  # (N, widths[0], H / 2, W / 2)
        seen = [] if self.classifier is None else self.classifier(F.avg_pool2d(lighter, 2))
        skips = [self.encoder[0](x)]
        for number, blocks in enumerate(self.encoder[1:]):
            x = F.avg_pool2d(skips[-1], 2)
            skips.append(blocks(torch.cat([x, seen[number]], dim=1) if seen else x))
        return unfold(self.out(_decode(skips, self.up, self.decoder)[0])).float()


class RefiningNetwork(nn.Module):
    """Refines a filled photograph; before training it changes nothing."""

    def __init__(self, config: GeneratorConfig) -> None:
        """Build it with random weights."""
        super().__init__()
        widths, self.tone_scale = config.widths, config.tone_scale
        self.unet = FoldedUNet(4, widths, config.encoder_blocks, config.decoder_blocks)
        self.out = nn.Conv2d(widths[0], 12, 3, padding=1)
        self.tone_out = nn.Conv2d(widths[self.tone_scale], 12, 1)
        _begin_at_zero(self.out, self.tone_out)

    def forward(
        self, filled: Tensor, original: Tensor, gate: Tensor, num_strips: int
    ) -> tuple[Tensor, Tensor]:
        """What is to be added to a filled photograph.

        Args:
            filled: (N, 3, H, W) RGB in [0, 1].
            original: (N, 3, H, W), as it came; not looked at.
            gate: (N, 1, H, W) in [0, 1], how far each pixel was.
            num_strips: In how many strips layers at native resolution run; here there are none.

        Returns:
            The residual (N, 3, H, W), and colour matrices (N, 12, H / 2^(tone_scale + 1), ...).
        """
        features = self.unet(2 * torch.cat([filled, gate], dim=1) - 1)
        residual = unfold(self.out(F.relu(features[0])))
        return residual, self.tone_out(features[self.tone_scale])


class NativeRefiningNetwork(_UNet):
    """Refines at native resolution; before training it changes nothing.

    But for the marks, it is the U-Net with two decoders (unet.py), and may begin with its weights.
    It sees the photograph as it came, too, filled as far as the other.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        """Build it with random weights."""
        widths = (config.native_width, *config.widths)
        stem = nn.Conv2d(7, widths[0], 3, padding=1)
        super().__init__(stem, widths, (1, *config.encoder_blocks), (1, *config.decoder_blocks))
        self.tone_scale = config.tone_scale
        self.paint_norm = ChannelNorm(widths[0])
        self.paint_out = nn.Conv2d(widths[0], 3, 3, padding=1)
        self.tone_out = nn.Conv2d(config.widths[self.tone_scale], 12, 1)
        _begin_at_zero(self.paint_out, self.tone_out)

    def forward(
        self, filled: Tensor, original: Tensor, gate: Tensor, num_strips: int
    ) -> tuple[Tensor, Tensor]:
        """See `RefiningNetwork.forward`; `original` is looked at."""

        def look(filled: Tensor, original: Tensor, gate: Tensor) -> Tensor:
            seen = [filled, original + gate * (filled - original), gate]
            features: Tensor = self.encoder[0](self.stem(2 * torch.cat(seen, dim=1) - 1))
            return features

        def paint(skip: Tensor, x: Tensor) -> Tensor:
            x = self.decoder[0](double_size(self.up[0](x)) + skip)
            residual: Tensor = self.paint_out(F.relu(self.paint_norm(x)))
            return residual

        planes = [(filled, 1), (original, 1), (gate, 1)]
        finest = run_in_strips(look, num_strips, _NATIVE_REACH_PX, *planes)
        coarser = self.encode(finest)[1:]
        features = _decode(coarser, self.up[1:], self.decoder[1:])
        planes = [(finest, 1), (features[0], 2)]
        residual = run_in_strips(paint, num_strips, _NATIVE_REACH_PX, *planes)
        return residual, self.tone_out(features[self.tone_scale])


class CloseLook(nn.Module):
    """Finds, fills, refines; before training it returns the photograph unchanged.

    Attributes:
        config: Its size.
        num_strips: In how many strips the sums at native resolution run.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        """Build it with random weights."""
        super().__init__()
        self.config = config
        self.num_strips = 1
        self.marks_network = MarksNetwork(config)
        self.shrinkage = Shrinkage(config.shrunk_bands) if config.shrunk_bands else None
        refining = NativeRefiningNetwork if config.native_width else RefiningNetwork
        self.refining_network = refining(config)

    def open_gate(self, marks_logits: Tensor) -> Tensor:
        """What it fills of the marks it finds: (N, 1, H, W) in [0, 1].

        Rims are within: since misses cost more than false alarms, marks are found a little wider
        than they are.
        """
        return decide_hidden(marks_logits)

    def restore_locally(
        self, photo: Tensor, known_marks: Tensor | None, original: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See `train.network.generator.Generator.restore_locally`."""
        logits = self.marks_network(photo, original)  # (N, 1, H, W)
        if known_marks is not None:
            logits = logits + _DOUBT_LOGITS * known_marks.clamp(max=0)
        gate = self.open_gate(logits.detach())
        if known_marks is not None:
            gate = gate.maximum(find_hidden(known_marks))
        with torch.autocast(photo.device.type, enabled=False):
            filled = fill_evenly(
                photo.float(), gate, num_scales=len(self.config.widths)
            )  # (N, 3, H, W)
            if self.shrinkage is not None:
                filled = self.shrinkage(filled, gate.float())
        residual, tones = self.refining_network(filled, original, gate, self.num_strips)
        scale = 2 ** (self.config.tone_scale + 1)

        def adjust_tone(filled: Tensor, residual: Tensor, tones: Tensor) -> Tensor:
            field = F.interpolate(tones, scale_factor=float(scale), mode="bilinear")
            return add_affine(filled + residual, field)  # (N, 3, h, W)

        planes = [(filled, 1), (residual.float(), 1), (tones.float(), scale)]
        return run_in_strips(adjust_tone, self.num_strips, scale, *planes), logits


def _begin_at_zero(*layers: nn.Conv2d) -> None:
    """Let layers answer zero before training."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]  # Conv2d's default bias


def _decode(
    skips: list[Tensor], up: Iterable[nn.Module], decoder: Iterable[nn.Module]
) -> list[Tensor]:
    """Features of every scale but the coarsest, from those of an encoder; the finest first."""
    *skips, x = skips
    features = []
    for up_conv, blocks, skip in reversed(list(zip(up, decoder, skips, strict=True))):
        x = blocks(double_size(up_conv(x)) + skip)
        features.append(x)
    return features[::-1]


def unfold(folded: Tensor) -> Tensor:
    """(N, 4 C, h, w) to (N, C, 2 h, 2 w): torch's pixel_shuffle, as it may be exported."""
    num, channels, height, width = folded.shape
    cells = folded.reshape(num, channels // 4, 2, 2, height, width)
    return cells.permute(0, 1, 4, 2, 5, 3).reshape(num, channels // 4, 2 * height, 2 * width)
