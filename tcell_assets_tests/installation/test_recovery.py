"""Dead runs are ended so that their retry comes: the retry daemon must not meet a failure before the run is failed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest

from tcell_assets.definitions import build_defs
from tcell_assets.installation.dagster_internals import WILL_RETRY_TAG, remote_job_origin
from tcell_assets.installation.recovery import (
    HOST_TAG,
    IDENTITY_TAG,
    PROCESS_TAG,
    RETRY_ASKED_AGAIN_TAG,
    RETRY_IS_LATE_SECONDS,
    RETRY_IS_PAST_SECONDS,
    ask_again_for_retries,
    end_dead_runs,
    end_if_dead,
    host_tags,
    known_to_live,
    process_to_interrupt,
)
from tcell_assets.system import processes
from tcell_assets.system.processes import identity_of

FAILURE, SUCCESS, STARTED = (
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.STARTED,
)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on the disk whose failed runs are retried."""
    retries = {"run_retries": {"enabled": True, "max_retries": 2}}
    with dg.instance_for_test(overrides=retries, temp_dir=str(tmp_path)) as made:
        yield made


def _dead_run(
    instance: dg.DagsterInstance, of_the_daemon: bool = True, tags: Mapping[str, str] | None = None
) -> dg.DagsterRun:
    """Return a run of this machine whose process has ended."""
    ended = subprocess.Popen(["true"])
    ended.wait()
    return instance.create_run_for_job(
        build_defs().resolve_job_def("train"),
        status=STARTED,
        tags={HOST_TAG: socket.gethostname(), PROCESS_TAG: str(ended.pid), **(tags or {})},
        remote_job_origin=remote_job_origin("tcell_assets.definitions", "train") if of_the_daemon else None,
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


def test_a_run_of_a_command_is_not_promised_a_retry_that_the_daemon_cannot_launch(
    instance: dg.DagsterInstance,
) -> None:
    run = _dead_run(instance, of_the_daemon=False)
    assert end_dead_runs(instance) == [run.run_id]
    assert _reloaded(instance, run).status is FAILURE
    assert not _reloaded(instance, run).is_complete_and_waiting_to_retry


def _living_run(instance: dg.DagsterInstance, process: int, **tags: str) -> dg.DagsterRun:
    """Return a run of this host that says to be executed by a process, by this version unless tags say otherwise."""
    return instance.create_run_for_job(
        build_defs().resolve_job_def("train"),
        status=STARTED,
        tags={**host_tags(), PROCESS_TAG: str(process), IDENTITY_TAG: identity_of(process), **tags},
    )


def test_a_step_of_the_clock_ends_no_living_run(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's boot time moves with the clock, and with it the starts of all processes on the wall."""
    run = _living_run(instance, os.getpid())
    boot_time = processes._boot_time()
    monkeypatch.setattr(processes, "_boot_time", lambda: boot_time + 1e6)
    assert end_dead_runs(instance) == []
    assert _reloaded(instance, run).status is STARTED


def test_a_stopped_run_is_not_ended(instance: dg.DagsterInstance) -> None:
    sleeper = subprocess.Popen(["sleep", "600"])
    _living_run(instance, sleeper.pid)
    sleeper.send_signal(signal.SIGSTOP)
    os.waitpid(sleeper.pid, os.WUNTRACED)
    assert end_dead_runs(instance) == []
    sleeper.kill()
    sleeper.wait()


def test_a_process_that_got_the_number_of_a_dead_run_does_not_keep_it_alive(
    instance: dg.DagsterInstance,
) -> None:
    namespace, _, ticks = identity_of(os.getpid()).rpartition("/")
    run = _living_run(instance, os.getpid(), **{IDENTITY_TAG: f"{namespace}/{int(ticks) - 1}"})
    assert end_dead_runs(instance) == [run.run_id]


ANOTHER_CONTAINER = "another-boot-or-container/pid:[1]/7"


def test_a_run_of_another_container_with_this_host_name_lives_while_its_lock_is_held(
    instance: dg.DagsterInstance,
) -> None:
    """Its process number is nobody's here, or somebody else's."""
    run = _living_run(instance, 2**22 + 1, **{IDENTITY_TAG: ANOTHER_CONTAINER})
    with known_to_live(instance, run.run_id):
        assert end_dead_runs(instance) == []
    assert _reloaded(instance, run).status is STARTED


def test_a_run_that_was_killed_in_a_container_that_is_gone_is_ended(instance: dg.DagsterInstance) -> None:
    run = _living_run(instance, os.getpid(), **{IDENTITY_TAG: ANOTHER_CONTAINER})
    program = (
        "import sys, types; from tcell_assets.installation.recovery import known_to_live\n"
        "with known_to_live(types.SimpleNamespace(root_directory=sys.argv[1]), sys.argv[2]):\n"
        "    print('holds', flush=True); input()"
    )
    container = subprocess.Popen(
        [sys.executable, "-c", program, instance.root_directory, run.run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert container.stdout is not None
    assert container.stdout.readline() == b"holds\n"
    assert end_dead_runs(instance) == []
    container.kill()
    container.communicate()
    assert end_dead_runs(instance) == [run.run_id]
    assert not any(Path(instance.root_directory, "runs_under_way").iterdir())


def test_a_run_of_another_machine_with_this_host_name_is_not_judged(instance: dg.DagsterInstance) -> None:
    """Its lock is not in this folder."""
    run = _living_run(instance, 2**22 + 1, **{IDENTITY_TAG: ANOTHER_CONTAINER})
    assert end_dead_runs(instance) == []
    assert process_to_interrupt(_reloaded(instance, run)) is None


def test_a_run_of_an_earlier_version_is_judged_by_the_start_of_its_process(
    instance: dg.DagsterInstance,
) -> None:
    """Its tags name the host and the process, nothing else."""
    tags = {HOST_TAG: socket.gethostname(), PROCESS_TAG: str(os.getpid())}
    run = instance.create_run_for_job(build_defs().resolve_job_def("train"), status=STARTED, tags=tags)
    assert end_dead_runs(instance) == []
    assert process_to_interrupt(_reloaded(instance, run)) == os.getpid()
    assert end_dead_runs(instance) == []
    dead = _dead_run(instance)
    assert end_dead_runs(instance) == [dead.run_id]


def test_a_dead_run_that_was_to_be_canceled_is_canceled_and_not_retried(instance: dg.DagsterInstance) -> None:
    run = _dead_run(instance)
    instance.report_run_canceling(run)
    assert end_dead_runs(instance) == [run.run_id]
    assert _reloaded(instance, run).status is dg.DagsterRunStatus.CANCELED
    assert WILL_RETRY_TAG not in _reloaded(instance, run).tags


def test_a_retry_that_is_not_launched_yet_is_not_judged_by_the_process_of_the_killed_run(
    instance: dg.DagsterInstance,
) -> None:
    killed = _dead_run(instance)
    retry = instance.create_run_for_job(
        build_defs().resolve_job_def("train"),
        status=dg.DagsterRunStatus.STARTING,
        tags=dict(killed.tags),
        parent_run_id=killed.run_id,
        root_run_id=killed.run_id,
    )
    assert end_dead_runs(instance) == [killed.run_id]
    assert not _reloaded(instance, retry).is_finished


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


def _failed_at(
    instance: dg.DagsterInstance, seconds_ago: float, tags: Mapping[str, str] | None = None
) -> dg.DagsterRun:
    """Return a run with a promised retry that failed some time ago."""
    run = _dead_run(instance, tags=tags)
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


def test_a_missed_retry_of_a_retry_is_asked_for_too(instance: dg.DagsterInstance) -> None:
    """It bears the tags of the run that it repeats."""
    run = _failed_at(instance, RETRY_IS_LATE_SECONDS + 1, {RETRY_ASKED_AGAIN_TAG: "the-run-it-repeats"})
    assert ask_again_for_retries(instance) == [run.run_id]


def test_a_retry_is_not_asked_for_before_it_is_late(instance: dg.DagsterInstance) -> None:
    _failed_at(instance, RETRY_IS_LATE_SECONDS / 2)
    assert ask_again_for_retries(instance) == []


def test_the_promise_of_a_retry_is_taken_back_after_a_day(instance: dg.DagsterInstance) -> None:
    run = _failed_at(instance, RETRY_IS_PAST_SECONDS + 60)
    assert ask_again_for_retries(instance) == []
    assert not _reloaded(instance, run).is_complete_and_waiting_to_retry
