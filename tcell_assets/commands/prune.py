"""`tcell prune`: takes out of the run history what nothing needs any more, as the daemon does once a day."""

from __future__ import annotations

import time

import click


@click.command("prune", epilog="Examples:\n\n  tcell prune --dry-run\n\n  tcell prune")
@click.option("--dry-run", is_flag=True, help="Only say what would be taken out.")
def prune_command(dry_run: bool) -> None:
    """Take runs out of the history that no table, no recent run and no count of attempts needs.

    Tables, models and reports stay as they are. TCELL_RETENTION_MATERIALIZATIONS and TCELL_RETENTION_DAYS say how much
    is kept.
    """
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.defs.run_history import plan_sweep, sweep

    with open_platform() as platform:
        plan = plan_sweep(
            platform.instance, platform.storage.lake(), platform.configuration.operations, time.time()
        )
        if plan.waits:
            raise click.ClickException(f"{plan.waits}; try again when it has ended")
        click.echo(plan.sentence())
        if not dry_run:
            click.echo(sweep(platform.instance, plan).sentence())
