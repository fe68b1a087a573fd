"""`tcell status`: every batch with its state, model, what is behind, failed or waits and why, and the next step."""

from __future__ import annotations

import json
import time

import click

from tcell_assets.commands.output import echo_table


@click.command("status", epilog="Examples:\n\n  tcell status\n\n  tcell status --json")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def status_command(as_json: bool) -> None:
    """Say of every batch, and of the tables over the screen, whether they are current and what to do where not."""
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.defs.runs import last_failures
    from tcell_assets.installation.status import look

    with open_platform() as platform:
        configuration = platform.configuration
        status, _ = look(
            configuration.data,
            platform.storage.lake(),
            platform.storage.models(),
            configuration.operations.settle_seconds,
            time.time(),
            last_failures(platform.instance),
        )
    if as_json:
        click.echo(json.dumps(status.as_json(), indent=1))
        return
    click.echo(f"model: {status.model or 'none yet; `tcell train` makes one of batches with targets'}")
    echo_table(
        [
            {
                "batch": batch.batch,
                "state": batch.state,
                "model": batch.model or "-",
                "why": batch.why or "-",
                "next step": batch.next_step or "-",
            }
            for batch in status.batches
        ]
    )
    if not status.batches:
        click.echo("no batch yet; put one into the landing zone (data/<batch>/)")
    for table in status.screen:
        click.echo(f"screen: {table.sentence}")
    for line in status.copies:
        click.echo(f"copies: {line}")
    for table in status.asked_for:
        click.echo(f"made only when asked for: {table.sentence}")
    if status.batches and status.is_current:
        click.echo("everything is current")
