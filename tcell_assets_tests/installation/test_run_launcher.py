"""Runs in forked processes: they start warm, note their process, and end when asked or when their process is killed."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from tcell_assets.commands.platform import Platform, open_platform
from tcell_assets.definitions import build_defs
from tcell_assets.installation.dagster_internals import LaunchRunContext
from tcell_assets.installation.recovery import PROCESS_TAG, host_tags, is_process_gone
from tcell_assets.installation.run_launcher import PRELOADED, LocalRunLauncher
from tcell_assets_tests.operations.small_installation import CORE_INGEST
from tcell_assets_tests.small_screen import NARROW, UNSKILLED, configuration_in, simulate_into

SECONDS = 120
# A run's process is younger than the run; how much must not make it look like another one's.
SECONDS_IN_QUEUE = 3


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """An installation on the disk with the batch tc1 ingested."""
    home = tmp_path_factory.mktemp("launched")
    configuration = configuration_in(home)
    simulate_into(configuration.data, n_batches=1)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TCELL_HOME", str(home))
        environment.setenv("OMP_NUM_THREADS", "1")
        with open_platform(configuration) as opened:
            opened.register_landed_batches()
            opened.run("ingest", "tc1", selection=CORE_INGEST)
            yield opened


def train_job() -> dg.JobDefinition:
    return build_defs().resolve_job_def("train")


def _launch_training(platform: Platform, epochs: int, **tags: str) -> str:
    """Launch a training as the daemon does and return its run's id."""
    run = platform.instance.create_run_for_job(
        train_job(),
        run_config={"ops": {"train_model": {"config": {**NARROW, **UNSKILLED, "epochs": epochs}}}},
        tags=tags,
        status=dg.DagsterRunStatus.STARTING,
        job_code_origin=dg.reconstructable(train_job).get_python_origin(),
    )
    time.sleep(SECONDS_IN_QUEUE)
    platform.instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    return run.run_id


def _wait_until(what: str, is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(0.1)


def _run(platform: Platform, run_id: str) -> dg.DagsterRun:
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None
    return run


def _is_training(platform: Platform, run_id: str) -> bool:
    return any("epoch" in str(entry.user_message) for entry in platform.instance.all_logs(run_id))


def test_a_run_ends_well_in_a_process_of_its_own_that_it_names(platform: Platform) -> None:
    run_id = _launch_training(platform, epochs=1)
    _wait_until("the run ends", lambda: _run(platform, run_id).is_finished)
    run = _run(platform, run_id)
    assert run.status is dg.DagsterRunStatus.SUCCESS
    assert int(run.tags[PROCESS_TAG]) != os.getpid()


def test_a_run_that_is_terminated_ends_as_canceled_and_leaves_its_gpu_slot(platform: Platform) -> None:
    run_id = _launch_training(platform, epochs=5_000)
    _wait_until("it trains", lambda: _is_training(platform, run_id))
    assert platform.instance.run_launcher.terminate(run_id)
    _wait_until("the run ends", lambda: _run(platform, run_id).is_finished)
    assert _run(platform, run_id).status is dg.DagsterRunStatus.CANCELED
    platform.clear_up()
    assert platform.instance.event_log_storage.get_concurrency_run_ids() == set()


def test_a_run_whose_process_is_killed_is_canceled_at_once_and_leaves_its_gpu_slot(
    platform: Platform,
) -> None:
    launcher = platform.instance.run_launcher
    assert isinstance(launcher, LocalRunLauncher)
    run_id = _launch_training(platform, epochs=5_000)
    _wait_until("it trains", lambda: _is_training(platform, run_id))
    assert launcher.check_run_worker_health(_run(platform, run_id)).status.value == "RUNNING"
    os.kill(int(_run(platform, run_id).tags[PROCESS_TAG]), signal.SIGKILL)
    record = platform.instance.get_run_record_by_id(run_id)
    assert record is not None
    _wait_until("its death is seen", lambda: is_process_gone(platform.instance, record))
    assert launcher.terminate(run_id)
    assert _run(platform, run_id).status is dg.DagsterRunStatus.CANCELED
    assert platform.instance.event_log_storage.get_concurrency_run_ids() == set()


def test_a_retry_is_not_judged_by_the_process_of_the_killed_run(platform: Platform) -> None:
    """Dagster gives it the tags of the run it repeats."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    run_id = _launch_training(platform, 1, **{**host_tags(), PROCESS_TAG: str(dead.pid)})
    record = platform.instance.get_run_record_by_id(run_id)
    assert record is not None
    assert not is_process_gone(platform.instance, record)
    _wait_until("the run ends", lambda: _run(platform, run_id).is_finished)
    assert _run(platform, run_id).status is dg.DagsterRunStatus.SUCCESS


def test_a_retry_that_waits_for_its_launch_cannot_be_interrupted_and_says_so(platform: Platform) -> None:
    """The process it bears is that of the run it repeats."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    tags = {**host_tags(), PROCESS_TAG: str(dead.pid)}
    starting = dg.DagsterRunStatus.STARTING
    killed = platform.instance.create_run_for_job(train_job(), tags=tags, status=dg.DagsterRunStatus.FAILURE)
    retry = platform.instance.create_run_for_job(
        train_job(), tags=tags, status=starting, parent_run_id=killed.run_id, root_run_id=killed.run_id
    )
    assert not platform.instance.run_launcher.terminate(retry.run_id)
    said = [str(entry.message) for entry in platform.instance.all_logs(retry.run_id)]
    assert any("cannot be interrupted" in text for text in said)
    platform.instance.delete_run(retry.run_id)


def test_what_is_loaded_before_the_runs_is_other_projects_code_and_there(platform: Platform) -> None:
    """A name misspelt there would be passed over in silence, and each run would import it again."""
    for module in PRELOADED:
        assert not module.startswith("tcell_assets")
        importlib.import_module(module)
