"""The run history stays small: what no table, no recent run and no count of attempts needs is taken out of it.

Dagster keeps every event of every run for ever, about 0.4 MiB a batch and run. Runs that ended long ago and that
nothing names any more are taken out whole; of those that something still names, the events of their single steps.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from tcell_assets.defs.partitions import PARTITION_TAG
from tcell_assets.defs.runs import FINISHED, NOT_FINISHED
from tcell_assets.installation.configuration import OperationSettings
from tcell_assets.installation.dagster_internals import (
    backfill_is_under_way,
    compact_databases,
    drop_step_events,
    remove_run,
    runs_of_last_materializations,
)
from tcell_assets.lake.archive import forgotten_batches
from tcell_assets.lake.store import Lake
from tcell_assets.lake.tables import TABLES
from tcell_assets.system.files import StorageError

# Marks a run whose step events were taken out, so that it is not looked at every day anew.
THINNED_TAG = "tcell/history"
_PAGE = 500


@dataclass(frozen=True)
class Plan:
    """What of the history can go.

    Attributes:
        removed: Runs that nothing names.
        thinned: Runs of which only the events of assets and of the run itself are needed.
        n_runs: All runs.
        waits: Why nothing is taken out now, empty where nothing keeps it.
    """

    removed: tuple[str, ...] = ()
    thinned: tuple[str, ...] = ()
    n_runs: int = 0
    waits: str = ""

    def sentence(self) -> str:
        """Say it in words."""
        if self.waits:
            return self.waits
        return f"of {self.n_runs} runs {len(self.removed)} can go, and the steps of {len(self.thinned)}"


@dataclass(frozen=True)
class Swept:
    """What was taken out.

    Attributes:
        removed: Runs.
        thinned: Runs of which the steps' events are gone.
        bytes_freed: On disk; 0 where the history lies in a database server.
        is_complete: Whether nothing is left to take out; not so where time ran out or a run began.
    """

    removed: int
    thinned: int
    bytes_freed: int
    is_complete: bool

    def sentence(self) -> str:
        """Say it in words."""
        freed = f"{self.bytes_freed / 2**20:.1f} MiB freed"
        rest = "" if self.is_complete else "; the rest follows"
        return f"{self.removed} runs taken out, the steps of {self.thinned}, {freed}{rest}"


def plan_sweep(instance: dg.DagsterInstance, lake: Lake, settings: OperationSettings, now: float) -> Plan:
    """Choose what can go: finished runs older than `retention_days` that nothing needs.

    Needed is a run that a table of the lake names as its maker, one of a forgotten batch, one of the last
    `retention_materializations` of an asset and batch, and one of the last so many of a job and batch: nights count the
    attempts at a batch by them, and a request of a sensor is not repeated as long as its run is known.

    Args:
        instance: Holds the history.
        lake: The tables.
        settings: How much is kept.
        now: Unix time.
    """
    if is_busy(instance):
        return Plan(waits="a run or a backfill is under way")
    needed = runs_of_last_materializations(instance, settings.retention_materializations) | _runs_of_tables(
        lake
    )
    forgotten = forgotten_batches(lake)
    removed, thinned = [], []
    of_job_and_batch: Counter[tuple[str, str]] = Counter()
    n_runs = 0
    for record in _newest_first(instance):
        run = record.dagster_run
        batch = run.tags.get(PARTITION_TAG, "")
        place = (run.job_name, batch)
        of_job_and_batch[place] += 1
        n_runs += 1
        ended = record.end_time or record.update_timestamp.timestamp()
        if run.status not in FINISHED or now - ended < settings.retention_days * 86_400:
            continue
        is_needed = run.run_id in needed or batch in forgotten
        if not is_needed and of_job_and_batch[place] > settings.retention_materializations:
            removed.append(run.run_id)
        elif run.status is dg.DagsterRunStatus.SUCCESS and THINNED_TAG not in run.tags:
            thinned.append(run.run_id)
    return Plan(tuple(removed), tuple(thinned), n_runs)


def sweep(instance: dg.DagsterInstance, plan: Plan, seconds: float = float("inf")) -> Swept:
    """Take out what a plan names, for so long at most; it stops as soon as a run is queued."""
    before, deadline = _size(instance), time.monotonic() + seconds
    removed = thinned = 0
    is_complete = True
    for run_id in (*plan.removed, *plan.thinned):
        if time.monotonic() > deadline or is_busy(instance):
            is_complete = False
            break
        if removed < len(plan.removed):
            remove_run(instance, run_id)
            removed += 1
        else:
            drop_step_events(instance, run_id)
            instance.add_run_tags(run_id, {THINNED_TAG: "steps taken out"})
            thinned += 1
    if removed or thinned:
        compact_databases(instance)
    return Swept(removed, thinned, max(before - _size(instance), 0), is_complete)


def is_busy(instance: dg.DagsterInstance) -> bool:
    """Return whether a run is queued or under way, or a backfill asks for more."""
    under_way = instance.get_runs_count(dg.RunsFilter(statuses=NOT_FINISHED))
    return bool(under_way) or backfill_is_under_way(instance)


def _newest_first(instance: dg.DagsterInstance) -> Iterator[dg.RunRecord]:
    cursor: str | None = None
    while page := instance.get_run_records(limit=_PAGE, cursor=cursor):
        yield from page
        cursor = page[-1].dagster_run.run_id


def _runs_of_tables(lake: Lake) -> set[str]:
    """The runs that the footers of the lake name; a damaged footer names none."""
    runs = set()
    for asset, table in TABLES.items():
        for batch in lake.batches(asset) if table.partitioned else [None]:
            if batch is not None or lake.exists(asset):
                try:
                    runs.add(lake.lineage(asset, batch).run_id)
                except StorageError:
                    continue
    return runs


def _size(instance: dg.DagsterInstance) -> int:
    """Bytes of the history's files."""
    folder = Path(instance.root_directory)
    return sum(
        file.stat().st_size
        for part in ("history", "storage")
        for file in (folder / part).rglob("*")
        if file.is_file()
    )
