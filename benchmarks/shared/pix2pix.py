"""The U-Net and the critic of pix2pix, as its paper describes them, and a plain loop to train them.

Source:
    Isola, Zhu, Zhou, Efros 2017, "Image-to-image translation with conditional adversarial
    networks", sections 3 and 6.1-6.2.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import safetensors
import safetensors.torch
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

Photo = NDArray[np.uint8]

_METADATA_KEY = "pix2pix"
_L1_WEIGHT = 100.0
# What a restoration changes more than its surroundings by so much, in 1/255, counts as a mark.
_MARK_CONTRAST = 40
_MEDIAN_PX = 9


@dataclass(frozen=True)
class UNetConfig:
    """Size of the U-Net.

    Attributes:
        width: Channels of the first layer; the paper's is 64, then 128, 256 and 512 throughout.
        size_px: Side of the photographs that it halves down to one pixel, a power of two.
    """

    width: int = 64
    size_px: int = 256

    @property
    def num_halvings(self) -> int:
        """How often the photograph is halved."""
        return self.size_px.bit_length() - 1

    def __post_init__(self) -> None:
        """Refuse sides that can't be halved to one pixel."""
        if self.size_px < 16 or self.size_px & (self.size_px - 1):
            raise ValueError(f"size_px must be a power of two from 16 on, got {self.size_px}")


class UNet(nn.Module):
    """The generator.

    Batch norm is left out of the innermost layer, whose single pixel it would erase at a batch of
    one; the authors corrected their code so.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        num = config.num_halvings
        widths = [config.width * min(2**i, 8) for i in range(num)]
        ends = (0, num - 1)  # of the encoder; they have no batch norm
        self.down = nn.ModuleList(
            _join(nn.Conv2d([3, *widths][i], widths[i], 4, 2, 1, bias=i in ends),
                  widths[i] if i not in ends else 0)
            for i in range(num)
        )  # fmt: skip
        self.up = nn.ModuleList()
        for i in reversed(range(num)):
            num_in = widths[i] if i == num - 1 else 2 * widths[i]
            num_out = widths[i - 1] if i else 3
            layer = nn.ConvTranspose2d(num_in, num_out, 4, 2, 1, bias=i == 0)
            self.up.append(_join(layer, num_out if i else 0))
        self.apply(_initialise)

    def forward(self, photo: Tensor) -> Tensor:
        """Restore (N, 3, H, W) in [-1, 1]; H and W are multiples of `config.size_px`."""
        skips: list[Tensor] = []
        x = photo
        for i, layer in enumerate(self.down):
            x = layer(F.leaky_relu(x, 0.2) if i else x)  # (N, widths[i], H / 2^(i+1), ...)
            skips.append(x)
        for i, layer in enumerate(self.up):
            x = skips.pop() if i == 0 else torch.cat([x, skips.pop()], dim=1)
            x = layer(F.relu(x))
            if i < 3:
                x = F.dropout(x, 0.5, self.training)
        return x.tanh()  # (N, 3, H, W)


def build_critic(width: int = 64) -> nn.Sequential:
    """The 70 × 70 PatchGAN: (N, 6, H, W) of damaged and restored to logits (N, 1, h, w)."""
    layers: list[nn.Module] = [nn.Conv2d(6, width, 4, 2, 1), nn.LeakyReLU(0.2)]
    for i, stride in enumerate((2, 2, 1)):
        layers += [
            _join(nn.Conv2d(width << i, width << (i + 1), 4, stride, 1, bias=False),
                  width << (i + 1)),
            nn.LeakyReLU(0.2),
        ]  # fmt: skip
    critic = nn.Sequential(*layers, nn.Conv2d(width << 3, 1, 4, 1, 1))
    critic.apply(_initialise)
    return critic


def _join(convolution: nn.Module, norm_width: int) -> nn.Sequential:
    # The paper normalises by the batch at hand in training and in use: no running averages.
    norm = [nn.BatchNorm2d(norm_width, track_running_stats=False)] if norm_width else []
    return nn.Sequential(convolution, *norm)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]  # a tensor, as seen above


class Pix2Pix:
    """Both networks, their optimisers, and how far their training has come.

    Attributes:
        step: Steps done.
        spent_s: Seconds spent training.
    """

    def __init__(self, config: UNetConfig, device: torch.device, precision: str, seed: int) -> None:
        torch.manual_seed(seed)
        self.device = device
        self.precision = precision
        self.generator, self.critic = UNet(config), build_critic()
        for network in (self.generator, self.critic):
            network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this combination
        self.optimizers = [
            torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999), fused=True)
            for network in (self.generator, self.critic)
        ]
        self.step = 0
        self.spent_s = 0.0

    def train(
        self,
        batches: Iterator[tuple[Tensor, Tensor]],
        seconds: float,
    ) -> Iterator[dict[str, float]]:
        """Train until `seconds` are spent in all, earlier calls included.

        The rate is constant over the first half and falls to zero over the second, as in the
        authors' code.

        Args:
            batches: Damaged and clean (N, 3, H, W) in [0, 1], without end.
            seconds: Of training.

        Yields:
            The losses of each step, by name.
        """
        start_s = time.monotonic() - self.spent_s
        self.generator.train()
        while self.spent_s < seconds:
            damaged, clean = next(batches)
            rate = 2e-4 * min(1.0, 2 * (1 - self.spent_s / seconds))
            for optimizer in self.optimizers:
                optimizer.param_groups[0]["lr"] = rate
            losses = self.train_step(2 * damaged.to(self.device) - 1, 2 * clean.to(self.device) - 1)
            self.step += 1
            self.spent_s = time.monotonic() - start_s
            yield losses

    def train_step(self, damaged: Tensor, clean: Tensor) -> dict[str, float]:
        """One step of the critic and one of the generator.

        Args:
            damaged: (N, 3, H, W) in [-1, 1].
            clean: (N, 3, H, W) in [-1, 1].
        """
        with self._autocast():
            restored = self.generator(damaged)
            real = self.critic(torch.cat([damaged, clean], 1))
            fake = self.critic(torch.cat([damaged, restored.detach()], 1))
        critic_loss = (_judge(real, 1.0) + _judge(fake, 0.0)) / 2
        self._update(1, critic_loss)
        self.critic.requires_grad_(False)
        with self._autocast():
            fake = self.critic(torch.cat([damaged, restored], 1))
        distance, fooled = F.l1_loss(restored.float(), clean), _judge(fake, 1.0)
        self._update(0, fooled + _L1_WEIGHT * distance)
        self.critic.requires_grad_(True)
        values = {"l1": distance, "fooled": fooled, "critic": critic_loss}
        return {name: float(value.detach()) for name, value in values.items()}

    def get_state(self) -> dict[str, Any]:
        """All that is needed to go on."""
        return {
            "networks": [n.state_dict() for n in (self.generator, self.critic)],
            "optimizers": [o.state_dict() for o in self.optimizers],
            "config": asdict(self.generator.config),
            "step": self.step,
            "spent_s": self.spent_s,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        self.generator.load_state_dict(state["networks"][0])
        self.critic.load_state_dict(state["networks"][1])
        for optimizer, stored in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(stored)
        self.step, self.spent_s = state["step"], state["spent_s"]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(
            self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
        )

    def _update(self, which: int, loss: Tensor) -> None:
        self.optimizers[which].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's own
        self.optimizers[which].step()


def _judge(logits: Tensor, truth: float) -> Tensor:
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def save_unet(path: Path, unet: UNet, notes: dict[str, Any]) -> None:
    """Write the weights with their configuration and notes on the training, or not at all."""
    document = json.dumps({"config": asdict(unet.config), **notes}, sort_keys=True)
    tensors = {n: t.detach().cpu().contiguous() for n, t in unet.state_dict().items()}
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_bytes(safetensors.torch.save(tensors, metadata={_METADATA_KEY: document}))
    os.replace(aside, path)


def load_unet(path: Path) -> tuple[UNet, dict[str, Any]]:
    """The U-Net of a file written by `save_unet`, ready to restore, and the notes.

    Raises:
        ValueError: If the file isn't one.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            notes = json.loads((file.metadata() or {})[_METADATA_KEY])
    except (OSError, KeyError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"{path}: not weights that benchmarks/rivals/baselines.py wrote"
        ) from error
    unet = UNet(UNetConfig(**notes["config"]))
    unet.load_state_dict(safetensors.torch.load_file(path))
    return unet.eval(), notes


