"""What a run's generator starts from, if not from random weights: the weights of another.

Weights of the same network are taken as they are. A global branch, its tally of tones or a colour
network may be added or see another size, a filter of grain may be added, the stem of the U-Net may
see the original too, and its marks' decoder or a marks network may grow wider. A close look may
start from the U-Net with two decoders: what they have in common is taken over, from half resolution
down, or all that restores where it has a scale at native resolution.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

import click
import torch
from torch import Tensor

from train import parallel
from train.errors import TrainError
from train.network.checkpoint import is_exported, load_generator
from train.network.config import GeneratorConfig
from train.network.generator import Generator

_REFINING = "refining_network."
_FOLDED = "refining_network.unet."
# Of the U-Net of before: lists of layers by scale, of which the first is at native resolution.
_LISTS = ("encoder", "down", "up", "decoder")


def start_from(generator: Generator, path: Path) -> None:
    """Take over the weights in a file, and say so where they are those of another network.

    Args:
        generator: Changed.
        path: A checkpoint, or an exported file.

    Raises:
        restore.errors.CheckpointError: If it can't be read.
        TrainError: If its network is no start for this one.
    """
    loaded, info = load_generator(path)
    old, new = info.config, generator.config
    if _can_grow(old, new):
        if new.has_close_look and is_exported(path) and parallel.is_main():
            click.echo(
                f"{path}: an exported file; its norms were folded into the layers, and a marks "
                "stage would begin with others: start those from a run's checkpoint.safetensors",
                err=True,
            )
        _grow(generator, loaded.state_dict())
        return
    if old.has_close_look or not new.has_close_look:
        raise TrainError(
            f"{path}: a network of another size than the preset's; in [generator] of a preset "
            f"file set {_list_differences(old, new)}"
        )
    for name, part in (("color_encoder", "colour network"), ("tone_bins", "tally of tones")):
        value = getattr(old, name)
        if value and value != getattr(new, name):
            raise TrainError(
                f"{path}: its {part} would be lost; set {name} = {json.dumps(value)} in "
                "[generator] of a preset file"
            )
    line = _begin_close_look(generator, loaded.state_dict(), old)
    if parallel.is_main():
        click.echo(f"{path}: {line}", err=True)


def _list_differences(old: GeneratorConfig, new: GeneratorConfig) -> str:
    """Fields of a network as a preset file sets them, where another's differ."""
    pairs = ((field.name, getattr(old, field.name)) for field in fields(old))
    return ", ".join(f"{k} = {json.dumps(v)}" for k, v in pairs if v != getattr(new, k))


def _can_grow(old: GeneratorConfig, new: GeneratorConfig) -> bool:
    """Whether a network that began with the weights of another would do the same."""
    may_widen = len(old.marks_widths) == len(new.marks_widths)
    grown = replace(
        old,
        global_px=new.global_px,
        tone_bins=new.tone_bins,
        stem_photos=new.stem_photos,
        marks_width=new.marks_width,
        marks_widths=new.marks_widths if may_widen else old.marks_widths,
        color_encoder=old.color_encoder or new.color_encoder,
        color_px=new.color_px,
        shrunk_bands=old.shrunk_bands or new.shrunk_bands,
    )
    return (
        grown == new
        and bool(old.global_px) <= bool(new.global_px)
        and (not old.tone_bins or old.tone_bins == new.tone_bins)
        and old.stem_photos <= new.stem_photos
        and old.marks_width <= new.marks_width
        and all(a <= b for a, b in zip(old.marks_widths, new.marks_widths, strict=True))
    )


@torch.no_grad()
def _grow(generator: Generator, weights: Mapping[str, Tensor]) -> None:
    """Take over the weights of a network that `_can_grow` into this one, which then does the same.

    What was there sees nothing of what is new; what is new begins at random, and is heeded as the
    weights learn that begin at zero.

    Source:
        Chen, Goodfellow, Shlens 2016, "Net2Net"; ours adds channels rather than splitting them.
    """
    for name, value in generator.state_dict().items():
        if name in weights:
            old = weights[name]
            if old.ndim:
                value[: len(old)] = 0
            value[tuple(map(slice, old.shape))] = old


@torch.no_grad()
def _begin_close_look(
    generator: Generator, weights: Mapping[str, Tensor], old: GeneratorConfig
) -> str:
    """Take over what a close look has in common with the U-Net of before.

    With a scale at native resolution that is everything but the decoder of the marks, and it
    begins by restoring what is filled as the U-Net did. Else the layers at native resolution are
    gone. Two of them in a row, the stem and the one that halves the sides, are one layer of 5 x 5
    pixels, if what lies between them is left out; the close look's stem begins with it. Its last
    layers begin at zero still: at first it changes nothing.

    Returns:
        What was done.
    """
    state, is_native = generator.state_dict(), bool(generator.config.native_width)
    taken, others = [], 0
    for name, value in state.items():
        source = _name_source(name, is_native)
        if name.startswith(_REFINING):
            others += 1
        if source in weights and weights[source].shape == value.shape:
            value.copy_(weights[source])
            taken.append(name)
    stem = "has a stem of its own"
    if is_native and generator.config.native_width == old.widths[0]:
        seen = weights["stem.weight"]
        state[f"{_REFINING}stem.weight"].zero_()[:, : seen.shape[1]] = seen
        taken.append(f"{_REFINING}stem.weight")
        stem = "its stem sees nothing else yet"
    elif not is_native and state[f"{_FOLDED}stem.bias"].shape == weights["down.0.bias"].shape:
        _unite_stems(state, weights, old.stem_photos)
        taken += [f"{_FOLDED}stem.weight", f"{_FOLDED}stem.bias"]
        stem = "its stem is made of the two layers that are gone"
    num = sum(name.startswith(_REFINING) for name in taken)
    apart = sorted({n.split(".")[0] for n in taken if not n.startswith(_REFINING)})
    return (
        "the weights of a network without a close look; taken over: "
        f"{', '.join([*apart, ''])}{num} of {others} tensors of the refining network ({stem}); "
        "the marks network begins at random"
    )


def _name_source(name: str, is_native: bool) -> str:
    """What a tensor was called in the U-Net, which has one scale above those of a folded one."""
    if is_native:
        return name.removeprefix(_REFINING)
    inner = name.removeprefix(_FOLDED)
    part, _, rest = inner.partition(".")
    if inner == name or part not in _LISTS:
        return name
    scale, _, rest = rest.partition(".")
    return f"{part}.{int(scale) + 1}.{rest}"


def _unite_stems(
    state: Mapping[str, Tensor], weights: Mapping[str, Tensor], num_photos: int
) -> None:
    """One layer in place of two; the filled photograph is seen as each photograph was."""
    first, second = weights["stem.weight"], weights["down.0.weight"]
    stem = state[f"{_FOLDED}stem.weight"]
    stem.zero_()
    for y in range(3):
        for x in range(3):
            united = torch.einsum("om,mihw->oihw", second[:, :, y, x], first)
            for photo in range(num_photos):
                stem[:, :3, y : y + 3, x : x + 3] += united[:, 3 * photo : 3 * photo + 3]
    bias = second.sum((2, 3)) @ weights["stem.bias"] + weights["down.0.bias"]
    state[f"{_FOLDED}stem.bias"].copy_(bias)
