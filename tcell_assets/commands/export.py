"""`tcell export`: what the lake holds, in the formats other tools read."""

from __future__ import annotations

from pathlib import Path

import click


@click.group(
    "export", epilog="Examples:\n\n  tcell export h5ad screen.h5ad\n\n  tcell export published results"
)
def export_command() -> None:
    """Write the batches that the current model scored for other tools."""


@export_command.command("h5ad", epilog="Example:\n\n  tcell export h5ad screen.h5ad --no-umap")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--umap/--no-umap", default=True, show_default=True, help="Compute UMAP coordinates too.")
def h5ad_command(file: Path, umap: bool) -> None:
    """Write FILE (.h5ad) for scanpy and cellxgene: wells with metadata, quality, predictions, latents and maps."""
    from tcell_assets.commands.platform import open_platform

    try:
        from tcell_assets.exports.annotated_data import ExportError, annotated_screen, write_annotated

        with open_platform() as platform:
            data = annotated_screen(platform.storage.lake(), platform.storage.models(), umap)
    except ImportError as error:
        raise click.ClickException(
            f"{error}; pip install 'tcell-assets[anndata,map]', or --no-umap without umap-learn"
        ) from error
    except ExportError as error:
        raise click.ClickException(str(error)) from error
    write_annotated(data, file.resolve())
    click.echo(f"{file}: {data.n_obs} wells × {data.n_vars} genes, {', '.join(data.obsm)}")


@export_command.command("published", epilog="Example:\n\n  tcell export published results")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def published_command(folder: Path) -> None:
    """Write the published pipeline's CSV files into FOLDER, from the current model's tables.

    Distances are those of the tables; `tcell run` is the command that measures them as published.
    """
    from tcell_assets.commands.platform import open_platform
    from tcell_assets.exports.annotated_data import ExportError, scored_batches
    from tcell_assets.exports.published import write_published_outputs
    from tcell_assets.science.model.trained_model import load_model

    with open_platform() as platform:
        lake, models = platform.storage.lake(), platform.storage.models()
        try:
            version, batches = scored_batches(lake, models)
        except ExportError as error:
            raise click.ClickException(str(error)) from error
        wells = [
            str(well)
            for batch in batches
            for well in lake.read("well_metadata", batch, ["well_id"])["well_id"]
        ]
        model_folder = models.folder(version)
        files = write_published_outputs(
            lake, load_model(model_folder), model_folder, batches, wells, folder.resolve(), trained=True
        )
    click.echo(f"{version}, {len(wells)} wells; {len(files)} files in {folder}:")
    for file in files:
        click.echo(f"  {file.name}")
