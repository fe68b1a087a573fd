"""`tcell simulate`: a screen with known truth, in the form real screens land in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tcell_assets.science.simulation.screen_simulation import SimulatedScreen

# Beside the batch folders; a folder whose name starts with a dot or underscore is no batch.
TRUTH_FOLDER = "_truth"


@click.command(
    "simulate", epilog="Example:\n\n  tcell simulate data --preset confounded --genes 256 --plates 2"
)
@click.argument("data_folder", type=click.Path(path_type=Path))
@click.option("--preset", type=click.Choice(["clean", "null", "confounded", "plate_swap", "dead_wells", "sparse"]),
              default="clean", show_default=True)  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=614, show_default=True)
@click.option("--genes", type=click.IntRange(24), default=2541, show_default=True)
@click.option("--batches", type=click.IntRange(1), default=2, show_default=True)
@click.option("--plates", type=click.IntRange(1, 52), default=4, show_default=True, help="Plates a batch.")
@click.option(
    "--wells",
    type=click.Choice(["96", "384", "1536"]),
    default="96",
    show_default=True,
    help="Wells a plate.",
)
@click.option(
    "--batch-prefix", default="tc", show_default=True, help="Batches are named by it and their number."
)
@click.option("--counts", is_flag=True, help="Write raw UMI counts instead of VST expression.")
@click.option("--replace", is_flag=True, help="Overwrite batches of the same names.")
def simulate_command(
    data_folder: Path,
    preset: str,
    seed: int,
    genes: int,
    batches: int,
    plates: int,
    wells: str,
    batch_prefix: str,
    counts: bool,
    replace: bool,
) -> None:
    """Write a simulated screen into DATA_FOLDER, one landing folder a batch, and its truth into DATA_FOLDER/_truth."""
    from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen

    settings = SimulationSettings(
        preset=preset,  # type: ignore[arg-type]  # click has checked the choice
        seed=seed,
        n_genes=genes,
        n_batches=batches,
        n_plates=plates,
        wells_per_plate=int(wells),
        batch_prefix=batch_prefix,
    )
    screen = simulate_screen(settings)
    for folder in write_screen(screen, data_folder, counts=counts, replace=replace):
        click.echo(folder)


def write_screen(screen: SimulatedScreen, data_folder: Path, counts: bool, replace: bool) -> list[Path]:
    """Write a simulated screen's batches and its truth tables and return the folders.

    Raises:
        LandingError: A batch of that name lies there with other content and `replace` is not set.
    """
    from upath import UPath

    from tcell_assets.landing.counts import CountMatrix
    from tcell_assets.landing.writing import write_landing_batch
    from tcell_assets.system.files import write_atomically

    genes = tuple(screen.vst.columns)
    folders = []
    for batch, wells in screen.wells.groupby("batch", sort=True):
        rows = wells.index.to_numpy()
        folders.append(
            write_landing_batch(
                data_folder / str(batch),
                wells,
                expression=None if counts else screen.vst.loc[wells["well_id"]],
                counts=CountMatrix(screen.counts[rows], tuple(wells["well_id"]), genes) if counts else None,
                replace=replace,
            )
        )
    truth = data_folder / TRUTH_FOLDER
    for name in ("metabolite_truth", "gene_truth", "well_truth"):
        content = getattr(screen, name).to_csv(index=False).encode()
        path = UPath(truth / f"{screen.settings.batch_prefix}_{name}.csv")
        write_atomically(path, content)
    return [*folders, truth]
