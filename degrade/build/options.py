"""What a build is asked to do, and the settings that its bytes depend on."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import lmdb
import msgspec
import numpy as np

from degrade.damage.crop import CROPS
from degrade.profile import Profile, profile_to_json
from degrade.store.manifest import FORMAT_VERSION, Settings
from degrade.textures.pack import Textures


@dataclass(frozen=True)
class BuildOptions:
    """What to build, from what, and how; see ``degrade build --help``."""

    source: Path
    out: Path
    seed: int
    size_px: int = 256
    profile: str = "family-album"
    textures: Path | None = None
    crop: str = "square"
    variants: int = 1
    val_frac: float = 0.05
    limit: int | None = None
    keep_grey: bool = False
    shard_size: int | None = None
    list_file: Path | None = None
    num_workers: int = 1
    force: bool = False
    scheduler: str | None = None
    wait_seconds: float = 3600.0
    scratch: Path | None = None

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ValueError(f"crop is one of {CROPS}, not {self.crop!r}")
        if not 0 <= self.val_frac <= 1:
            raise ValueError(f"val_frac lies in [0, 1], not at {self.val_frac}")
        for name in ("size_px", "variants", "num_workers", "limit", "shard_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is at least 1, not {value}")
        if self.wait_seconds < 0:
            raise ValueError(f"wait_seconds is at least 0, not {self.wait_seconds}")


def make_settings(options: BuildOptions, profile: Profile, textures: Textures) -> Settings:
    """The settings of a build with the versions of the libraries at hand."""
    list_digest = None
    if options.list_file is not None:
        list_digest = hashlib.blake2b(options.list_file.read_bytes(), digest_size=16).hexdigest()
    return Settings(
        format_version=FORMAT_VERSION,
        seed=options.seed,
        profile=msgspec.json.decode(profile_to_json(profile)),
        size_px=options.size_px,
        crop=options.crop,
        variants=options.variants,
        val_frac=options.val_frac,
        limit=options.limit,
        keep_grey=options.keep_grey,
        shard_size=options.shard_size,
        list_digest=list_digest,
        texture_digest=textures.digest,
        versions=find_versions(),
    )


def find_versions() -> dict[str, str]:
    """The versions of all that bytes may depend on, in this process."""
    return {
        "degrade": version("old-pictures-restoration"),
        "lmdb": lmdb.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
        "python": ".".join(platform.python_version_tuple()[:2]),
    }


def describe_difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """What differs between two tables, such as ``numpy '2.1' instead of '2.2'``."""
    return ", ".join(
        f"{name} {theirs.get(name)!r} instead of {ours.get(name)!r}"
        for name in sorted({*theirs, *ours})
        if theirs.get(name) != ours.get(name)
    )
