"""The networks that judge what the generator restores, while it learns."""

from __future__ import annotations

from typing import Literal

from train.config.schema import Config, Count


class CriticConfig(Config, frozen=True, kw_only=True):
    """Size of the critic.

    Attributes:
        widths: Channels per convolution of stride 2.
        num_scales: At how many scales photographs are judged: their own, and halvings of it.
    """

    widths: tuple[Count, ...] = (32, 64, 128, 128)
    num_scales: Count = 2


class FeaturesConfig(Config, frozen=True, kw_only=True):
    """The frozen classifier that photographs are compared by, and the projected critic on it.

    Attributes:
        version: Of the classifier; the package that carries its weights must be installed.
        vary: Whether the critic sees photographs mirrored, shifted and with a part cut out.
    """

    version: Literal["lite0", "lite2"] = "lite0"
    vary: bool = False
