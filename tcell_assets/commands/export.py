"""`tcell export`: what the lake holds, in the formats other tools read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tcell_assets.commands.platform import Platform
    from tcell_assets.lake.judge import Judge

# Of the wells, in the published files.
WELL_TABLES = ("well_predictions", "latent_embeddings", "dmso_distances")
_as_is = click.option(
    "--as-is", is_flag=True, help="Write what is not current too; the file then says so itself."
)


def _judge(platform: Platform) -> Judge:
    """Return the judge of what is current, landing folders included."""
    from tcell_assets.installation.operations import landing_zone
    from tcell_assets.lake.judge import Judge

    lake = platform.storage.lake()
    landed, _ = landing_zone(platform.configuration.data, lake, 0.0, time.time())
    return Judge(lake, platform.storage.models(), landed)


@click.group(
    "export", epilog="Examples:\n\n  tcell export h5ad screen.h5ad\n\n  tcell export published results"
)
def export_command() -> None:
    """Write the batches that the current model scored for other tools."""


@export_command.command("h5ad", epilog="Example:\n\n  tcell export h5ad screen.h5ad --no-umap")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--umap/--no-umap", default=True, show_default=True, help="Compute UMAP coordinates too.")
@_as_is
def h5ad_command(file: Path, umap: bool, as_is: bool) -> None:
    """Write FILE (.h5ad) for scanpy and cellxgene: wells with metadata, quality, predictions, latents and maps."""
    from tcell_assets.commands.platform import open_platform

    try:
        from tcell_assets.exports.annotated_data import ExportError, annotated_screen, write_annotated
        from tcell_assets.exports.currentness import BehindError

        with open_platform() as platform:
            lake, models = platform.storage.lake(), platform.storage.models()
            data = annotated_screen(lake, models, umap, _judge(platform), as_is)
    except ImportError as error:
        raise click.ClickException(
            f"{error}; pip install 'tcell-assets[anndata,map]', or --no-umap without umap-learn"
        ) from error
    except (ExportError, BehindError) as error:
        raise click.ClickException(str(error)) from error
    for line in json.loads(data.uns["tcell_assets"]["behind"]):
        click.echo(f"not current: {line}", err=True)
    write_annotated(data, file.resolve())
    click.echo(f"{file}: {data.n_obs} wells × {data.n_vars} genes, {', '.join(data.obsm)}")


@export_command.command("published", epilog="Example:\n\n  tcell export published results")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@_as_is
def published_command(folder: Path, as_is: bool) -> None:
    """Write the published pipeline's CSV files into FOLDER, from the current model's tables.

    Distances are those of the tables; `tcell run` is the command that measures them as published.
    """
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.exports.annotated_data import ExportError, scored_batches
    from tcell_assets.exports.currentness import BehindError, doubts_of, require_current
    from tcell_assets.exports.published import write_published_outputs
    from tcell_assets.science.model.trained_model import load_model

    with open_platform() as platform:
        lake, models = platform.storage.lake(), platform.storage.models()
        try:
            version, batches = scored_batches(lake, models)
            doubts = doubts_of(_judge(platform), WELL_TABLES, batches)
            if not as_is:
                require_current(doubts)
        except (ExportError, BehindError) as error:
            raise click.ClickException(str(error)) from error
        wells = [
            str(well)
            for batch in batches
            for well in lake.read("well_metadata", batch, ["well_id"])["well_id"]
        ]
        model_folder = models.folder(version)
        behind = [doubt.text for doubt in doubts if doubt.refuses]
        files = write_published_outputs(
            lake, load_model(model_folder), model_folder, batches, wells, folder.resolve(), True, behind
        )
    for doubt in doubts:
        click.echo(f"not current: {doubt.text}", err=True)
    click.echo(f"{version}, {len(wells)} wells; {len(files)} files in {folder}:")
    for file in files:
        click.echo(f"  {file.name}")
