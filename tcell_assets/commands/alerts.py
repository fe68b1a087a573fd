"""`tcell alerts`: does a message about a failed run reach anybody?"""

from __future__ import annotations

import click


@click.group("alerts", epilog="Examples:\n\n  tcell alerts test")
def alerts_command() -> None:
    """Tell people of failed runs, by the services that TCELL_ALERTS names."""


@alerts_command.command("test", epilog="Examples:\n\n  tcell alerts test")
def test_command() -> None:
    """Send a message to every service; exit code 1 where one did not take it."""
    from tcell_assets.installation.alerts import send
    from tcell_assets.installation.configuration import load_configuration

    configuration = load_configuration()
    send(
        configuration.dagster_home,
        configuration.alerts,
        "tcell_assets: a test",
        f"Alerts of {configuration.home} arrive here.",
    )
    click.echo(f"sent to {len(configuration.alerts)} service{'s' if len(configuration.alerts) > 1 else ''}")
