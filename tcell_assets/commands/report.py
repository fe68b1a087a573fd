"""`tcell report`: the screen, or single batches, as HTML files to look at."""

from __future__ import annotations

import webbrowser

import click


@click.command("report", epilog="Examples:\n\n  tcell report --open\n\n  tcell report tc1 tc2")
@click.argument("batches", nargs=-1)
@click.option("--open", "opens", is_flag=True, help="Open what was written in the browser of this machine.")
def report_command(batches: tuple[str, ...], opens: bool) -> None:
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
        if not batches:
            platform.run("screen", selection=["screen_report"])
        written = [report_file(platform.storage, batch) for batch in batches or (None,)]
    for file in written:
        click.echo(file)
        if opens and not webbrowser.open(file.as_uri()):
            raise click.ClickException(f"no browser can be started here; open {file} in one")
