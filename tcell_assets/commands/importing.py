"""`tcell import`: a published-layout folder becomes one landing folder a batch."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("import", epilog="Example:\n\n  tcell import ~/published/data")
@click.argument("source", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--data-folder", type=click.Path(path_type=Path), default=None, help="Default: the landing zone."
)
@click.option("--replace", is_flag=True, help="Overwrite batches whose content differs.")
def import_command(source: Path, data_folder: Path | None, replace: bool) -> None:
    """Split SOURCE (expr_mat.csv, scores_3_z.csv, labels_cls.csv, meta_id.csv, well_id.csv) by the wells' batch.

    Wells are named `<batch>_<plate>_<well>`. Every problem is reported at once and then nothing is written.
    """
    from tcell_assets.installation.configuration import load_configuration
    from tcell_assets.landing.importing import import_published_folder

    target = data_folder or load_configuration().data
    imported = import_published_folder(source, target, replace=replace)
    for batch in imported.batches:
        click.echo(f"{target / batch}")
    click.echo(
        f"imported {len(imported.well_ids)} wells in {len(imported.batches)} batches; next: tcell ingest"
    )
