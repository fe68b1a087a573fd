"""`tcell report`: the screen, or single batches, as HTML files to look at."""

from __future__ import annotations

import click


@click.command("report", epilog="Examples:\n\n  tcell report\n\n  tcell report tc1 tc2")
@click.argument("batches", nargs=-1)
def report_command(batches: tuple[str, ...]) -> None:
    """Write the report on the screen, or on BATCHES, and print where it lies.

    It shows whatever has been materialized, needs no network and opens in any browser.
    """
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.defs.assets.report import report_file

    with open_platform() as platform:
        landed = platform.register_landed_batches()
        known = sorted({*landed, *platform.storage.lake().batches("well_metadata")})
        unknown = sorted(set(batches) - set(known))
        if unknown:
            raise click.BadParameter(
                f"{', '.join(unknown)}: not among {', '.join(known) or 'no batches at all'}"
            )
        for batch in batches:
            platform.run("report", batch)
            click.echo(report_file(platform.storage, batch))
        if not batches:
            platform.run("screen", selection=["screen_report"])
            click.echo(report_file(platform.storage))
