"""A small installation for tests: simulated batches of one or two plates, a tiny network, an instance in memory."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd

from tcell_assets.commands.platform import Platform
from tcell_assets.definitions import build_defs
from tcell_assets.defs.resources import TransformerCompute
from tcell_assets.installation.configuration import Configuration, OperationSettings
from tcell_assets.lake.stages import INGEST, SCORE
from tcell_assets.lake.tables import tables_made_by
from tcell_assets.landing.writing import write_landing_batch
from tcell_assets.science.simulation.screen_simulation import (
    SimulatedScreen,
    SimulationSettings,
    simulate_screen,
)

# One training of it takes a second; what it predicts does not matter here.
TINY_NETWORK: dict[str, Any] = {
    "epochs": 1,
    "d_model": 8,
    "heads": 2,
    "layers": 1,
    "feed_forward": 16,
}
PLATES = ("A1", "A2")
PREPARED = ("tc1", "tc2")
# Every table a night keeps current; figures and reports take longer than all the rest, and nothing here looks at them.
CORE_INGEST = list(tables_made_by(INGEST))
CORE = [*CORE_INGEST, *tables_made_by(SCORE)]


def training(**values: Any) -> dict[str, Any]:
    """Return the run configuration of a tiny training."""
    # It has learnt nothing, and becomes current only because it is asked for.
    return {"ops": {"train_model": {"config": {**TINY_NETWORK, "promote_without_skill": True, **values}}}}


@cache
def _screen(n_batches: int) -> SimulatedScreen:
    return simulate_screen(SimulationSettings(n_genes=64, n_batches=n_batches, n_plates=2))


def land(
    data: Path,
    batch: str,
    plates: tuple[str, ...] = PLATES[:1],
    n_batches: int = 4,
    change: Callable[[pd.DataFrame], pd.DataFrame] = lambda expression: expression,
) -> Path:
    """Write plates of a simulated batch `tc<number>` into folders of their own; plates that lie there stay."""
    screen = _screen(n_batches)
    wells = screen.wells[screen.wells["batch"] == batch]
    for plate in plates:
        rows = wells[wells["plate"] == plate]
        staged = write_landing_batch(data / ".staged" / plate, rows, change(screen.vst.loc[rows["well_id"]]))
        (data / batch).mkdir(parents=True, exist_ok=True)
        shutil.rmtree(data / batch / plate, ignore_errors=True)
        staged.rename(data / batch / plate)
    return data / batch


def spoil(folder: Path) -> None:
    """Take a batch's plate map away and put one there that no reader accepts."""
    (folder / "A1" / "plate_map.csv").write_text("plate,well,metabolite\nA1,Z99,DMSO\n")


def settle(folder: Path, seconds: float = 3600.0) -> float:
    """Return a time at which a folder that was just written counts as settled."""
    return time.time() + seconds


def make_configuration(root: Path, **operations: Any) -> Configuration:
    """Return an installation below `root` that settles at once unless told otherwise."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    settings = OperationSettings(**{"settle_seconds": 0.0, **operations})
    return Configuration(root, root / "data", str(root / "storage"), root / "storage", settings)


@cache
def _prepared(scored: bool) -> Path:
    """Return an installation with tc1 and tc2 ingested and, where wanted, trained on and scored; made once."""
    root = Path(tempfile.mkdtemp(prefix="prepared-installation-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    with small_platform(root) as platform:
        for batch in PREPARED:
            land(platform.configuration.data, batch)
        ingest(platform, *PREPARED)
        if scored:
            train(platform)
            for batch in PREPARED:
                score(platform, batch)
    return root


@contextmanager
def prepared_platform(root: Path, scored: bool = True, **operations: Any) -> Iterator[Platform]:
    """Yield a small installation that holds tc1 and tc2, ingested and by default scored with a first model."""
    shutil.copytree(_prepared(scored), root, dirs_exist_ok=True)
    with small_platform(root, **operations) as platform:
        platform.register_landed_batches()
        yield platform


@contextmanager
def small_platform(root: Path, **operations: Any) -> Iterator[Platform]:
    """Yield an installation below `root` with an instance in memory and one CPU thread."""
    configuration = make_configuration(root, **operations)
    os.environ.pop("DAGSTER_HOME", None)
    with dg.DagsterInstance.ephemeral(tempdir=str(root)) as instance:
        definitions = build_defs(configuration, {"compute": TransformerCompute(device="cpu", threads=1)})
        yield Platform(configuration, instance, definitions)


def ingest(platform: Platform, *batches: str) -> None:
    """Ingest landed batches."""
    platform.register_landed_batches()
    for batch in batches:
        platform.run("ingest", batch, selection=CORE_INGEST)


def score(platform: Platform, batch: str, **config: Any) -> None:
    """Score an ingested batch; `config` is that of the network's step."""
    platform.run("score", batch, {"ops": {"score_wells": {"config": config}}}, list(tables_made_by(SCORE)))


def train(platform: Platform, **values: Any) -> str:
    """Train a tiny model and return which one is current then."""
    platform.run("train", config=training(**values))
    return str(platform.storage.models().current())
