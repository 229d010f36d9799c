"""What the documents say is what the commands do."""

import re
import shlex
from pathlib import Path

import pytest
from write_commands import DOCUMENT, describe_commands, live_commands

ROOT = DOCUMENT.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install '.[test]' && .venv/bin/pytest -n 2"


def command_lines() -> list[tuple[str, str]]:
    """Every line of a fenced shell block that calls one of the three commands."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:console|sh|bash)\n(.*?)```", page.read_text("utf-8"), re.S):
            joined = block.replace("\\\n", " ")
            for line in joined.splitlines():
                for part in re.split(r"&&|\|", line.split(" #")[0]):
                    call = part.strip().removeprefix("$ ").removeprefix(".venv/bin/")
                    call = call.removeprefix("torchrun --nproc-per-node 2 -m ")
                    if call.split(" ")[0] in ("degrade", "train", "restore"):
                        found.append((page.name, call))
    return found


def test_commands_document_is_the_live_help():
    """docs/commands.md is what every --help prints now."""
    assert DOCUMENT.read_text("utf-8") == describe_commands(), "run python tests/write_commands.py"


def test_every_command_is_explained():
    """Each command has a help text, and so has each of its options."""
    for words, context in live_commands().items():
        command = context.command
        assert command.help, words
        for parameter in command.params:
            if parameter.param_type_name == "option" and not parameter.hidden:
                assert parameter.help, f"{words} {parameter.opts}"


@pytest.mark.parametrize(("page", "line"), command_lines())
def test_documented_command_exists_with_its_options(page, line):
    """A command in a document can be called so: its words and options exist."""
    words = shlex.split(line)
    commands = live_commands()
    two = " ".join(words[:2])
    command = commands[two if two in commands else words[0]].command
    known = {opt for p in command.params for opt in (*p.opts, *p.secondary_opts)} | {"-h", "--help"}
    for word in words[1:]:
        if word.startswith("-") and not re.fullmatch(r"-[\d.]+", word):
            assert word.split("=")[0] in known, f"{page}: {line}: {word}"


def test_readme_gives_the_command_that_ci_runs():
    """README's test command and that of .ci/run are the same."""
    assert TEST_COMMAND in (ROOT / "README.md").read_text("utf-8")
    assert TEST_COMMAND in (ROOT / ".ci" / "run").read_text("utf-8")


def test_readme_links_lead_somewhere():
    """Every relative link of every page exists."""
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_pages_exist():
    """The project's papers are there."""
    for name in ("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md"):
        assert Path(ROOT / name).stat().st_size > 200
