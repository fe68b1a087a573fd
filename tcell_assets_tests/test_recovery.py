"""Dead runs are ended so that their retry comes: the retry daemon must not meet a failure before the run is failed."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import WILL_RETRY_TAG
from dagster._core.test_utils import instance_for_test

from tcell_assets.definitions import build_defs
from tcell_assets.recovery import (
    HOST_TAG,
    PROCESS_TAG,
    RETRY_IS_LATE_SECONDS,
    RETRY_IS_PAST_SECONDS,
    ask_again_for_retries,
    end_dead_runs,
    end_if_dead,
)

FAILURE, SUCCESS, STARTED = (
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.STARTED,
)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on the disk whose failed runs are retried."""
    retries = {"run_retries": {"enabled": True, "max_retries": 2}}
    with instance_for_test(overrides=retries, temp_dir=str(tmp_path)) as made:
        yield made


def _dead_run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus = STARTED) -> dg.DagsterRun:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return instance.create_run_for_job(
        build_defs().resolve_job_def("train"),
        status=status,
        tags={HOST_TAG: socket.gethostname(), PROCESS_TAG: str(ended.pid)},
    )


def _failures(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int:
    return len(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE))


def _reloaded(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def test_a_dead_run_is_failed_and_marked_for_its_retry_before_its_failure_is_told(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the other order a retry daemon that looks in between drops the retry, and a backfill waits for ever."""
    run = _dead_run(instance)
    seen: list[tuple[dg.DagsterRunStatus, str | None]] = []
    store_event = instance.event_log_storage.store_event

    def note(event: dg.EventLogEntry) -> None:
        found = _reloaded(instance, run)
        seen.append((found.status, found.tags.get(WILL_RETRY_TAG)))
        store_event(event)

    monkeypatch.setattr(instance.event_log_storage, "store_event", note)
    assert end_dead_runs(instance) == [run.run_id]
    assert seen == [(FAILURE, "true")]
    assert _failures(instance, run) == 1


def test_a_run_that_ended_well_while_its_process_was_looked_for_stays_a_success(
    instance: dg.DagsterInstance,
) -> None:
    run = _dead_run(instance)
    record = instance.get_run_record_by_id(run.run_id)
    assert record is not None
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name), run_id=run.run_id
    )
    assert not end_if_dead(instance, record)
    assert _reloaded(instance, run).status is SUCCESS


def _failed_at(instance: dg.DagsterInstance, seconds_ago: float) -> dg.DagsterRun:
    """Return a run with a promised retry that failed some time ago."""
    run = _dead_run(instance)
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_FAILURE.value, run.job_name),
        run_id=run.run_id,
        timestamp=time.time() - seconds_ago,
    )
    assert _reloaded(instance, run).is_complete_and_waiting_to_retry
    return run


def test_a_retry_that_never_began_is_asked_for_once_more_and_only_once(instance: dg.DagsterInstance) -> None:
    run = _failed_at(instance, RETRY_IS_LATE_SECONDS + 1)
    assert ask_again_for_retries(instance) == [run.run_id]
    assert _failures(instance, run) == 2
    assert ask_again_for_retries(instance) == []


@pytest.mark.parametrize("seconds_ago", [RETRY_IS_LATE_SECONDS / 2, RETRY_IS_PAST_SECONDS + 60])
def test_a_retry_is_not_asked_for_before_its_time_nor_a_day_late(
    instance: dg.DagsterInstance, seconds_ago: float
) -> None:
    _failed_at(instance, seconds_ago)
    assert ask_again_for_retries(instance) == []
