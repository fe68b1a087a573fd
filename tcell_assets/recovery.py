"""Runs whose process died without a word: found by their process id, ended, and their GPU slots freed.

`kill −9` leaves a run "started" for ever in Dagster's books, and with it the slot of the pool it held: the next run
that needs the GPU would wait for it until somebody clicks it away.
"""

from __future__ import annotations

import os
import socket
import time

import dagster as dg
from dagster._core.storage.dagster_run import RunRecord

from tcell_assets.processes import was_alive_at

HOST_TAG = "tcell/host"
PROCESS_TAG = "tcell/process"
UNKNOWN_PROCESS = "unknown"
# Queued runs have no process yet; the daemon starts them.
UNDER_WAY = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def host_tags() -> dict[str, str]:
    """Return the tags of a run that this machine executes; process ids mean nothing on another one."""
    return {HOST_TAG: socket.gethostname()}


def process_tags() -> dict[str, str]:
    """Return the tags of a run that this very process executes."""
    return {**host_tags(), PROCESS_TAG: str(os.getpid())}


def is_process_gone(instance: dg.DagsterInstance, record: RunRecord) -> bool:
    """Return whether the process that executed a run of this machine no longer exists.

    A run of another machine, or one whose process has not told its id yet, is not judged.
    """
    run = record.dagster_run
    if run.tags.get(HOST_TAG) != socket.gethostname():
        return False
    process = run.tags.get(PROCESS_TAG, UNKNOWN_PROCESS)
    if process == UNKNOWN_PROCESS:
        return False
    # The process is older than the run's start, but a forked one is younger than the run's creation in the queue.
    return not was_alive_at(int(process), record.start_time or time.time())


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs whose process is gone as failed and free every slot of a finished run; return the ended runs."""
    ended = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNDER_WAY)):
        if is_process_gone(instance, record):
            instance.report_run_failed(record.dagster_run, "The process of this run is gone (killed?).")
            ended.append(record.dagster_run.run_id)
    for run_id in instance.event_log_storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return ended
