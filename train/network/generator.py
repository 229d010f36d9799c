"""The generator: the networks that restore a photograph, and the order in which they do.

A global branch (train/network/global_branch.py) may settle tone and colour first, from a reduced
copy of the whole. Then a local network finds the marks and repairs what is fine: of the two in
train/network/local, the one that the configuration asks for. It may see the original, too, in which
marks are as they came. A colour network (train/network/color.py) stands beside them.

Apart from the global branch nothing here looks at statistics over space once it is trained (no
group or instance norm, no global pooling; batch norms have fixed numbers then), so a tile gives the
same values as the whole photograph away from the tile's edges, if it was adjusted by the grid of
the whole and starts at a multiple of `Generator.alignment`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from train.network.color import ColorNetwork
from train.network.config import GeneratorConfig
from train.network.encoder import Version
from train.network.global_branch import GlobalBranch, adjust_by_grid, reduce_photo
from train.network.local.close_look import CloseLook
from train.network.local.unet import LocalUNet
from train.network.toning import make_neutral, measure_toning, replace_colors

__all__ = ["Generator", "GeneratorConfig"]


@dataclass(frozen=True, eq=False)  # fastai would take a tuple apart
class Look:
    """The whole of which a photograph is a part, as the global branch sees it.

    Attributes:
        photo: (N, 3, h, w) RGB in [0, 1], reduced copies of the wholes.
        box: (N, 4), where in them the photographs lie: left, top, right, bottom in fractions.
    """

    photo: Tensor
    box: Tensor


class Generator(nn.Module):
    """The network that restores; before training it returns the photograph unchanged.

    The layers of the local network are the generator's own: files of weights have known them by
    those names since before there were two.

    Attributes:
        config: Its size.
    """

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or GeneratorConfig()
        self.global_branch = GlobalBranch(config.tone_bins) if config.global_px else None
        self.color_network: ColorNetwork | None = None
        if config.color_encoder:
            self.color_network = ColorNetwork(cast(Version, config.color_encoder))
        local = CloseLook(config) if config.has_close_look else LocalUNet(config)
        self._local = (local,)  # in a tuple it isn't registered, so its layers keep short names
        for name, part in local.named_children():
            self.add_module(name, part)

    @property
    def local(self) -> CloseLook | LocalUNet:
        """What follows the global branch."""
        return self._local[0]

    @property
    def close_look(self) -> CloseLook:
        """The local network, where the configuration asks for a close look."""
        assert isinstance(self.local, CloseLook)
        return self.local

    @property
    def num_strips(self) -> int:
        """In how many strips layers at native resolution run; for inference in little memory."""
        return self.local.num_strips

    @num_strips.setter
    def num_strips(self, num: int) -> None:
        self.local.num_strips = num

    @property
    def alignment(self) -> int:
        """Sides of a photograph must be multiples of this many pixels, and tiles start at one."""
        return self.config.alignment

    def forward(
        self, photo: Tensor, known_marks: Tensor | None = None, look: Look | None = None
    ) -> tuple[Tensor, Tensor]:
        """Restore photographs and find their marks.

        Args:
            photo: (N, 3, H, W) RGB in [0, 1]; H and W multiples of `alignment`.
            known_marks: (N, 1, H, W) in [-1, 1]. Positive where the caller knows of damage; it is
                painted over besides what the network finds. Negative where that is to be doubted;
                the close look alone listens to it.
            look: The wholes that they are parts of; None: they are whole.

        Returns:
            restored: (N, 3, H, W) RGB, not clamped.
            marks_logits: (N, 1, H, W) logits of the opacity of marks.

        Raises:
            ValueError: If the sides are no multiples of `alignment`.
        """
        return self.restore_locally(self.adjust_globally(photo, look), known_marks, photo)

    def find_grid(self, photo: Tensor) -> Tensor | None:
        """The global branch's grid (N, 12, h, w) for whole photographs (N, 3, H, W), if any.

        A photograph that has no colours of its own, only toning, is made neutral where it is
        repaired so; else, in evaluation mode, its colours are found in its neutral copy.
        """
        if self.global_branch is None:
            return None
        reduced = reduce_photo(photo, self.config.global_px)
        grid: Tensor = self.global_branch(reduced) if self.training else self._look_twice(reduced)
        if self.training and not self.config.repairs_neutral:
            return grid
        toning = measure_toning(reduced)
        if self.config.repairs_neutral:
            return replace_colors(grid, torch.zeros_like(grid), toning)
        if not toning.any():
            return grid
        return replace_colors(grid, self._look_twice(make_neutral(reduced)), toning)

    def _look_twice(self, reduced: Tensor) -> Tensor:
        """The mean of the branch's grids for photographs and their mirror images."""
        assert self.global_branch is not None
        grid: Tensor = self.global_branch(reduced)
        mirrored: Tensor = self.global_branch(reduced.flip(3))
        return (grid + mirrored.flip(3)) / 2

    def adjust_globally(self, photo: Tensor, look: Look | None = None) -> Tensor:
        """Photographs (N, 3, H, W), their tone and colour settled by the global branch.

        Args:
            photo: Whole, or parts.
            look: See `forward`.
        """
        whole, box = (photo, None) if look is None else (look.photo, look.box)
        grid = self.find_grid(whole)
        return photo if grid is None else adjust_by_grid(photo, grid, box)

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
        return self.local.restore_locally(photo, known_marks, original)
