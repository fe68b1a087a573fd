"""What running it costs: a look at 500 quiet batches, a backfill in the shell and in the UI, one dropped batch.

`python -m benchmarks.operations [tick] [shell] [executors] [daemon]` prints a Markdown table a part; all by default.
Steps are what Dagster timed inside the assets (reading, network, statistics, writing); the rest of the wall time is
what a run costs beyond them. Times are wall times of this machine as it is: the load is printed beside them.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import dagster as dg
from click.testing import CliRunner
from upath import UPath

from tcell_assets.commands.backfill import backfill_command
from tcell_assets.commands.platform import Platform, open_platform
from tcell_assets.definitions import build_defs
from tcell_assets.defs.jobs import score_job
from tcell_assets.installation.configuration import OperationSettings, load_configuration
from tcell_assets.installation.operations import Known, find_arrivals
from tcell_assets.lake.store import Lake
from tcell_assets.landing.arrivals import scan_folder
from tcell_assets_tests.operations.daemon import Daemon, real_daemon
from tcell_assets_tests.operations.small_installation import CORE, ingest, land, train

BATCHES = 20
QUIET_BATCHES = 500


def main(parts: Sequence[str]) -> None:
    """Run the named parts and print a table each."""
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, measure in PARTS.items():
        if not parts or name in parts:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                rows = measure(Path(folder))
            print(f"\n{name}\n\n| what | value |\n| --- | --- |")
            print("\n".join(f"| {what} | {value} |" for what, value in rows.items()))


def measure_tick(root: Path) -> dict[str, str]:
    """Time a look at many batches of which none has changed, and the scan of their folders inside it."""
    folder = land(root / "data", "tc1", ("A1", "A2"))
    for number in range(2, QUIET_BATCHES + 1):
        shutil.copytree(folder, root / "data" / f"tc{number}", copy_function=os.link)
    names = [f"tc{number}" for number in range(1, QUIET_BATCHES + 1)]
    wall, cpu = time.perf_counter(), time.process_time()
    known = {name: Known(scan_folder(root / "data" / name).stamp, "x", 1) for name in names}
    scan = f"{time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s CPU)"
    wall, cpu = time.perf_counter(), time.process_time()
    found = find_arrivals(
        root / "data", Lake(UPath(root / "lake")), known, OperationSettings(settle_seconds=0), time.time()
    )
    look = f"{time.perf_counter() - wall:.2f} s ({time.process_time() - cpu:.2f} s CPU)"
    assert not found.arrivals
    return {f"scan of {QUIET_BATCHES} folders of 6 files": scan, "the whole look": look}


def measure_shell(root: Path) -> dict[str, str]:
    """Time `tcell backfill` of 20 batches in this process."""
    _use(root)
    with open_platform() as platform:
        _prepare(platform)
    wall, cpu = time.perf_counter(), time.process_time()
    result = CliRunner().invoke(backfill_command, ["--assets", ",".join(CORE)])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert result.exit_code == 0, result.output
    with open_platform() as platform:
        steps = _step_seconds(platform.instance)
    return _costs("tcell backfill", wall, steps) | {"CPU a batch": f"{cpu / BATCHES:.2f} s"}


def measure_executors(root: Path) -> dict[str, str]:
    """Time the run of the score job on one batch: in process, and on a forkserver that preloads torch."""
    _use(root)
    with open_platform() as platform:
        land(platform.configuration.data, "tc1")
        platform.register_landed_batches()
        platform.run("ingest", "tc1")
        train(platform)
        platform.run("score", "tc1")
        instance, rows = platform.instance, dict[str, str]()
        for name, job in {"in process": in_process_score, "forkserver": forkserver_score}.items():
            started = time.perf_counter()
            run = dg.execute_job(dg.reconstructable(job), instance, tags={"dagster/partition": "tc1"})
            assert run.success
            rows[f"score, {name}"] = f"{time.perf_counter() - started:.1f} s"
    return rows


def in_process_score() -> dg.JobDefinition:
    """The score job as it is."""
    return build_defs().resolve_job_def("score")


def forkserver_score() -> dg.JobDefinition:
    """The score job with a process a step, forked from one that has loaded what the steps need."""
    preload = {"preload_modules": ["tcell_assets.definitions", "pandas", "pyarrow.parquet", "torch"]}
    executor = dg.multiprocess_executor.configured({"start_method": {"forkserver": preload}})
    defs = build_defs()
    job = dg.define_asset_job("score", selection=score_job.selection, executor_def=executor)
    return dg.Definitions(assets=defs.assets, jobs=[job], resources=defs.resources).resolve_job_def("score")


def measure_daemon(root: Path) -> dict[str, str]:
    """Time a dropped batch from its last file to its last table, then a UI backfill of 20 batches."""
    with real_daemon(root, TCELL_NEW_PLATES="on", TCELL_SETTLE_SECONDS="0") as daemon:
        land(daemon.data, "tc1")
        ingest(daemon.platform, "tc1")
        train(daemon.platform)
        daemon.start()
        _first_batch_warms_up(daemon)
        land(daemon.data, "tc3", n_batches=BATCHES)
        started = time.perf_counter()
        daemon.wait_until(lambda: daemon.succeeded("tc3"), "a dropped batch is scored")
        rows = {"one dropped batch, sensor looking every 2 s": f"{time.perf_counter() - started:.1f} s"}
        print(rows, f"load average {os.getloadavg()[0]:.1f}", flush=True)
        daemon.stop()
        daemon.environment["TCELL_NEW_PLATES"] = "off"
        batches = _prepare(daemon.platform, trained=True)
        before = {run.run_id for run in daemon.runs()}
        daemon.add_backfill("measured", batches)
        daemon.start()
        started = time.perf_counter()
        daemon.wait_until(
            lambda: daemon.backfill_status("measured") == "COMPLETED_SUCCESS",
            "the backfill is done",
            seconds=1800,
        )
        wall = time.perf_counter() - started
        steps = _step_seconds(daemon.platform.instance, {run.run_id for run in daemon.runs()} - before)
        return rows | _costs("UI backfill, the daemon's start included", wall, steps)


def _first_batch_warms_up(daemon: Daemon) -> None:
    land(daemon.data, "tc2", n_batches=BATCHES)
    daemon.wait_until(lambda: daemon.succeeded("tc2"), "the first batch is scored")


def _use(root: Path) -> None:
    """Make `root` the installation that `open_platform` opens."""
    os.environ["TCELL_HOME"] = str(root)
    os.environ.pop("DAGSTER_HOME", None)
    load_configuration().data.mkdir(parents=True)


def _prepare(platform: Platform, trained: bool = False) -> list[str]:
    """Land 20 batches, the first of them ingested and trained on, and return their names."""
    batches = [f"tc{number}" for number in range(1, BATCHES + 1)]
    for batch in batches:
        land(platform.configuration.data, batch, n_batches=BATCHES)
    if not trained:
        ingest(platform, batches[0])
        train(platform)
    platform.register_landed_batches()
    return batches


def _step_seconds(instance: dg.DagsterInstance, run_ids: set[str] | None = None) -> float:
    """Return the seconds spent inside steps of batch runs (of these runs, where they are given)."""
    runs = [
        run
        for run in instance.get_runs()
        if "dagster/partition" in run.tags and (run_ids is None or run.run_id in run_ids)
    ]
    return sum(
        step.end_time - step.start_time
        for run in runs
        for step in instance.get_run_step_stats(run.run_id)
        if step.end_time and step.start_time
    )


def _costs(what: str, wall: float, steps: float) -> dict[str, str]:
    outside = max(wall - steps, 0.0)
    return {
        f"{what}, {BATCHES} batches of 96 wells × 64 genes": f"{wall:.0f} s, {wall / BATCHES:.2f} s a batch",
        "inside the steps": f"{steps / BATCHES:.2f} s a batch",
        "outside the steps": f"{outside / BATCHES:.2f} s a batch, {outside / wall:.0%}",
    }


PARTS: Mapping[str, Callable[[Path], dict[str, str]]] = {
    "tick": measure_tick,
    "shell": measure_shell,
    "executors": measure_executors,
    "daemon": measure_daemon,
}

if __name__ == "__main__":
    main(sys.argv[1:])
