"""The command `restore`, and the commands that are its first word."""

from restore.cli.command import main

__all__ = ["main"]
