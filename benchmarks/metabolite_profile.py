"""Seconds and memory of what is said of each metabolite.

`python -m benchmarks.metabolite_profile [signatures CONDITIONS GENES | report CONDITIONS]`: signatures of so many
conditions of two wells each, on plates of 384 wells with 20 DMSO wells, in one process whose peak is printed; or the
report's page of so many conditions, opened in headless Chromium. Without arguments 364 × 2 541, 10 000 × 10 000, and
a report of 10 000.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd

from tcell_assets.lake.store import Lineage
from tcell_assets.lake.tables import TABLES
from tcell_assets.science.screen.signatures import Signatures, fit_signatures
from tcell_assets_tests.peak_memory import peak_kib

WELLS_A_PLATE, DMSO_A_PLATE = 384, 20


class HeldMemory:
    """The most memory that this process has held as its own, files mapped from disk apart, looked at 20 times a second.

    Pages of a mapped file count as resident too, and go as soon as another program needs the room.
    """

    def __init__(self) -> None:
        self.peak_gib, self._ended = 0.0, threading.Event()

    def __enter__(self) -> HeldMemory:
        threading.Thread(target=self._look, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()

    def _look(self) -> None:
        while not self._ended.wait(0.05):
            status = Path("/proc/self/status").read_text()
            own = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
            self.peak_gib = max(self.peak_gib, own / 2**20)


def wells_of(n_conditions: int) -> pd.DataFrame:
    """Two wells a condition, one in each of two batches, on as many plates as they fill."""
    treated = WELLS_A_PLATE - DMSO_A_PLATE
    rows = []
    for batch in ("b1", "b2"):
        for number in range(n_conditions):
            plate, place = divmod(number, treated)
            rows.append((batch, f"P{plate}", f"{batch}_P{plate}_{place}", f"M{number}", False))
        for plate in range(-(-n_conditions // treated)):
            rows += [
                (batch, f"P{plate}", f"{batch}_P{plate}_D{d}", "DMSO", True) for d in range(DMSO_A_PLATE)
            ]
    return pd.DataFrame(rows, columns=["batch", "plate", "well_id", "metabolite", "is_dmso"])


def measure_signatures(n_conditions: int, n_genes: int) -> None:
    """Fit once and print the CPU seconds and the peak."""
    wells = wells_of(n_conditions)
    values = np.random.default_rng(1).standard_normal((len(wells), n_genes), dtype=np.float32)
    expression = pd.DataFrame(values, index=pd.Index(wells["well_id"], name="well_id"))
    expression.columns = [f"G{number}" for number in range(n_genes)]
    started, held = time.process_time(), peak_kib()
    signatures = fit_signatures(expression, wells)
    seconds = time.process_time() - started
    assert signatures.moderated_t.shape == (n_conditions, n_genes)
    print(
        f"signatures {n_conditions} × {n_genes}, {len(wells)} wells: {seconds:.1f} s of CPU, peak "
        f"{peak_kib() / 2**20:.2f} GiB (expression and wells alone {held / 2**20:.2f})",
        flush=True,
    )
    measure_table(signatures)


def measure_table(signatures: Signatures) -> None:
    """Write the long table as the asset does, hash it, read the genes of 100 conditions; print seconds and the peak."""
    from upath import UPath

    from tcell_assets.lake.spilled import spilled
    from tcell_assets.lake.store import Lake, content_hash

    with tempfile.TemporaryDirectory() as folder, HeldMemory() as held:
        lake, schema = Lake(UPath(folder) / "lake"), TABLES["signatures"]
        started = time.monotonic()
        table = spilled((schema.to_arrow(piece) for piece in signatures.tables()), Path(folder))
        hashed = content_hash(table)
        path = lake.write(table, _lineage("signatures", None))
        written = time.monotonic() - started
        started = time.monotonic()
        names = signatures.conditions["condition"].to_list()[:100]
        rows = lake.read_rows("signatures", "condition", names)
        assert len(rows) == len(names) * len(signatures.genes)
        print(
            f"  its table of {table.num_rows / 1e6:.1f} million rows: written and hashed ({hashed[:8]}) in "
            f"{written:.0f} s, {path.stat().st_size / 2**30:.2f} GiB on disk, the genes of 100 conditions read in "
            f"{time.monotonic() - started:.1f} s, peak {held.peak_gib:.2f} GiB"
        )


def measure_report(n_conditions: int) -> None:
    """Write a report of so many conditions, open it, search and open a card; print the size and the seconds."""
    from playwright.sync_api import sync_playwright
    from upath import UPath

    from tcell_assets.exports.report import screen_report
    from tcell_assets.lake.models import ModelRegistry
    from tcell_assets.lake.store import Lake
    from tcell_assets_tests.browser.conftest import CHROMIUM, FLAGS

    generator = np.random.default_rng(2)
    names = [f"Metabolite {number}" for number in range(n_conditions)]
    classes = generator.choice(["inactive", "activator", "suppressor"], n_conditions, p=[0.9, 0.05, 0.05])
    q = np.where(classes == "inactive", generator.uniform(0.1, 1, n_conditions), 1e-3)
    calls = pd.DataFrame(
        {
            "feature_space": "combined",
            "rank": np.arange(1, n_conditions + 1),
            "metabolite": names,
            "hit_class": classes,
            "reason": "2 replicates, at different rows and columns",
            "n_replicates": 2,
            "strength": generator.gamma(2, 2, n_conditions),
            "q_replicate": q,
            "direction": generator.normal(0, 1, n_conditions),
        }
    )
    schema = TABLES["hit_calls"]
    for column in schema.columns:
        if column.name not in calls and not column.nullable:
            empty = "" if column.type == "string" else False if column.type == "bool" else 0
            calls = calls.assign(**{column.name: empty})
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(UPath(folder) / "lake")
        wells = TABLES["well_metadata"].with_absent_columns(_landed(wells_of(n_conditions)))
        for batch, of_batch in wells.groupby("batch"):
            lake.write(of_batch, _lineage("well_metadata", str(batch)))
        calls = schema.with_absent_columns(calls)
        lake.write(calls, _lineage("hit_calls", None))
        file = Path(folder, "screen.html")
        file.write_bytes(screen_report(lake, ModelRegistry(UPath(folder) / "models")))
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            page = chromium.new_page()
            started = time.monotonic()
            page.goto(file.as_uri())
            opened = time.monotonic() - started
            started = time.monotonic()
            page.get_by_label("Search").fill(names[-1])
            page.wait_for_function("document.querySelectorAll('#hits tbody tr:not([hidden])').length === 1")
            searched = time.monotonic() - started
            started = time.monotonic()
            page.locator("#hits tbody tr:visible").click()
            page.locator("dialog[open]").wait_for()
            shown = time.monotonic() - started
            chromium.close()
        print(
            f"report of {n_conditions} conditions: {file.stat().st_size / 1e6:.1f} MB, opened in {opened:.1f} s, "
            f"searched in {searched:.1f} s, a card in {shown:.1f} s"
        )


def _lineage(asset: str, batch: str | None) -> Lineage:
    return Lineage(
        asset,
        batch,
        run_id="benchmark",
        code_version=TABLES[asset].code_version,
        data_version="benchmark",
    )


def _landed(wells: pd.DataFrame) -> pd.DataFrame:
    place = wells.groupby(["batch", "plate"]).cumcount()
    row, column = place // 24, place % 24 + 1
    letters = row.map(lambda number: "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[number % 26])
    return wells.assign(
        row=letters,
        column=column,
        well=letters + column.astype(str),
        is_edge=False,
        condition=wells["metabolite"],
        compound=wells["metabolite"],
        well_type=np.where(wells["is_dmso"], "vehicle_control", "sample"),
    )


def main(arguments: list[str]) -> None:
    """Measure what the arguments name, or everything, each in a process of its own."""
    match arguments:
        case ["signatures", conditions, genes]:
            measure_signatures(int(conditions), int(genes))
        case ["report", conditions]:
            measure_report(int(conditions))
        case _:
            for one in (["signatures", "364", "2541"], ["signatures", "10000", "10000"], ["report", "10000"]):
                subprocess.run([sys.executable, "-m", "benchmarks.metabolite_profile", *one], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
