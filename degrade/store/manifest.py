"""What a build says about itself: ``manifest.json`` of the build, ``shard.json`` of a shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import msgspec

from degrade.errors import StoreError
from degrade.store.whole import write_whole

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
SHARD_INFO_NAME = "shard.json"
DATA_NAME = "data.mdb"
WORK_NAME = ".building"
"""Folder of a build that isn't finished."""

_Record = TypeVar("_Record", bound=msgspec.Struct)


class Rejection(msgspec.Struct, frozen=True, kw_only=True):
    """One photograph that was left out, and why."""

    key: str
    reason: str
    """unreadable, undecodable, too-small, grey, duplicate or odd-key."""
    detail: str


class ShardInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One shard: what it holds, and the digest that proves it."""

    name: str
    split: str
    """train or val."""
    first_number: int
    """Number of its first sample; the others follow without gaps."""
    num_pairs: int
    digest: str
    """blake2b of the ordered keys and values, see ``StreamDigest``."""
    num_bytes: int
    """Keys and values together."""
    first_key: str
    """Source keys of the first and the last photograph that was looked at for this shard."""
    last_key: str


class ShardReport(msgspec.Struct, frozen=True, kw_only=True):
    """A shard's own ``shard.json``."""

    format_version: int
    info: ShardInfo
    rejections: list[Rejection]


class SourceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The clean photographs a build was made from."""

    kind: str
    """lsun or folder."""
    path: str
    num_photos: int
    """Looked at, after ``--list`` and ``--limit``."""
    fingerprint: str
    """Of the photographs' keys, lengths and a glimpse of their bytes, in order."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """All that the bytes of a build depend on; equal settings give equal shards."""

    format_version: int
    seed: int
    profile: dict[str, Any]
    """The whole profile."""
    size_px: int
    crop: str
    variants: int
    val_frac: float
    limit: int | None
    keep_grey: bool
    shard_size: int | None
    """As asked for; None means chosen by the number of pairs."""
    list_digest: str | None
    """Of the ``--list`` file, if one was given."""
    texture_digest: str
    versions: dict[str, str]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A finished build's ``manifest.json``."""

    format_version: int
    settings: Settings
    source: SourceInfo
    num_train: int
    num_val: int
    num_rejected: dict[str, int]
    """Number of photographs by reason."""
    digest: str
    """blake2b of the shards' names and digests, in order."""
    shards: list[ShardInfo]

    @property
    def seed(self) -> int:
        """The seed of every draw."""
        return self.settings.seed

    @property
    def size_px(self) -> int:
        """The short side of every sample."""
        return self.settings.size_px

    @property
    def profile(self) -> dict[str, Any]:
        """The damage profile in full."""
        return self.settings.profile

    @property
    def texture_digest(self) -> str:
        """The digest of the texture pack."""
        return self.settings.texture_digest

    @property
    def versions(self) -> dict[str, str]:
        """The libraries the build was made with."""
        return self.settings.versions


def write_record(path: Path, record: msgspec.Struct) -> None:
    """Write a record as JSON.

    Raises:
        StoreError: If the file cannot be written.
    """
    encoded = msgspec.json.format(msgspec.json.encode(record, order="deterministic"), indent=2)
    write_whole(path, [encoded, b"\n"])


def read_manifest(folder: Path) -> Manifest:
    """Read a build's manifest.

    Raises:
        StoreError: If the folder is missing, is no finished build or has another format version.
    """
    if not folder.exists():
        raise StoreError(f"{folder}: no such folder")
    path = folder / MANIFEST_NAME
    if not path.exists():
        if (folder / WORK_NAME).exists():
            raise StoreError(
                f"{folder}: this build isn't finished; run the same degrade build again"
            )
        raise StoreError(f"{folder}: not a pair store (it holds no {MANIFEST_NAME})")
    return _read_record(path, Manifest)


def read_shard_report(folder: Path) -> ShardReport:
    """Read what a shard says about itself.

    Raises:
        StoreError: If the folder is missing, is no shard or has another format version.
    """
    path = folder / SHARD_INFO_NAME
    if not path.exists():
        raise StoreError(f"{folder}: not a shard of pairs (it holds no {SHARD_INFO_NAME})")
    return _read_record(path, ShardReport)


class _Versioned(msgspec.Struct):
    format_version: int


def _read_record(path: Path, kind: type[_Record]) -> _Record:
    try:
        content = path.read_bytes()
        version = msgspec.json.decode(content, type=_Versioned).format_version
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{path}: format version {version}, this release reads {FORMAT_VERSION};"
                " build the pairs again or install the release that made them"
            )
        return msgspec.json.decode(content, type=kind)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path}: damaged or not ours: {error}") from error
