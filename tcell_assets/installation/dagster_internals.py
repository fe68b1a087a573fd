"""Everything of Dagster that is no public interface: what it is needed for, and what an upgrade may break.

One reason why Dagster's version is pinned. All else imports `dagster` itself alone, which a test holds. After an
upgrade the tests named below say what has moved; what `dagster` has come to offer by then, take from there.

- `LaunchRunContext`, `CheckRunHealthResult`, `WorkerStatus`: a launcher's methods take and return them. If they move,
  no run starts or no dead one is noticed (`installation/test_run_launcher.py`).
- `InstanceRef`, `execute_launched_run`: the public way to execute a launched run is a fresh interpreter. If they move,
  no run starts (`installation/test_run_launcher.py`).
- `WILL_RETRY_TAG`, `retry_will_follow`: who marks a run as failed must promise its retry as the daemon would. If they
  change, killed runs are not retried and backfills wait for ever (`installation/test_recovery.py`).
- `daemons_are_alive`: only GraphQL tells it publicly, and that needs a webserver. If it moves, the doctor's line on the
  daemon is wrong (`commands/test_doctor.py`).
- `workspace_of`: the web application is public by its command line alone, which has no place for a guard. If it moves,
  `tcell ui` does not start (`webserver/test_ui.py`).
- `PRELOADED_MODULE`: what a run's process would import first. If it is renamed, runs start slower
  (`installation/test_run_launcher.py`).
- `keeps_no_history`: nothing public says that Dagster works in a folder which it will delete. If the prefix changes,
  histories vanish unsaid (`test_dagster_commands.py`).
- `runs_of_last_materializations`, `drop_step_events`, `remove_run`, `compact_databases`: nothing public takes a part of
  a run's events out, counts materializations without reading them, or shrinks a database. If the tables move, the
  history grows or its sweep fails in words (`defs/test_run_history.py`).
- `backfill_is_under_way`: the states of backfills are private. If they move, the history's sweep fails in words
  (`defs/test_run_history.py`).
- `add_backfill`, `remote_job_origin`: tests and benchmarks ask for a backfill, and have a run of the daemon's, as the
  UI does; nothing else breaks.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.execution.retries import auto_reexecution_should_retry_run
from dagster._core.instance import InstanceRef
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.storage.tags import WILL_RETRY_TAG

if TYPE_CHECKING:
    from dagster._core.remote_origin import RemoteJobOrigin
    from dagster._core.storage.event_log import SqlEventLogStorage
    from dagster._core.workspace.context import WorkspaceProcessContext

__all__ = [
    "PRELOADED_MODULE",
    "WILL_RETRY_TAG",
    "CheckRunHealthResult",
    "InstanceRef",
    "LaunchRunContext",
    "WorkerStatus",
    "add_backfill",
    "backfill_is_under_way",
    "compact_databases",
    "daemons_are_alive",
    "drop_step_events",
    "execute_launched_run",
    "keeps_no_history",
    "remote_job_origin",
    "remove_run",
    "retry_will_follow",
    "runs_of_last_materializations",
    "workspace_of",
]

PRELOADED_MODULE = "dagster._cli.api"
# The folder that Dagster makes in the current one where DAGSTER_HOME is not set, and deletes when it ends. Code servers
# and run workers are told of it in their arguments.
_TEMPORARY_HOME = ".tmp_dagster_home_"
# Commands that execute a run in their own process, on such a folder where there is no other.
_COMMANDS_THAT_RUN = (["asset", "materialize"], ["job", "execute"], ["launch"])


def keeps_no_history(
    arguments: Sequence[str] = tuple(sys.argv), environment: Mapping[str, str] = os.environ
) -> bool:
    """Return whether this process executes or serves runs for one of Dagster's commands in a temporary folder."""
    if any(_TEMPORARY_HOME in argument for argument in arguments[1:]):
        return True
    # `python -m dagster` has the path of dagster/__main__.py as its first argument.
    program = {Path(arguments[0]).name, Path(arguments[0]).parent.name}
    runs = any(list(arguments[1 : 1 + len(command)]) == command for command in _COMMANDS_THAT_RUN)
    return runs and bool(program & {"dagster", "dg"}) and not environment.get("DAGSTER_HOME")


def execute_launched_run(run_id: str, instance: dg.DagsterInstance) -> None:
    """Execute a run that was launched, in this process, until it ends; SIGINT and SIGTERM cancel it."""
    from dagster._cli.api import _execute_run_command_body
    from dagster._utils.interrupts import capture_interrupts

    with capture_interrupts():
        _execute_run_command_body(run_id, instance, lambda event: None, set_exit_code_on_failure=False)


def retry_will_follow(instance: dg.DagsterInstance, failed: dg.DagsterRun) -> bool:
    """Return whether the daemon will launch a failed run again."""
    # The daemon can launch again only what it has launched, not a run of `tcell train`.
    return failed.remote_job_origin is not None and auto_reexecution_should_retry_run(
        instance, failed, run_failure_reason=None
    )


