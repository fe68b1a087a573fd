"""`tcell demo`: a small simulated screen through every asset, with what it found and where it lies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import dagster as dg

from tcell_assets.commands.output import echo_table
from tcell_assets.commands.simulate import write_screen
from tcell_assets.installation.progress import terminal_progress

# Small enough for a laptop's first minutes; 10 epochs were enough here, 50 over-fit from epoch 16 on.
GENES = 256
PLATES = 2
TRAINING: dict[str, Any] = {"preset": "recommended", "epochs": 10, "compare_with_linear": True}
BATCH_PREFIX = "demo"


@click.command("demo", epilog="Example:\n\n  tcell demo")
def demo_command() -> None:
    """Simulate 2 batches × 2 plates × 96 wells × 256 genes, materialize every asset and print the top metabolites.

    Batches are named demo1 and demo2; what else lies in the landing zone is left alone. A second demo reuses them.
    """
    import pandas as pd

    from tcell_assets.commands.platform import open_platform
    from tcell_assets.defs.assets.model import HELD_OUT_ACCURACY
    from tcell_assets.defs.assets.report import report_file
    from tcell_assets.installation.configuration import load_configuration
    from tcell_assets.science.plates.position import worst_verdict
    from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen

    started = time.monotonic()
    configuration = load_configuration()
    screen = simulate_screen(
        SimulationSettings(n_genes=GENES, n_batches=2, n_plates=PLATES, batch_prefix=BATCH_PREFIX)
    )
    folders = write_screen(screen, configuration.data, counts=False, replace=True)
    batches = sorted(screen.wells["batch"].unique())
    click.echo(f"simulated {len(screen.wells)} wells × {GENES} genes: {', '.join(map(str, folders))}")
    with open_platform(configuration) as platform, terminal_progress():
        platform.register_landed_batches()
        for batch in batches:
            platform.run("ingest", batch)
        trained = platform.run("train", config={"ops": {"train_model": {"config": TRAINING}}})
        click.echo(f"trained {platform.storage.models().current()}")
        for batch in batches:
            platform.run("score", batch)
        platform.run("screen")
        lake, report = platform.storage.lake(), report_file(platform.storage)
        position = lake.read("screen_position_audit")
        scores = lake.read("metabolite_scores")
        genes = lake.read("gene_importance_ranking", columns=["rank", "gene", "importance"])
    click.echo(f"\nCan the plate position alone explain the screen? {worst_verdict(position)}")
    for finding in position.loc[position["verdict"] != "ok", "finding"]:
        click.echo(f"  {finding}")
    click.echo("\nHeld-out wells: the Transformer beside the linear models a statistician would try first")
    echo_table(_rounded(pd.DataFrame(_metadata(trained, "trained_model")[HELD_OUT_ACCURACY])))
    top = scores.head(10)[
        ["rank", "metabolite", "hit_class", "mean_euclidean", "mean_activation_probability"]
    ]
    click.echo("\nMetabolites, strongest replicate agreement first")
    echo_table(_rounded(top))
    click.echo("\nGenes that drive the prediction of activation")
    echo_table(_rounded(genes.head(10)))
    click.echo(f"\ndone in {time.monotonic() - started:.0f} s")
    click.echo(f"tables   {_short(Path(configuration.storage) / 'lake')}/<asset>/<batch>.parquet")
    click.echo(f"models   {_short(Path(configuration.storage) / 'models')}/<version>/")
    click.echo("UI       .venv/bin/tcell ui   then http://127.0.0.1:3000")
    click.echo(f"report   {_short(report)}   open it in a browser, or: .venv/bin/tcell report --open")


def _metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    from tcell_assets.defs.metadata import plain_metadata

    for event in result.get_asset_materialization_events():
        if event.asset_key == dg.AssetKey(asset):
            return plain_metadata(event.materialization.metadata)
    raise LookupError(f"{asset} was not materialized")


def _rounded(frame: Any) -> list[dict[str, Any]]:
    return [
        {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _short(path: Path) -> str:
    """Return the path from here where it lies below, as that is what people copy."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
