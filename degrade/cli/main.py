"""The ``degrade`` command and its verbs."""

import click

from degrade.cli.build import build
from degrade.cli.photo import photo
from degrade.cli.profiles import profiles
from degrade.cli.show import show
from degrade.cli.stats import stats
from degrade.cli.textures import textures
from degrade.cli.verify import verify


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="old-pictures-restoration", prog_name="degrade")
def main() -> None:
    """Damage clean photographs the way time does, to train on.

    \b
    Examples:
      degrade build photos/ pairs/ --seed 42
      degrade show pairs/ -o sheet.png
      degrade photo holiday.jpg -o old.jpg --seed 7
    """  # noqa: D301 - click wants the backspace itself


for _verb in (build, photo, textures, profiles, show, stats, verify):
    main.add_command(_verb)
