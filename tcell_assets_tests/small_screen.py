"""A real but small installation for tests: simulated plates, a narrow network, everything on disk under one folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from tcell_assets.commands.platform import Platform
from tcell_assets.commands.simulate import write_screen
from tcell_assets.installation.configuration import Configuration
from tcell_assets.science.simulation.screen_simulation import (
    SimulatedScreen,
    SimulationSettings,
    simulate_screen,
)

GENES = 48
# Two epochs teach a network nothing; what such a model predicts does not matter to most tests.
UNSKILLED = {"promote_without_skill": True}
NARROW = {"d_model": 16, "heads": 2, "layers": 1, "feed_forward": 32, "use_zscore": True, "epochs": 2}


def configuration_in(folder: Path) -> Configuration:
    """Return an installation below `folder`."""
    return Configuration(folder, folder / "data", str(folder / "storage"), folder / "storage")


def simulate_into(data: Path, n_batches: int = 2, counts: bool = False, **settings: Any) -> SimulatedScreen:
    """Write a screen of one 96-well plate a batch into a landing zone, as VST or as counts."""
    screen = simulate_screen(SimulationSettings(n_genes=GENES, n_batches=n_batches, n_plates=1, **settings))
    write_screen(screen, data, counts=counts, replace=True)
    return screen


def rename_metabolite(data: Path, old: str, new: str) -> None:
    """Give a metabolite another name on the plate map of every landed batch."""
    for plate_map in data.glob("*/plate_map.csv"):
        wells = pd.read_csv(plate_map, keep_default_na=False)
        wells["metabolite"] = wells["metabolite"].replace(old, new)
        wells.to_csv(plate_map, index=False)


def train(platform: Platform, **settings: Any) -> str:
    """Train the narrow network and return the current model's version."""
    platform.run("train", config={"ops": {"train_model": {"config": {**NARROW, **UNSKILLED, **settings}}}})
    version = platform.storage.models().current()
    assert version is not None
    return version


def run_every_stage(platform: Platform) -> None:
    """Take every landed batch through ingest, training, scoring and the screen's sums, by a narrow network."""
    batches = platform.register_landed_batches()
    for batch in batches:
        platform.run("ingest", batch)
    train(platform)
    for batch in batches:
        platform.run("score", batch)
    platform.run("screen")
