"""The rooms of the benchmarks: which imports from which, and that all are told."""

import ast
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
# What a room may import from, besides itself.
KNOWS = {
    "shared": (),
    "picture": ("shared",),
    "judged": (),
    "rivals": ("shared", "picture"),
    "speed": ("shared",),
}


def list_imports(path: Path) -> set[str]:
    """Modules of the benchmarks that a file imports, at its head or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("benchmarks."):
            found.add(node.module)
    return found


@pytest.mark.parametrize("room", KNOWS)
def test_rooms_import_one_way(room: str) -> None:
    """A room imports from itself and from those below it."""
    for path in (BENCHMARKS / room).glob("*.py"):
        for module in list_imports(path):
            assert module.split(".")[1] in (room, *KNOWS[room]), f"{path}: {module}"


def test_every_benchmark_stands_in_a_room() -> None:
    """On the floor itself lies nothing but the rooms and their results."""
    folders = {path.name for path in BENCHMARKS.iterdir() if path.name != "__pycache__"}
    assert folders == {*KNOWS, "results", "__init__.py"}


def test_no_benchmark_is_longer_than_400_lines() -> None:
    """Past that, it is split."""
    for path in BENCHMARKS.rglob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 400, path
