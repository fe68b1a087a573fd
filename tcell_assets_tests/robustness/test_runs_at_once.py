"""Four runs at once over SQLite: no locked database, and no batch with one run's wells and another's values."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcell_assets.commands.platform import open_platform
from tcell_assets_tests.small_screen import configuration_in, simulate_into

INGEST = """
import sys
from dataclasses import replace
from pathlib import Path
from tcell_assets.commands.platform import open_platform
from tcell_assets_tests.small_screen import configuration_in
configuration = replace(configuration_in(Path(sys.argv[1])), data=Path(sys.argv[2]))
with open_platform(configuration) as platform:
    platform.run("ingest", sys.argv[3], selection=["well_metadata", "expression_matrix"])
"""


def _ingest_at_once(home: Path, work: list[tuple[Path, str]]) -> list[str]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", INGEST, str(home), str(data), batch],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for data, batch in work
    ]
    said = [process.communicate()[1] for process in processes]
    return [f"exit {p.returncode}: {text}" for p, text in zip(processes, said, strict=True) if p.returncode]


@pytest.mark.slow
def test_four_runs_at_once_on_one_batch_leave_one_of_them_whole(memory_folder: Path) -> None:
    first, second = memory_folder / "first", memory_folder / "second"
    contents = {
        seed: simulate_into(folder, n_batches=1, seed=seed) for seed, folder in ((1, first), (2, second))
    }
    with open_platform(configuration_in(memory_folder)) as platform:
        platform.register_landed_batches()
        platform.instance.add_dynamic_partitions("screening_batches", ["tc1"])
    assert _ingest_at_once(memory_folder, [(first, "tc1"), (second, "tc1")] * 2) == []
    with open_platform(configuration_in(memory_folder)) as platform:
        lake = platform.storage.lake()
        for asset in ("well_metadata", "expression_matrix"):
            lake.verify(asset, "tc1")
        wells, expression = lake.read("well_metadata", "tc1"), lake.expression("tc1")
        matching = [
            seed
            for seed, screen in contents.items()
            if expression.equals(screen.vst.loc[expression.index, expression.columns].astype("float32"))
        ]
        assert len(matching) == 1
        truth = contents[matching[0]].wells.set_index("well_id").loc[wells["well_id"], "metabolite"]
        assert wells["metabolite"].tolist() == truth.tolist(), "wells of one run, values of another"


@pytest.mark.slow
def test_four_runs_at_once_on_different_batches_all_succeed(memory_folder: Path) -> None:
    data = memory_folder / "data"
    simulate_into(data, n_batches=4)
    batches = ["tc1", "tc2", "tc3", "tc4"]
    with open_platform(configuration_in(memory_folder)) as platform:
        platform.register_landed_batches()
    assert _ingest_at_once(memory_folder, [(data, batch) for batch in batches]) == []
    with open_platform(configuration_in(memory_folder)) as platform:
        lake = platform.storage.lake()
        assert lake.batches("expression_matrix") == batches
        for batch in batches:
            lake.verify("expression_matrix", batch)
            assert set(lake.read("well_metadata", batch)["batch"]) == {batch}
