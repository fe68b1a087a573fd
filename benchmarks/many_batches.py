"""What a large screen costs: counts to tables, a judged lake, a query, the screen's sums.

`python -m benchmarks.many_batches [counts] [judge] [query] [screen]` prints a Markdown table a part; all by default.
`counts` reads two simulated batches of four plates of 96 wells × 4 000 genes. The others take a lake of one real batch
that was written again under other names, with noise on its numbers; expression is 4 000 genes wide where it is judged
or queried. Times are CPU of all threads; the load of the machine is printed beside them.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from tcell_assets.commands.platform import Platform
from tcell_assets.commands.simulate import write_screen
from tcell_assets.installation.status import look
from tcell_assets.lake.judge import Judge
from tcell_assets.lake.stages import INGEST, SCORE, SCREEN
from tcell_assets.lake.store import Lake, content_hash
from tcell_assets.lake.tables import TABLES, tables_made_by
from tcell_assets.science.simulation.screen_simulation import SimulationSettings, simulate_screen
from tcell_assets_tests.operations.small_installation import (
    CORE_INGEST,
    prepared_platform,
    small_platform,
)

GENES = 4_000
BATCHES = 300
QUERY = "SELECT batch, count(*) AS wells, avg(total_umi) AS umi FROM well_qc GROUP BY batch"
WIDE = ("expression_matrix", "adjusted_expression")


def main(parts: Sequence[str]) -> None:
    """Run the named parts and print a table each."""
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, measure in PARTS.items():
        if not parts or name in parts:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                rows = measure(Path(folder))
            print(f"\n{name}\n\n| what | CPU |\n| --- | --- |")
            print("\n".join(f"| {what} | {value} |" for what, value in rows.items()), flush=True)


def measure_counts(root: Path) -> dict[str, str]:
    """Time the ingest of two batches of 4 × 96 wells × 4 000 genes of counts, audits and figures included."""
    screen = simulate_screen(SimulationSettings(n_genes=GENES, n_batches=2, n_plates=4))
    rows, total = dict[str, str](), 0.0
    with small_platform(root) as platform:
        write_screen(screen, platform.configuration.data, counts=True, replace=True)
        platform.register_landed_batches()
        for batch in ("tc1", "tc2"):
            started = time.process_time()
            platform.run("ingest", batch, selection=CORE_INGEST)
            seconds = time.process_time() - started
            total += seconds
            rows[f"{batch}: 4 plates of 96 wells × {GENES:,} genes"] = f"{seconds:.1f} s"
    return rows | {"both": f"{total:.1f} s"}


def measure_judge(root: Path) -> dict[str, str]:
    """Time a look at every routine table of a lake of many batches, and the whole of `tcell status`."""
    with prepared_platform(root) as platform:
        multiply(platform, BATCHES, GENES)
        lake, models = platform.storage.lake(), platform.storage.models()
        places = [(asset, f"nb{n}") for n in range(BATCHES) for asset in tables_made_by(INGEST, SCORE)]
        rows = {}
        started = time.process_time()
        judge = Judge(lake, models)
        judge.behind([*places, *judge.screen_places()])
        rows[f"{BATCHES} batches × {len(places) // BATCHES} tables judged"] = (
            f"{time.process_time() - started:.2f} s"
        )
        started = time.process_time()
        look(platform.configuration.data, lake, models, 0.0, time.time())
        rows["the whole look of `tcell status`"] = f"{time.process_time() - started:.2f} s"
    return rows


def measure_query(root: Path) -> dict[str, str]:
    """Time `tcell query` over lakes of 5 and 200 batches, its start and its word on what is behind included."""
    seconds = {}
    for n_batches in (5, 200):
        home = root / str(n_batches)
        with prepared_platform(home) as platform:
            multiply(platform, n_batches, GENES)
        command = [sys.executable, "-c", "from tcell_assets.cli import main; main()", "query", QUERY]
        tries = []
        for _ in range(3):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                command, env={**os.environ, "TCELL_HOME": str(home)}, check=True, capture_output=True
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            tries.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        seconds[n_batches] = min(tries)
    rows = {f"{n_batches} batches, best of 3": f"{spent:.2f} s" for n_batches, spent in seconds.items()}
    return rows | {"ratio": f"{seconds[200] / seconds[5]:.2f}"}


def measure_screen(root: Path) -> dict[str, str]:
    """Time the screen job over ever more batches of 96 wells × 64 genes."""
    rows = {}
    for n_batches in (25, 50, 100, 200):
        home = root / str(n_batches)
        with prepared_platform(home) as platform:
            multiply(platform, n_batches, None)
            started = time.process_time()
            platform.run("screen", selection=list(tables_made_by(SCREEN)))
            seconds = time.process_time() - started
        rows[f"{n_batches} batches"] = f"{seconds:.0f} s, {seconds / n_batches:.2f} s a batch"
        print(f"{n_batches} batches: {seconds:.0f} s", file=sys.stderr, flush=True)
    return rows


def multiply(platform: Platform, n_batches: int, genes: int | None) -> None:
    """Write the batch tc1 again under so many names, `nb0 …`, and take tc1 and tc2 away.

    Args:
        platform: Holds tc1 and tc2, scored.
        n_batches: How many.
        genes: Width of expression; None keeps the genes there are.
    """
    lake, generator = platform.storage.lake(), np.random.default_rng(0)
    assets = [asset for asset, table in TABLES.items() if table.partitioned and lake.exists(asset, "tc1")]
    originals = {asset: (lake.read(asset, "tc1"), lake.lineage(asset, "tc1")) for asset in assets}
    for number in range(n_batches):
        versions: dict[str, str] = {}
        for asset in assets:
            frame, lineage = originals[asset]
            table = TABLES[asset].to_arrow(_renamed(frame, f"nb{number}", asset, genes, generator))
            version = f"{asset}-{number}" if genes else content_hash(table)
            versions[asset] = version
            inputs = {
                name.replace("/tc1", f"/nb{number}"): known for name, known in (lineage.inputs or {}).items()
            }
            details = {**lineage.details, "arrival": number, "well_hashes": {}}
            lake.write(
                table,
                replace(lineage, batch=f"nb{number}", data_version=version, inputs=inputs, details=details),
            )
    for asset in assets:
        for batch in ("tc1", "tc2"):
            lake.path(asset, batch).unlink()
    _name_inputs(lake, assets, n_batches)
    platform.register_landed_batches()


def _renamed(
    frame: pd.DataFrame, batch: str, asset: str, genes: int | None, generator: np.random.Generator
) -> pd.DataFrame:
    renamed = frame.copy()
    if "well_id" in renamed:
        renamed["well_id"] = renamed["well_id"].str.replace("tc1_", f"{batch}_", regex=False)
    if "batch" in renamed:
        renamed["batch"] = batch
    if asset in WIDE and genes:
        values = generator.normal(size=(len(renamed), genes)).astype(np.float32)
        wide = pd.DataFrame(values, columns=[f"GENE{gene}" for gene in range(genes)])
        return pd.concat([renamed[["well_id"]], wide], axis=1)
    if asset in WIDE or asset in ("latent_embeddings", "adjusted_embeddings"):
        numbers = [name for name in renamed.columns if renamed[name].dtype == np.float32]
        noise = generator.normal(scale=0.1, size=(len(renamed), len(numbers))).astype(np.float32)
        renamed[numbers] = renamed[numbers] + noise
    return renamed


def _name_inputs(lake: Lake, assets: Sequence[str], n_batches: int) -> None:
    """Have every footer name the versions of its batch's tables, so that all of them are judged to the end."""
    import pyarrow.parquet as pq

    for number in range(n_batches):
        batch = f"nb{number}"
        now = {f"{asset}/{batch}": lake.lineage(asset, batch).data_version for asset in assets}
        for asset in assets:
            lineage = lake.lineage(asset, batch)
            inputs = {name: now.get(name, known) for name, known in (lineage.inputs or {}).items()}
            if inputs != lineage.inputs:
                table: pa.Table = pq.read_table(lake.path(asset, batch).path)
                lake.write(table, replace(lineage, inputs=inputs))


PARTS: Mapping[str, Callable[[Path], dict[str, str]]] = {
    "counts": measure_counts,
    "judge": measure_judge,
    "query": measure_query,
    "screen": measure_screen,
}

if __name__ == "__main__":
    main(sys.argv[1:])
