"""`tcell check`: what an ingest would understand of a folder, before anything is written."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command(
    "check", epilog="Examples:\n\n  tcell check data\n\n  tcell check data/tc7 --write-screen-yaml"
)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--write-screen-yaml",
    is_flag=True,
    help="Write FOLDER/screen.yaml with what was recognised, commented, to be corrected; an existing one stays.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a batch.")
def check_command(folder: Path, write_screen_yaml: bool, as_json: bool) -> None:
    """Read FOLDER, a batch or a folder of batches, as an ingest would, and show what was understood.

    Nothing is ingested. Exits with 1 where a batch would be refused.
    """
    from tcell_assets.landing.checking import check_folder, proposed_settings, spelled_otherwise
    from tcell_assets.landing.files import SETTINGS_FILE
    from tcell_assets.landing.problems import write_full_list

    checked = check_folder(folder)
    for number, each in enumerate(checked):
        if as_json:
            found = None if each.batch is None else each.batch.understood.to_dict()
            problems = [] if each.error is None else each.error.causes()
            click.echo(json.dumps({"batch": each.folder.name, "problems": problems, "understood": found}))
            continue
        if number:
            click.echo()
        for line in each.lines:
            click.echo(line)
        if each.error is not None:
            click.echo(str(each.error))
            if each.error.is_shortened:
                click.echo(f"every one of them: {write_full_list(each.error)}")
    refused = [each for each in checked if each.error is not None]
    if not as_json:
        for text in spelled_otherwise(checked):
            click.echo(f"\nbetween batches: {text}")
        ready = len(checked) - len(refused)
        click.echo(f"\n{ready} of {len(checked)} batch{'es' if len(checked) != 1 else ''} can be ingested")
    if write_screen_yaml:
        path = folder / SETTINGS_FILE
        if path.exists():
            raise click.ClickException(f"{path} exists; move it away, or correct it by hand")
        path.write_text(proposed_settings(folder, checked), encoding="utf-8")
        click.echo(f"wrote {path}", err=as_json)
    if refused:
        sys.exit(1)
