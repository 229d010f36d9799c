"""Paint a texture pack from a seed."""

import hashlib
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import cv2
import msgspec
import numpy as np

from degrade.arrays import Mask
from degrade.errors import TextureError
from degrade.progress import Progress, Step, follow
from degrade.store.whole import whole_folder
from degrade.textures.kinds import KINDS, Painter
from degrade.textures.pack import FORMAT_VERSION, PackManifest, TextureInfo
from degrade.textures.painters.tiles import (
    FIELD_DENSITIES,
    GRAIN_SIGMAS_PX,
    SCREEN_PERIODS_PX,
    paint_field,
    paint_grain,
    paint_screen,
)

_Paint = Callable[[np.random.Generator], Mask]


def _rng(seed: int, label: str) -> np.random.Generator:
    digest = hashlib.blake2b(f"{seed}|{label}".encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))


def _encode(texture: Mask) -> bytes:
    done, png = cv2.imencode(".png", texture, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done
    return png.tobytes()


def _with_density(paint: Painter, density: float) -> _Paint:
    return lambda rng: paint(rng, density)


def _screen_painter(period_px: int) -> _Paint:
    return lambda _rng: paint_screen(period_px)


def _grain_painter(sigmas_px: tuple[float, ...]) -> _Paint:
    return lambda rng: paint_grain(rng, sigmas_px)


def _list_textures(seed: int) -> Iterator[tuple[TextureInfo, _Paint]]:
    """Everything that a pack holds, in the order of its manifest, with what paints it."""
    for name, kind in KINDS.items():
        for i, density in enumerate(kind.densities):
            info = TextureInfo(
                name=f"masks/{name}-{i:02d}.png", kind=name, sha256="", layout=kind.layout,
                density=density, seed=seed,
            )  # fmt: skip
            yield info, _with_density(kind.paint, density)
    for i, density in enumerate(FIELD_DENSITIES):
        name = f"masks/field-{i:02d}.png"
        info = TextureInfo(name=name, kind="field", sha256="", density=density, seed=seed)
        yield info, _with_density(paint_field, density)
    for period_px in SCREEN_PERIODS_PX:
        name = f"masks/screen-{period_px:02d}.png"
        info = TextureInfo(name=name, kind="screen", sha256="", period_px=period_px, seed=seed)
        yield info, _screen_painter(period_px)
    for i, sigmas_px in enumerate(GRAIN_SIGMAS_PX):
        name = f"grain/grain-{i:02d}.png"
        info = TextureInfo(name=name, kind="grain", sha256="", sigma_px=sigmas_px[0], seed=seed)
        yield info, _grain_painter(sigmas_px)


def _paint_pack(out: Path, seed: int, *, force: bool) -> Generator[Step, None, None]:
    planned = list(_list_textures(seed))
    infos = []
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(out, replace=force) as folder:
            for part in ("masks", "grain"):
                (folder / part).mkdir()
            for info, paint in planned:
                png = _encode(paint(_rng(seed, info.name)))
                (folder / info.name).write_bytes(png)
                digest = hashlib.sha256(png).hexdigest()
                infos.append(msgspec.structs.replace(info, sha256=digest))
                yield Step("painting", len(infos), len(planned))
            manifest = PackManifest(format_version=FORMAT_VERSION, seed=seed, textures=infos)
            text = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
            (folder / "manifest.json").write_bytes(text + b"\n")
    except OSError as error:
        raise TextureError(f"{out}: cannot write textures: {error.strerror or error}") from error


def make_textures(
    out: Path, seed: int, *, force: bool = False, progress: Progress | None = None
) -> None:
    """Paint a complete pack; the same seed gives the same bytes.

    Args:
        out: Folder to create.
        seed: Seed of every texture.
        force: Replace a folder that is there, once the new one is whole.
        progress: Told how far it is.

    Raises:
        TextureError: If `out` exists or cannot be written.
    """
    if out.exists() and not force:
        raise TextureError(f"{out}: already exists; choose a new folder")
    follow(_paint_pack(out, seed, force=force), progress)
