"""Runs whose process died without a word: found by their process id, ended, and their GPU slots freed.

`kill −9` leaves a run "started" for ever in Dagster's books, and with it the slot of the pool it held: the next run
that needs the GPU would wait for it until somebody clicks it away.

Dagster tells a failure first and marks the run as failed afterwards. Its retry daemon, which looks every 5 s, passes
over a failure that it meets in between, and a backfill waits for that retry for ever. Here the order is the other one.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from tcell_assets.installation.dagster_internals import WILL_RETRY_TAG, retry_will_follow
from tcell_assets.system.files import is_held, locked
from tcell_assets.system.processes import identity_of, is_same, was_alive_at

HOST_TAG = "tcell/host"
PROCESS_TAG = "tcell/process"
IDENTITY_TAG = "tcell/process_identity"
UNKNOWN_PROCESS = "unknown"
UNKNOWN_PROCESS_TAGS = {PROCESS_TAG: UNKNOWN_PROCESS, IDENTITY_TAG: UNKNOWN_PROCESS}
RETRY_ASKED_AGAIN_TAG = "tcell/retry_asked_again"
# The retry daemon looks every 5 s; a retry that is a day late would surprise more than it would help.
RETRY_IS_LATE_SECONDS = 60.0
RETRY_IS_PAST_SECONDS = 86_400.0
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
    return {**host_tags(), PROCESS_TAG: str(os.getpid()), IDENTITY_TAG: identity_of(os.getpid())}


@contextmanager
def known_to_live(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Hold a lock for as long as this process executes a run.

    The kernel frees it when the process ends in whatever way: who cannot see the process, from another container of
    this machine or after a restart, asks the lock.
    """
    lock = _lock_of(instance, run_id)
    with locked(lock):
        yield
    lock.unlink(missing_ok=True)


def _lock_of(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.root_directory) / "runs_under_way" / run_id


def is_process_gone(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Return whether the process that executed a run of this machine no longer exists.

    A run of another machine, or one whose process has not told its id yet, is not judged. Machines and containers may
    share a host name, so a process that cannot be seen from here is judged by the lock that it holds, if that is here.
    """
    run = record.dagster_run
    if run.tags.get(HOST_TAG) != socket.gethostname():
        return False
    process = run.tags.get(PROCESS_TAG, UNKNOWN_PROCESS)
    if process == UNKNOWN_PROCESS:
        return False
    # A retry bears the tags of the run it repeats until it is launched.
    parent = instance.get_run_by_id(run.parent_run_id) if run.parent_run_id else None
    if parent is not None and parent.tags.get(PROCESS_TAG) == process:
        return False
    identity = run.tags.get(IDENTITY_TAG)
    if identity is None:
        # The process is older than the run's start, but a forked one is younger than the run's creation in the queue.
        return not was_alive_at(int(process), record.start_time or time.time())
    lives = is_same(int(process), identity)
    if lives is None:
        # Where the lock is not, the process runs on another machine, and is not judged.
        lives = is_held(_lock_of(instance, run.run_id)) is not False
    return not lives


def process_to_interrupt(run: dg.DagsterRun) -> int | None:
    """Return the number, in this container, of the process that executes a run; None where it is not known here."""
    process, identity = run.tags.get(PROCESS_TAG, UNKNOWN_PROCESS), run.tags.get(IDENTITY_TAG)
    if process == UNKNOWN_PROCESS or run.tags.get(HOST_TAG) != socket.gethostname():
        return None
    return int(process) if identity is None or is_same(int(process), identity) else None


def end_if_dead(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Mark a run whose process is gone as failed, to be retried where it may be; return whether it was so.

    One that was to be canceled is canceled. Its GPU slot is freed too: the retry would else wait a minute for what the
    dead run still holds in Dagster's books.
    """
    if not is_process_gone(instance, record):
        return False
    # Read after its process was seen to be gone: what it has not written by now it never will.
    run = instance.get_run_by_id(record.dagster_run.run_id)
    if run is None or run.is_finished:
        return False
    if run.status is dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run)
    else:
        _fail(instance, run, "The process of this run is gone (killed?).")
    _lock_of(instance, run.run_id).unlink(missing_ok=True)
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return True


def _fail(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Promise the retry, mark the run as failed, tell it: after any of these a kill can be mended."""
    if instance.run_retries_enabled:
        failed = run.with_status(dg.DagsterRunStatus.FAILURE)
        retried = retry_will_follow(instance, failed)
        instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: str(retried).lower()})
    instance.handle_run_event(run.run_id, _failure(run, message))
    _tell(instance, run, message)


def end_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs whose process is gone as failed and free every slot of a finished run; return the ended runs."""
    records = instance.get_run_records(dg.RunsFilter(statuses=UNDER_WAY))
    ended = [record.dagster_run.run_id for record in records if end_if_dead(instance, record)]
    for run_id in instance.event_log_storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    return ended


def ask_again_for_retries(instance: dg.DagsterInstance) -> list[str]:
    """Tell the retry daemon once more of failures whose retry it promised and never began; return their runs.

    After a day the promise is taken back, so that the backfill of such a run ends.
    """
    promised = dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"})
    asked = []
    for record in instance.get_run_records(promised):
        run, age = record.dagster_run, time.time() - (record.end_time or 0.0)
        if not run.is_complete_and_waiting_to_retry or age < RETRY_IS_LATE_SECONDS:
            continue
        if age > RETRY_IS_PAST_SECONDS:
            instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})
        # The run's own id: a retry bears the tags of the run it repeats, and may be missed too.
        elif run.tags.get(RETRY_ASKED_AGAIN_TAG) != run.run_id:
            instance.add_run_tags(run.run_id, {RETRY_ASKED_AGAIN_TAG: run.run_id})
            _tell(
                instance,
                run,
                "The retry of this failed run was promised and never began; it is asked for again.",
            )
            asked.append(run.run_id)
    return asked


def _failure(run: dg.DagsterRun, message: str) -> dg.DagsterEvent:
    return dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, run.job_name, message=message)


def _tell(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """Write a failure into the event log alone; what the run's record says stays as it is."""
    instance.event_log_storage.store_event(
        dg.EventLogEntry(  # type: ignore[no-untyped-call]
            user_message="",
            level=logging.ERROR,
            job_name=run.job_name,
            run_id=run.run_id,
            error_info=None,
            timestamp=time.time(),
            dagster_event=_failure(run, message),
        )
    )
