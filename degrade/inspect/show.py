"""Look into a pair store: choose samples, and write them out as a sheet or as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from degrade.arrays import encode_photo
from degrade.errors import StoreError
from degrade.inspect.sheets import describe_recipe, paint_sheet
from degrade.pairs import PairReader
from degrade.recipe import encode_recipe
from degrade.store.shards import PARTS, name_sample
from degrade.store.whole import whole_folder, write_whole

SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def choose_samples(reader: PairReader, keys: Sequence[str], num_samples: int) -> list[int]:
    """Choose samples by name, or some evenly spread ones.

    Args:
        reader: The pairs.
        keys: Numbers of samples, or keys of source photographs; may be empty.
        num_samples: How many to choose if there are no keys.

    Raises:
        StoreError: If a key is unknown or there are no pairs.
    """
    if not len(reader):
        raise StoreError(f"{reader.path}: holds no pairs")
    if not keys:
        count = min(num_samples, len(reader))
        return [step * len(reader) // count for step in range(count)]
    chosen = []
    for key in keys:
        number = name_sample(int(key)) if key.isascii() and key.isdigit() else key
        if number in reader.keys:
            chosen.append(reader.keys.index(number))
            continue
        found = reader.find(key)
        if not found:
            raise StoreError(f"{reader.path}: no sample {key}; they are {_say_range(reader)}")
        chosen += found
    return chosen


def _say_range(reader: PairReader) -> str:
    return f"{reader.keys[0]} to {reader.keys[-1]}, not all in use"


def list_samples(reader: PairReader, indices: Sequence[int]) -> list[str]:
    """Say what each sample is, a line each."""
    lines = []
    for index in indices:
        recipe = reader.recipe(index)
        said = "; ".join(describe_recipe(recipe))
        lines.append(f"{reader.keys[index]}  {recipe.key} / {recipe.variant}  {said}")
    return lines


def write_sheet(
    reader: PairReader, indices: Sequence[int], out: Path, num_columns: int | None
) -> None:
    """Paint a contact sheet of some samples.

    Raises:
        StoreError: If it cannot be written.
        UnreadablePhoto: If a sample is broken.
    """
    sheet = paint_sheet([reader[index] for index in indices], num_columns=num_columns)
    write_whole(out, [encode_photo(sheet, out.suffix.lower())])


def write_parts(reader: PairReader, indices: Sequence[int], out: Path) -> None:
    """Write the stored parts of some samples as files ``00000042-clean.jpg`` into a new folder.

    Raises:
        StoreError: If it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_folder(out, replace=True) as folder:
            for index in indices:
                parts = reader.raw(index)
                for part in PARTS:
                    (folder / f"{reader.keys[index]}-{part}").write_bytes(parts[part])
    except OSError as error:
        raise StoreError(f"{out}: cannot be written: {error.strerror}") from error


def format_recipes(reader: PairReader, indices: Sequence[int]) -> str:
    """The recipes as JSON, for reading: one, or a list of them."""
    recipes = [encode_recipe(reader.recipe(index)) for index in indices]
    joined = recipes[0] if len(recipes) == 1 else b"[" + b",".join(recipes) + b"]"
    return msgspec.json.format(joined, indent=2).decode()
