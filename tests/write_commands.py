"""Write docs/commands.md: the --help of every command, as it is. Run it after changing one."""

from pathlib import Path

import click

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
_WIDTH = 88


def live_commands() -> dict[str, click.Context]:
    """Every command and subcommand, in its context, by the words that call it."""
    from degrade.cli import main as degrade
    from restore.cli import main as restore
    from train.cli import main as train

    found: dict[str, click.Context] = {}
    for name, command in (("degrade", degrade), ("train", train), ("restore", restore)):
        settings = {**command.context_settings, "terminal_width": _WIDTH}
        found[name] = context = click.Context(command, info_name=name, **settings)
        if isinstance(command, click.Group):
            for word in command.list_commands(context):
                sub = command.get_command(context, word)
                found[f"{name} {word}"] = click.Context(sub, context, word, **settings)
        for word in getattr(command, "words", ()):
            sub = command.get_word(word)
            settings = {**sub.context_settings, "terminal_width": _WIDTH}
            found[f"{name} {word}"] = click.Context(sub, info_name=f"{name} {word}", **settings)
    return found


def describe_commands() -> str:
    """The document."""
    parts = ["# Commands\n\nWritten by `python tests/write_commands.py` from the live `--help`.\n"]
    for words, context in live_commands().items():
        parts.append(f"\n## {words}\n\n```text\n{context.get_help().rstrip()}\n```\n")
    return "".join(parts)


if __name__ == "__main__":
    DOCUMENT.write_text(describe_commands(), encoding="utf-8")
