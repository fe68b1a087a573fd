"""The run history: what no table, no recent run and no count of attempts needs is taken out, and nothing else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from tcell_assets.commands.platform import Platform
from tcell_assets.defs.run_history import Plan, plan_sweep, sweep
from tcell_assets.defs.sensors import build_sensors
from tcell_assets.installation.configuration import OperationSettings
from tcell_assets_tests.operations.small_installation import prepared_platform, small_platform, spoil

WELLS = dg.AssetKey("well_metadata")
KEEPS_TWO = OperationSettings(retention_materializations=2, retention_days=0.0)


@pytest.fixture(scope="module")
def read_five_times(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two ingested batches with a history in SQLite, as an installation has it: tc1 was read five times."""
    root = tmp_path_factory.mktemp("read_five_times")
    (root / "home").mkdir()
    with prepared_platform(root, scored=False), _opened(root) as platform:
        platform.register_landed_batches()
        for _ in range(5):
            platform.run("ingest", "tc1", selection=["well_metadata", "expression_matrix"])
    return root


@contextmanager
def _opened(root: Path) -> Iterator[Platform]:
    with small_platform(root) as in_memory, dg.DagsterInstance.local_temp(str(root / "home")) as instance:
        yield Platform(in_memory.configuration, instance, in_memory.definitions)


@pytest.fixture
def platform(read_five_times: Path, tmp_path: Path) -> Iterator[Platform]:
    shutil.copytree(read_five_times, tmp_path, dirs_exist_ok=True)
    with _opened(tmp_path) as platform:
        yield platform


def _runs(platform: Platform) -> list[str]:
    """The runs, newest first."""
    return [run.run_id for run in platform.instance.get_runs()]


def _plan(platform: Platform, settings: OperationSettings = KEEPS_TWO, days_later: float = 1.0) -> Plan:
    now = time.time() + days_later * 86_400
    return plan_sweep(platform.instance, platform.storage.lake(), settings, now)


def _materializations(platform: Platform) -> list[dg.AssetMaterialization | None]:
    records = platform.instance.fetch_materializations(WELLS, limit=100).records
    return [record.asset_materialization for record in records]


def test_the_last_runs_of_a_batch_stay_and_older_ones_go_with_all_their_files(platform: Platform) -> None:
    runs = _runs(platform)
    swept = sweep(platform.instance, _plan(platform))
    assert (swept.removed, swept.is_complete) == (3, True)
    assert _runs(platform) == runs[:2]
    assert len(_materializations(platform)) == 2
    home = Path(platform.instance.root_directory)
    left = {run for run in runs for path in home.rglob(f"*{run}*")}
    assert left == set(runs[:2])
    assert swept.bytes_freed > 0


def test_a_run_that_a_table_names_as_its_maker_stays(platform: Platform) -> None:
    lake, oldest = platform.storage.lake(), _runs(platform)[-1]
    lake.write(lake.read_arrow("well_qc", "tc2"), replace(lake.lineage("well_qc", "tc2"), run_id=oldest))
    sweep(platform.instance, _plan(platform))
    assert oldest in _runs(platform)


def test_of_runs_that_stay_the_materializations_and_the_result_stay_and_the_steps_go(
    platform: Platform,
) -> None:
    newest = _runs(platform)[0]
    before = _materializations(platform)[:2]
    swept = sweep(platform.instance, _plan(platform))
    assert swept.thinned == 2
    assert _materializations(platform) == before
    kinds = {
        entry.dagster_event.event_type_value if entry.dagster_event else "log"
        for entry in platform.instance.all_logs(newest)
    }
    assert {"ASSET_MATERIALIZATION", "PIPELINE_START", "PIPELINE_SUCCESS"} <= kinds
    assert all(kind.startswith(("ASSET_", "PIPELINE_")) for kind in kinds)
    assert _plan(platform) == Plan(n_runs=2), "swept once, nothing is left to do"


def test_young_runs_stay_as_they_are(platform: Platform) -> None:
    settings = replace(KEEPS_TWO, retention_days=14.0)
    assert _plan(platform, settings, days_later=13.0) == Plan(n_runs=5)
    assert len(_plan(platform, settings, days_later=15.0).removed) == 3


def test_failed_attempts_that_a_night_counts_stay(platform: Platform) -> None:
    spoil(platform.configuration.data / "tc1")
    job = platform.definitions.resolve_job_def("ingest")
    failed = [
        job.execute_in_process(instance=platform.instance, partition_key="tc1", raise_on_error=False).run_id
        for _ in range(3)
    ]
    sweep(platform.instance, _plan(platform))
    assert set(failed[1:]) < set(_runs(platform))
    assert failed[0] not in _runs(platform)


def test_nothing_is_taken_out_during_a_run_or_once_one_begins(platform: Platform) -> None:
    plan = _plan(platform)
    job = platform.definitions.resolve_job_def("ingest")
    begun = platform.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert _plan(platform).waits == "a run or a backfill is under way"
    swept = sweep(platform.instance, plan)
    assert (swept.removed, swept.is_complete) == (0, False)
    platform.instance.delete_run(begun.run_id)
    assert sweep(platform.instance, plan).is_complete


def test_the_daemon_sweeps_once_a_day_and_says_what_it_took_out(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sensor,) = [sensor for sensor in build_sensors(KEEPS_TWO) if sensor.name == "run_history"]

    def look(cursor: str | None) -> tuple[str, str | None]:
        with dg.build_sensor_context(
            instance=platform.instance, cursor=cursor, resources={"storage": platform.storage}
        ) as context:
            tick = sensor.evaluate_tick(context)
        return str(tick.skip_message), tick.cursor

    said, cursor = look(None)
    assert said.startswith("3 runs taken out, the steps of 2, ")
    assert look(cursor)[0] == "was swept within the last 24 hours"
    later = time.time() + 86_401
    monkeypatch.setattr(time, "time", lambda: later)
    assert look(cursor)[0].startswith("0 runs taken out")
