"""The ``degrade`` command: one verb, one file."""

from degrade.cli.main import main

__all__ = ["main"]
