"""Damage a photograph again, differentiably: the torch twin of `degrade.render`.

The same stages in the same order, batched, every stage but scan and copy, with gradients to the
photograph. It knows nothing of recipes: a `Damage` holds plain tensors, neutral values meaning that
a stage does not happen.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from degrade.damage.curve import NUM_KNOTS
from degrade.damage.dyes import NUM_DYE_KNOTS
from degrade.damage.grain import GRAIN_SIGMA_TABLE


@dataclass(frozen=True)
class Damage:
    """The damage of a batch of N photographs of H × W.

    Attributes:
        matrix: (N, 3, 3) emulsion response, rows are output channels.
        sigma_px: (N,) Gaussian blur; 0 for none.
        kernels: Further blur (defocus, motion) of single photographs: index in the batch to
            an odd-sided (k, k) kernel that sums to 1.
        dye_knots: (N, 3, NUM_DYE_KNOTS) what tones become as dyes fade.
        dye_loss: (N, 1, H, W) how much of that each point has suffered; 0 for none.
        knots: (N, 3, NUM_KNOTS) characteristic curves.
        fall_off: (N, 1, H, W) vignette, 0 where nothing changes.
        fall_off_white: (N,) 1 where the vignette whitens, 0 where it darkens.
        grain: (N, 3, H, W) unit-variance grain.
        grain_strength: (N,) r / σ_f of the Boolean law.
        grain_product: (N,) strength of the multiplicative law.
        screen: (N, 3, H, W) thresholds of a printing screen.
        screen_hardness: (N,) 0 for no screen.
        tone: (N, 3, 3) colour (last axis) of black, middle grey and white.
        second_tone: (N, 3, 3) likewise, of the tone that takes its place.
        second_share: (N, 1, H, W) where and how far it does; 0 for nowhere.
        picture: (N, 1, H, W) 1 where the picture shows, 0 where its frame is.
        paper: (N, 3) colour of the frame.
        print_area: (N, 1, H, W) 1 where the print is, 0 where the backdrop shows.
        backdrop: (N, 3) its colour.
        age: (N, 1, H, W) how far each point has aged.
        fade: (N,) fading towards fade_colour.
        fade_colour: (N, 3).
        stain: (N,) staining by stain_colour.
        stain_colour: (N, 3).
        opacity: (N, 1, H, W) united opacity of the marks.
        ink: (N, 3, H, W) their colour times opacity.
        brighter: (N, 3, H, W) lower bound that lightening marks impose.
    """

    matrix: Tensor
    sigma_px: Tensor
    kernels: dict[int, Tensor]
    dye_knots: Tensor
    dye_loss: Tensor
    knots: Tensor
    fall_off: Tensor
    fall_off_white: Tensor
    grain: Tensor
    grain_strength: Tensor
    grain_product: Tensor
    screen: Tensor
    screen_hardness: Tensor
    tone: Tensor
    second_tone: Tensor
    second_share: Tensor
    picture: Tensor
    paper: Tensor
    print_area: Tensor
    backdrop: Tensor
    age: Tensor
    fade: Tensor
    fade_colour: Tensor
    stain: Tensor
    stain_colour: Tensor
    opacity: Tensor
    ink: Tensor
    brighter: Tensor

    @classmethod
    def none(cls, num: int, height: int, width: int, device: torch.device | str = "cpu") -> Self:
        """No damage at all: `redamage` returns the photographs unchanged (clipped)."""

        def plane(channels: int, value: float) -> Tensor:
            return torch.full((num, channels, height, width), value, device=device)

        def each(*shape: int, value: float = 0.0) -> Tensor:
            return torch.full((num, *shape), value, device=device)

        line = torch.linspace(0, 1, NUM_KNOTS, device=device)
        greys = torch.tensor([0.0, 0.5, 1.0], device=device)
        return cls(
            matrix=torch.eye(3, device=device).expand(num, 3, 3).clone(),
            sigma_px=each(),
            kernels={},
            dye_knots=torch.linspace(0, 1, NUM_DYE_KNOTS, device=device)
            .expand(num, 3, NUM_DYE_KNOTS)
            .clone(),
            dye_loss=plane(1, 0.0),
            knots=line.expand(num, 3, NUM_KNOTS).clone(),
            fall_off=plane(1, 0.0),
            fall_off_white=each(),
            grain=plane(3, 0.0),
            grain_strength=each(),
            grain_product=each(),
            screen=plane(3, 0.5),
            screen_hardness=each(),
            tone=greys[:, None].expand(num, 3, 3).clone(),
            second_tone=greys[:, None].expand(num, 3, 3).clone(),
            second_share=plane(1, 0.0),
            picture=plane(1, 1.0),
            paper=each(3, value=1.0),
            print_area=plane(1, 1.0),
            backdrop=each(3, value=1.0),
            age=plane(1, 1.0),
            fade=each(),
            fade_colour=each(3, value=1.0),
            stain=each(),
            stain_colour=each(3, value=1.0),
            opacity=plane(1, 0.0),
            ink=plane(3, 0.0),
            brighter=plane(3, 0.0),
        )

    def to(self, device: torch.device | str) -> Self:
        """A copy on another device."""
        moved = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "kernels"}
        tensors = {name: tensor.to(device) for name, tensor in moved.items()}
        return replace(self, **tensors, kernels={i: k.to(device) for i, k in self.kernels.items()})


def _interpolate(values: Tensor, knots: Tensor) -> Tensor:
    """Piecewise-linear functions with evenly spaced knots over [0, 1].

    Args:
        values: (N, C, H, W); clipped to [0, 1].
        knots: (N, C, K).

    Returns:
        (N, C, H, W), differentiable in both arguments.
    """
    count = knots.shape[-1] - 1
    place = values.clamp(0, 1) * count
    low = place.detach().floor().clamp(max=count - 1)
    index = low.long().flatten(2)
    below = torch.gather(knots, 2, index).view_as(values)
    above = torch.gather(knots, 2, index + 1).view_as(values)
    return below + (place - low) * (above - below)


def _blur_gaussian(photo: Tensor, sigma_px: Tensor) -> Tensor:
    """Gaussian blur of each photograph by its own deviation, borders reflected."""
    radius = math.ceil(3 * float(sigma_px.detach().max()))
    radius = min(radius, min(photo.shape[-2:]) - 1)
    if radius < 1:
        return photo
    num, channels, height, width = photo.shape
    offsets = torch.arange(-radius, radius + 1, device=photo.device, dtype=photo.dtype)
    sigma = sigma_px.clamp(min=1e-3)[:, None]
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    # Each kernel reaches three of its own deviations, as degrade's do.
    weights = weights * (offsets.abs() <= torch.ceil(3 * sigma.detach()).clamp(min=1))
    weights = weights / weights.sum(dim=1, keepdim=True)
    flat = photo.reshape(1, num * channels, height, width)
    kernel = weights.repeat_interleave(channels, dim=0)[:, None]
    flat = F.pad(flat, (radius, radius, 0, 0), mode="reflect")
    flat = F.conv2d(flat, kernel[:, :, None, :], groups=num * channels)
    flat = F.pad(flat, (0, 0, radius, radius), mode="reflect")
    flat = F.conv2d(flat, kernel[:, :, :, None], groups=num * channels)
    return flat.view(num, channels, height, width)


def _blur_kernels(photo: Tensor, kernels: dict[int, Tensor]) -> Tensor:
    if not kernels:
        return photo
    parts = list(photo.unbind(0))
    for i, kernel in kernels.items():
        half = kernel.shape[-1] // 2
        padded = F.pad(parts[i][:, None], (half, half, half, half), mode="reflect")
        parts[i] = F.conv2d(padded, kernel[None, None].to(photo.dtype))[:, 0]
    return torch.stack(parts)


def _column(values: Tensor) -> Tensor:
    """(N,) or (N, 3) to a shape that broadcasts over (N, C, H, W)."""
    return values.reshape(values.shape[0], -1, 1, 1)


def expose(photo: Tensor, damage: Damage) -> Tensor:
    """Lens, emulsion, loss of dyes and characteristic curve.

    Args:
        photo: (N, 3, H, W) RGB in [0, 1].
        damage: Of the same batch.

    Returns:
        (N, 3, H, W).
    """
    image = torch.einsum("noc,nchw->nohw", damage.matrix, photo.clamp(0, 1)).clamp(0, 1)
    image = _blur_gaussian(image, damage.sigma_px)
    image = _blur_kernels(image, damage.kernels)
    image = image + damage.dye_loss * (_interpolate(image, damage.dye_knots) - image)
    return _interpolate(image, damage.knots)


def add_light_and_grain(image: Tensor, damage: Damage) -> Tensor:
    """Vignette, grain by tone, and printing screen; (N, 3, H, W) to the same."""
    image = image + damage.fall_off * (_column(damage.fall_off_white) - image)
    table = torch.tensor(GRAIN_SIGMA_TABLE, device=image.device, dtype=image.dtype)
    num, channels = image.shape[:2]
    # The table's last entry stands at 255, not 256: a difference of .4 % of one step.
    sigma = _interpolate(image, table.expand(num, channels, -1)) * _column(damage.grain_strength)
    image = image * (1 + _column(damage.grain_product) * damage.grain) + sigma * damage.grain
    image = image.clamp(0, 1)
    hardness = _column(damage.screen_hardness)
    screened = ((image - damage.screen) * hardness + 0.5).clamp(0, 1)
    return torch.where(hardness > 0, screened, image)


def age_and_mark(image: Tensor, damage: Damage) -> Tensor:
    """Tone, frame, ageing and marks; (N, 3, H, W) to the same."""
    silver, image = image, _interpolate(image, damage.tone.transpose(1, 2).contiguous())
    second = _interpolate(silver, damage.second_tone.transpose(1, 2).contiguous())
    image = image + damage.second_share * (second - image)
    paper, backdrop = _column(damage.paper), _column(damage.backdrop)
    image = paper + damage.picture * (image - paper)
    image = backdrop + damage.print_area * (image - backdrop)
    fade = (damage.age * _column(damage.fade)).clamp(0, 1)
    image = image + fade * (_column(damage.fade_colour) - image)
    stain = (damage.age * _column(damage.stain)).clamp(0, 1)
    image = image * (1 - stain * (1 - _column(damage.stain_colour)))
    image = image * (1 - damage.opacity) + damage.ink
    return torch.maximum(image, damage.brighter)


def redamage(photo: Tensor, damage: Damage) -> Tensor:
    """Damage clean photographs as `degrade.render` would, all but scan and copy.

    Args:
        photo: (N, 3, H, W) RGB in [0, 1]; values outside are clipped.
        damage: Of the same batch, size and device.

    Returns:
        (N, 3, H, W), differentiable in the photograph.

    Raises:
        ValueError: If the sizes differ.
    """
    if photo.shape[0] != damage.matrix.shape[0] or photo.shape[-2:] != damage.age.shape[-2:]:
        raise ValueError(
            f"photographs {tuple(photo.shape)} do not fit a damage of "
            f"{damage.matrix.shape[0]} × {tuple(damage.age.shape[-2:])}"
        )
    return age_and_mark(add_light_and_grain(expose(photo, damage), damage), damage)