def use_unet(unet: UNet) -> Callable[[Photo], tuple[Photo, Photo]]:
    """Restoring with the U-Net, as a method of `train.measure.evaluate`.

    Dropout is off, which serves the peer: its paper leaves it on for variety. It doesn't say where
    marks are, so marks are where it changed luma much more than around them.
    """
    unet.eval()

    @torch.inference_mode()
    def restore(damaged: Photo) -> tuple[Photo, Photo]:
        height, width = damaged.shape[:2]
        side = unet.config.size_px
        padded = np.pad(damaged, ((0, -height % side), (0, -width % side), (0, 0)), "symmetric")
        photo = torch.from_numpy(padded).permute(2, 0, 1)[None].float() / 127.5 - 1
        restored = unet(photo)[0].permute(1, 2, 0)[:height, :width]
        pixels = np.asarray(((restored + 1) * 127.5).round().byte().numpy(), np.uint8)
        return pixels, find_changes(damaged, pixels)

    return restore


def find_changes(damaged: Photo, restored: Photo) -> Photo:
    """Marks (H, W), 0 or 255: where luma changed much more than in the median around it."""
    before, after = (
        np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), np.int16) for p in (damaged, restored)
    )
    # Half of the change in 8 bits, since OpenCV has no larger median of signed numbers.
    change = np.asarray((after - before) // 2 + 128, np.uint8)
    contrast = cv2.absdiff(change, cv2.medianBlur(change, _MEDIAN_PX))
    return np.asarray((contrast > _MARK_CONTRAST // 2) * np.uint8(255), np.uint8)
