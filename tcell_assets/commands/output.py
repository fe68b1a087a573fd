"""What several subcommands print."""

from __future__ import annotations

from collections.abc import Mapping

import click


def summarize_batches(job: str, outcome: Mapping[str, str]) -> None:
    """Print one line a batch and a total."""
    if not outcome:
        click.echo(f"{job}: no batch to work on; put one into the landing zone (data/<batch>/) first")
        return
    width = max(len(batch) for batch in outcome)
    for batch, state in outcome.items():
        click.echo(f"{batch.ljust(width)}  {state}")
    failed = sum(state == "failed" for state in outcome.values())
    click.echo(f"{job}: {len(outcome) - failed} of {len(outcome)} batches done")
