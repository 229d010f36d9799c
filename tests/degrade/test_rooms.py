"""The rooms of the package: which imports which, and where each stage stands."""

import ast
import re
from pathlib import Path

import degrade
from degrade.damage.render import STAGES

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(degrade.__file__).parent
# Each imports from its own line and from those above. The longest name that fits counts.
RANKS = [
    ("errors", "schema", "progress", "signals", "arrays"),
    ("store",),
    ("textures",),
    ("damage",),
    ("recipe", "profile"),
    ("damage.draw", "damage.render"),
    ("pairs",),
    ("cluster",),
    ("build",),
    ("inspect",),
    ("cli", "__main__"),
]


def find_rank(module: str) -> int:
    """The line of RANKS in which a module stands; -1 for the package itself."""
    parts = module.split(".")[1:]
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        for rank, names in enumerate(RANKS):
            if name in names:
                return rank
    return -1


def list_imports() -> dict[str, set[str]]:
    """By module: what it imports of the package, at its head or inside functions."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(("degrade", *path.relative_to(PACKAGE).with_suffix("").parts))
        imported = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("degrade."):
                imported.add(node.module)
                for alias in node.names:
                    below = PACKAGE.joinpath(*node.module.split(".")[1:], f"{alias.name}.py")
                    if below.exists():
                        imported.add(f"{node.module}.{alias.name}")
        found[name.removesuffix(".__init__")] = imported
    return found


def test_imports_point_one_way():
    """No room imports from a higher one; the package's own names are lazy."""
    for module, imported in list_imports().items():
        for other in imported:
            if module != "degrade":
                assert find_rank(other) <= find_rank(module), f"{module} imports {other}"


def test_modules_import_in_no_circle():
    """Each module can be imported by itself: whoever it needs doesn't need it."""
    imports = list_imports()
    imports.pop("degrade")

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " imports ".join((*above, module))
        for other in imports.pop(module, ()):
            visit(other, (*above, module))

    while imports:
        visit(next(iter(imports)), ())


def test_every_stage_is_a_file_of_its_name():
    """What can be left out with --skip is what stands in degrade/damage, few others aside."""
    rooms = {path.stem for path in (PACKAGE / "damage").iterdir() if path.stem[0] != "_"}
    assert rooms == {*STAGES, "crop", "draw", "render", "streams"}


def test_documented_stages_come_in_the_order_of_rendering():
    """The table of docs/damage-model.md names them as render goes through them."""
    text = (ROOT / "docs" / "damage-model.md").read_text("utf-8")
    rows = re.findall(r"^\|[^|]*\| [^|]*\(`(\w+)`\) \|", text, re.M)
    assert tuple(rows) == STAGES


def test_no_module_is_longer_than_400_lines():
    """Past that, it is split."""
    for path in PACKAGE.rglob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 400, path


def test_public_names_load():
    """Every name of __all__ is there, and no other is promised."""
    for name in degrade.__all__:
        assert getattr(degrade, name).__module__.startswith("degrade.")
