"""``degrade profiles``: the damage profiles that are shipped."""

import click

from degrade.cli.options import explain_errors


@click.command()
@click.argument("name", required=False)
def profiles(name: str | None) -> None:
    """List the damage profiles, or print the one called NAME."""
    from degrade.profile import list_profiles, profile_text

    with explain_errors():
        if name is not None:
            click.echo(profile_text(name), nl=False)
            return
        found = list_profiles()
    width = max(map(len, found))
    for known, description in found.items():
        click.echo(f"{known:<{width}}  {description}")
