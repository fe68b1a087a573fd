"""What several subcommands print."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tcell_assets.lake.store import Lake


def echo_understood(lake: Lake, batch: str) -> None:
    """Print what the files of a batch were read as."""
    from tcell_assets.lake.staleness import UNDERSTOOD

    kept = lake.lineage("well_metadata", batch).details.get(UNDERSTOOD)
    found = json.loads(kept) if kept else {"rows": [], "notes": []}
    width = max((len(word) for word, _ in found["rows"]), default=0)
    click.echo(f"batch {batch}")
    for word, text in found["rows"]:
        click.echo(f"  {word.ljust(width)}  {text}")
    for note in found["notes"]:
        click.echo(f"  note: {note}")


def echo_table(rows: list[dict[str, Any]]) -> None:
    """Print rows as an aligned table."""
    if not rows:
        return
    cells = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    for row in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


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