def daemons_are_alive(instance: dg.DagsterInstance) -> bool:
    """Return whether every daemon that the instance needs has told of itself lately."""
    from dagster._daemon.controller import all_daemons_live

    return all_daemons_live(instance)


@contextmanager
def workspace_of(
    instance: dg.DagsterInstance, file: Path, version: str, read_only: bool
) -> Iterator[WorkspaceProcessContext]:
    """Yield the code locations of a workspace file as Dagster's web application wants them."""
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    target = WorkspaceFileTarget([str(file)])
    with WorkspaceProcessContext(instance, target, version=version, read_only=read_only) as workspace:
        yield workspace


def backfill_is_under_way(instance: dg.DagsterInstance) -> bool:
    """Return whether a backfill asks for more runs."""
    from dagster._core.execution.backfill import BulkActionStatus

    return bool(instance.get_backfills(status=BulkActionStatus.REQUESTED, limit=1))


def runs_of_last_materializations(instance: dg.DagsterInstance, kept: int) -> set[str]:
    """Return the runs of the last so many materializations of every asset and partition."""
    import sqlalchemy as sql
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable

    events = SqlEventLogStorageTable.c
    age = sql.func.row_number().over(
        partition_by=(events.asset_key, events.partition), order_by=events.id.desc()
    )
    ranked = (
        sql.select(events.run_id, age.label("age"))
        .where(events.dagster_event_type == dg.DagsterEventType.ASSET_MATERIALIZATION.value)
        .subquery()
    )
    with _event_log(instance).index_connection() as connection:
        rows = connection.execute(sql.select(ranked.c.run_id).where(ranked.c.age <= kept).distinct())
        return {row[0] for row in rows}


def drop_step_events(instance: dg.DagsterInstance, run_id: str) -> int:
    """Take all of a run's events out but those of assets, their checks and the run itself; return how many."""
    import sqlalchemy as sql
    from dagster._core.storage.event_log.schema import SqlEventLogStorageTable

    events = SqlEventLogStorageTable
    of_steps = sql.or_(
        events.c.dagster_event_type.is_(None),
        sql.not_(
            sql.or_(*(events.c.dagster_event_type.startswith(kind) for kind in ("ASSET_", "PIPELINE_")))
        ),
    )
    with _event_log(instance).run_connection(run_id) as connection:
        result = connection.execute(events.delete().where(events.c.run_id == run_id, of_steps))
    _compact(_database_of(instance, run_id))
    return int(result.rowcount)


def remove_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Delete a run with its events, its captured output and the database that SQLite keeps for it alone."""
    instance.delete_run(run_id)
    instance.compute_log_manager.delete_logs(prefix=[run_id])
    database = _database_of(instance, run_id)
    if database is not None:
        for suffix in ("", "-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)


def compact_databases(instance: dg.DagsterInstance) -> None:
    """Give the space of deleted rows back, of the databases that all runs share; Postgres does so by itself."""
    index = _database_of(instance, "index")
    if index is not None:
        for database in (index, index.parents[1] / "runs.db"):
            _compact(database)


def _event_log(instance: dg.DagsterInstance) -> SqlEventLogStorage:
    from dagster._core.storage.event_log import SqlEventLogStorage

    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    return storage


def _database_of(instance: dg.DagsterInstance, shard: str) -> Path | None:
    from dagster._core.storage.event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    return Path(storage.path_for_shard(shard)) if isinstance(storage, SqliteEventLogStorage) else None


def _compact(database: Path | None) -> None:
    if database is not None and database.exists():
        connection = sqlite3.connect(database, timeout=60)
        try:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


def add_backfill(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    name: str,
    assets: Sequence[str],
    partitions: Sequence[str],
) -> None:
    """Ask the daemon for a backfill, as the UI does."""
    from dagster._core.execution.backfill import PartitionBackfill

    instance.add_backfill(
        PartitionBackfill.from_asset_partitions(
            backfill_id=name,
            asset_graph=definitions.resolve_asset_graph(),
            partition_names=partitions,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            backfill_timestamp=time.time(),
            tags={},
            dynamic_partitions_store=instance,
            all_partitions=False,
            title=None,
            description=None,
            run_config=None,
        )
    )


def remote_job_origin(module: str, job: str) -> RemoteJobOrigin:
    """Return the origin that a job of a module has when the daemon launches it."""
    from dagster._core.remote_origin import (
        InProcessCodeLocationOrigin,
        RemoteJobOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

    target = LoadableTargetOrigin(executable_path=sys.executable, module_name=module)
    return RemoteJobOrigin(RemoteRepositoryOrigin(InProcessCodeLocationOrigin(target), "__repository__"), job)
