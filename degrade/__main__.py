"""``python -m degrade`` is the ``degrade`` command."""

from degrade.cli import main

if __name__ == "__main__":
    main(prog_name="degrade")
