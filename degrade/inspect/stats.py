"""Count and describe a pair store: sizes, every recipe parameter, what the marks cover."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from degrade.arrays import one_thread
from degrade.damage.marks.layers import mark_layers, united_opacity
from degrade.damage.render import check_textures
from degrade.damage.scan import changes_photo
from degrade.errors import TextureError
from degrade.pairs import PairReader
from degrade.recipe import Recipe
from degrade.store.shards import PARTS
from degrade.textures.pack import Textures

MAX_PAIRS = 10_000
"""Pairs looked at, evenly spread, if there are more."""
MAX_COVERED = 300
"""Pairs whose marks are painted again, kind by kind."""
_MAX_WORDS = 12

# These name a sample; they do not describe it.
_NAMES = frozenset(("key", "seed", "textures", "format_version"))


class Numbers(msgspec.Struct, frozen=True):
    """How the values of a number are spread."""

    count: int
    min: float
    p05: float
    median: float
    p95: float
    max: float
    mean: float


class Coverage(msgspec.Struct, frozen=True):
    """How often a kind of mark occurs, and what it covers where it does."""

    pairs_frac: float
    """Share of all pairs that have it."""
    mean_num: float
    """Marks of this kind on a pair that has it."""
    mean_frac: float
    """Mean opacity over the photograph, on a pair that has it."""
    max_frac: float


class Stats(msgspec.Struct, frozen=True):
    """All there is to say about a pair store."""

    num_train: int
    num_val: int
    num_shards: int
    num_rejected: dict[str, int]
    num_examined: int
    bytes: dict[str, Numbers]
    """Of the encoded parts."""
    stages: dict[str, float]
    """Share of the pairs that have each optional stage."""
    numbers: dict[str, Numbers]
    """Parameters that are numbers, by their place in the recipe."""
    words: dict[str, dict[str, int]]
    """Parameters that are words or flags: how often each value occurs."""
    marked_frac: Numbers
    """Share of each photograph that marks cover, at an opacity of an eighth or more."""
    coverage: dict[str, Coverage]
    """By kind of mark."""


def describe_pairs(path: Path, textures_path: Path | None = None) -> Stats:
    """Describe a build or a shard.

    Args:
        path: A build's folder, or a shard in it.
        textures_path: The texture pack it was built with; None is the one that ships.

    Raises:
        StoreError: If it is no pair store.
        UnreadablePhoto: If a sample is broken.
    """
    reader = PairReader(path)
    num_examined = min(len(reader), MAX_PAIRS)
    sizes: dict[str, list[float]] = {part: [] for part in PARTS}
    stages: Counter[str] = Counter()
    numbers: dict[str, list[float]] = defaultdict(list)
    words: dict[str, Counter[str]] = defaultdict(Counter)
    marked: list[float] = []
    recipes = []
    for step in range(num_examined):
        index = step * len(reader) // num_examined
        parts = reader.raw(index)
        for part, value in parts.items():
            sizes[part].append(len(value))
        pair = reader[index]
        marked.append(float(np.mean(pair.marks >= 32)))
        stages.update(_list_stages(pair.recipe))
        for place, leaf in _walk(pair.recipe, ""):
            if isinstance(leaf, str | bool):
                words[place][str(leaf).lower() if isinstance(leaf, bool) else leaf] += 1
            else:
                numbers[place].append(leaf)
        if step * MAX_COVERED // num_examined != (step + 1) * MAX_COVERED // num_examined:
            recipes.append(pair.recipe)
    split_counts = Counter[str]()
    for shard in reader.shards:
        split_counts[shard.split] += shard.num_pairs
    with one_thread():
        coverage = _cover(recipes, Textures.load(textures_path))
    return Stats(
        num_train=split_counts["train"],
        num_val=split_counts["val"],
        num_shards=len(reader.shards),
        num_rejected=reader.manifest.num_rejected if reader.is_build else {},
        num_examined=num_examined,
        bytes={part: _spread(values) for part, values in sizes.items()},
        stages={name: stages[name] / max(1, num_examined) for name in sorted(stages)},
        numbers={place: _spread(numbers[place]) for place in sorted(numbers)},
        words={place: dict(words[place].most_common()) for place in sorted(words)},
        marked_frac=_spread(marked),
        coverage=coverage,
    )


def _list_stages(recipe: Recipe) -> Iterator[str]:
    untouched = type(recipe)(
        seed=0, key="", variant=0, profile="", width_px=1, height_px=1, crop=recipe.crop
    )
    stages = [
        name
        for name in recipe.__struct_fields__
        if isinstance(getattr(untouched, name), msgspec.Struct | tuple | None)
        and name != "crop"
        and getattr(recipe, name) != getattr(untouched, name)
        and (name != "scan" or changes_photo(recipe.scan))
    ]
    yield from stages
    if set(stages) <= {"frame"}:  # which clean photographs have, too
        yield "(undamaged)"


def _walk(value: object, place: str) -> Iterator[tuple[str, float | str | bool]]:
    """All leaves of a record, with their places: ``grain.strength_frac``, ``marks[].kind``."""
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            if place or name not in _NAMES:
                yield from _walk(getattr(value, name), f"{place}.{name}" if place else name)
    elif isinstance(value, str | bool | int | float):
        yield place, value
    elif isinstance(value, tuple | list):
        if (value and isinstance(value[0], msgspec.Struct)) or place == "marks":
            yield f"{place}.count", len(value)
            for item in value:
                yield from _walk(item, f"{place}[]")
        else:
            for index, item in enumerate(value):
                yield from _walk(item, f"{place}[{index}]")


def _spread(values: list[float]) -> Numbers:
    if not values:
        return Numbers(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    low, p05, median, p95, high = (
        float(q) for q in np.quantile(np.array(values, np.float64), [0, 0.05, 0.5, 0.95, 1])
    )
    return Numbers(len(values), low, p05, median, p95, high, math.fsum(values) / len(values))


def _cover(recipes: list[Recipe], textures: Textures) -> dict[str, Coverage]:
    """Paint the marks of some recipes again, one kind at a time, and measure them."""
    covered: dict[str, list[tuple[int, float]]] = defaultdict(list)
    try:
        for recipe in recipes:
            check_textures(recipe, textures)
            height, width = recipe.height_px, recipe.width_px
            for kind in sorted({mark.kind for mark in recipe.marks}):
                marks = tuple(mark for mark in recipe.marks if mark.kind == kind)
                layers = mark_layers(marks, textures, height, width, 1.0)
                opacity = united_opacity([layer.opacity for layer in layers])
                covered[kind].append((len(marks), float(opacity.mean(dtype=np.float64))))
    except TextureError as error:
        raise TextureError(f"{error}; name the pack it was built with: --textures") from error
    return {
        kind: Coverage(
            pairs_frac=len(found) / len(recipes),
            mean_num=sum(num for num, _ in found) / len(found),
            mean_frac=math.fsum(frac for _, frac in found) / len(found),
            max_frac=max(frac for _, frac in found),
        )
        for kind, found in sorted(covered.items())
    }


def format_stats(stats: Stats) -> str:
    """Lay the figures out for reading."""
    lines = [
        f"{stats.num_train:,} pairs to train on, {stats.num_val:,} to validate with,"
        f" in {stats.num_shards:,} shards"
    ]
    if stats.num_rejected:
        what = ", ".join(f"{count:,} {reason}" for reason, count in stats.num_rejected.items())
        lines.append(f"left out: {what}")
    if stats.num_examined < stats.num_train + stats.num_val:
        lines.append(f"figures from {stats.num_examined:,} pairs, evenly spread")
    head = f"{'':34}{'count':>8}{'min':>10}{'5 %':>10}{'median':>10}{'95 %':>10}{'max':>10}"
    rows = {f"{part}, bytes": spread for part, spread in stats.bytes.items()}
    lines += ["", head, *(_format_row(name, spread) for name, spread in rows.items())]
    lines += [_format_row("marked share", stats.marked_frac)]
    lines += ["", "stages, share of pairs"]
    lines += [f"  {name:32}{share:8.1%}" for name, share in stats.stages.items()]
    lines += ["", "marks by kind                        pairs  marks each  mean cover  max cover"]
    lines += [
        f"  {kind:32}{c.pairs_frac:8.1%}{c.mean_num:12.1f}{c.mean_frac:12.2%}{c.max_frac:11.2%}"
        for kind, c in stats.coverage.items()
    ]
    lines += ["", head, *(_format_row(name, spread) for name, spread in stats.numbers.items())]
    lines += [""]
    for place, counts in stats.words.items():
        shown = ", ".join(
            f"{word or '-'} {num:,}" for word, num in list(counts.items())[:_MAX_WORDS]
        )
        more = f", and {len(counts) - _MAX_WORDS} more" if len(counts) > _MAX_WORDS else ""
        lines.append(f"{place}: {shown}{more}")
    return "\n".join(lines)


def _format_row(name: str, spread: Numbers) -> str:
    shown = (spread.min, spread.p05, spread.median, spread.p95, spread.max)
    return f"  {name:32}{spread.count:8,}" + "".join(f"{value:>10.4g}" for value in shown)
