"""Write docs/commands.md: the --help of every command, as it is. Run it after changing one."""

from pathlib import Path

import click

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
_WIDTH = 88


def live_commands() -> dict[str, click.Command]:
    """Every command and subcommand by the words that call it."""
    from degrade.cli import main as degrade
    from restore.cli import main as restore
    from train.cli import main as train

    found: dict[str, click.Command] = {}
    for name, command in (("degrade", degrade), ("train", train), ("restore", restore)):
        found[name] = command
        if isinstance(command, click.Group):
            context = click.Context(command, info_name=name)
            for sub in command.list_commands(context):
                found[f"{name} {sub}"] = command.get_command(context, sub)
    return found


def describe_commands() -> str:
    """The document."""
    parts = ["# Commands\n\nWritten by `python tests/write_commands.py` from the live `--help`.\n"]
    for words, command in live_commands().items():
        context = click.Context(command, info_name=words, terminal_width=_WIDTH)
        parts.append(f"\n## {words}\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(describe_commands(), encoding="utf-8")
