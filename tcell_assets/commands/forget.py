"""`tcell forget`: takes a batch out of the screen, and brings it back."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING

import click

from tcell_assets.commands.output import echo_table

if TYPE_CHECKING:
    from tcell_assets.commands.platform import Platform


@click.command(
    "forget",
    epilog="Examples:\n\n  tcell forget tc7 --why 'plates were swapped'\n\n  tcell forget --restore tc7\n\n"
    "  tcell forget --list",
)
@click.argument("batch", required=False)
@click.option("--why", default="", help="Kept with the batch.")
@click.option("--restore", "restored", metavar="BATCH", help="Bring a forgotten batch back.")
@click.option("--list", "listed", is_flag=True, help="List the forgotten batches.")
def forget_command(batch: str | None, why: str, restored: str | None, listed: bool) -> None:
    """Take BATCH out of the screen: its tables move into storage/archive/, and nothing uses it until it is restored.

    Its landing folder stays as it is. Models that were trained on it stay too; the weekly training leaves it out.
    """
    from tcell_assets.commands.platform import open_platform

    if (batch is not None) + (restored is not None) + listed != 1:
        raise click.UsageError("give one batch, --restore BATCH or --list")
    with open_platform() as platform:
        if listed:
            _list(platform)
        elif restored is not None:
            restore_batch(platform, restored)
        elif batch is not None:
            forget_batch(platform, batch, why)


def forget_batch(platform: Platform, batch: str, why: str = "") -> None:
    """Move a batch's tables into the archive and say so in the UI.

    Raises:
        click.ClickException: There is no such batch, or it was forgotten before.
    """
    import dagster as dg

    from tcell_assets.defs.assets.ingest import plate_files
    from tcell_assets.lake.archive import forget, forgotten_batches

    lake = platform.storage.lake()
    known = _known(platform)
    before = forgotten_batches(lake).get(batch)
    if before is not None:
        raise click.ClickException(before.sentence())
    if batch not in known:
        raise click.ClickException(f"{batch}: not among {', '.join(sorted(known)) or 'no batches at all'}")
    with platform.storage.batch_held(batch):
        moved = forget(lake, batch, getpass.getuser(), why)
    platform.instance.report_runless_asset_event(
        dg.AssetObservation(plate_files.key, partition=batch, metadata={"forgotten": True, "why": why})
    )
    click.echo(
        f"{batch} is forgotten: {len(moved)} tables lie in the archive; `tcell forget --restore {batch}` brings them "
        "back"
    )
    if lake.exists("hit_calls"):
        click.echo("the screen's tables still count it; `tcell screen` makes them anew")


def restore_batch(platform: Platform, batch: str) -> None:
    """Bring a forgotten batch back.

    Raises:
        click.ClickException: It was not forgotten.
    """
    from tcell_assets.lake.archive import restore

    try:
        with platform.storage.batch_held(batch):
            moved = restore(platform.storage.lake(), batch)
    except LookupError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{batch} is back with {len(moved)} tables; `tcell backfill` brings it up to date")


def _known(platform: Platform) -> set[str]:
    from tcell_assets.landing.fingerprint import list_batches

    return {
        *list_batches(platform.configuration.data).batches,
        *platform.storage.lake().batches("well_metadata"),
    }


def _list(platform: Platform) -> None:
    from tcell_assets.lake.archive import forgotten_batches

    notes = forgotten_batches(platform.storage.lake())
    echo_table(
        [
            {"batch": note.batch, "who": note.who, "when": note.when, "why": note.why}
            for note in notes.values()
        ]
    )
    if not notes:
        click.echo("no batch is forgotten")
