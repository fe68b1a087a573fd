"""kill −9 at any moment: nothing is torn, the next run completes, and its results are those of an undisturbed run."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tcell_assets.commands.platform import Platform, open_platform
from tcell_assets.definitions import build_defs
from tcell_assets.installation.recovery import HOST_TAG, PROCESS_TAG, is_process_gone
from tcell_assets.installation.run_launcher import LocalRunLauncher
from tcell_assets.lake.models import ModelRegistry
from tcell_assets_tests.small_screen import configuration_in

KILLS = 50


def _report_of(module: str, folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", f"tcell_assets_tests.robustness.{module}", str(folder)]
    done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, check=True, text=True)
    report = json.loads(done.stdout)
    print(report)
    assert isinstance(report, dict)
    return report


@pytest.mark.slow
def test_fifty_kills_of_full_runs_tear_nothing_and_change_no_result(memory_folder: Path) -> None:
    report = _report_of("kill_storm", memory_folder, "--kills", str(KILLS))
    assert report["damage"] == []
    assert report["differences"] == []
    assert report["kills"] >= KILLS
    assert min(report["kills_of"].values()) >= 3, "every job was hit"


@pytest.mark.slow
def test_a_training_killed_ten_times_loses_at_most_the_epoch_under_way_and_ends_with_the_same_weights(
    memory_folder: Path,
) -> None:
    report = _report_of("training_storm", memory_folder)
    attempts = report["attempts"]
    assert [attempt["killed"] for attempt in attempts] == [True] * 10 + [False]
    for before, after in itertools.pairwise(attempts):
        # An epoch is announced after its checkpoint is written, so a kill in between even saves one more.
        assert after["first"] in (before["last"] + 1, before["last"] + 2)
    assert report["versions"][0] == report["versions"][1], "a version is the hash of the weights"


@pytest.fixture
def platform(tmp_path: Path) -> Any:
    with open_platform(configuration_in(tmp_path)) as opened:
        yield opened


def _started_run(platform: Platform, process: int) -> str:
    run = platform.instance.create_run_for_job(
        platform.definitions.resolve_job_def("train"),
        status=dg.DagsterRunStatus.STARTED,
        tags={HOST_TAG: os.uname().nodename, PROCESS_TAG: str(process)},
    )
    platform.instance.event_log_storage.set_concurrency_slots("gpu", 1)
    platform.instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "train_model")
    return run.run_id


def test_a_run_whose_process_was_killed_is_ended_and_its_gpu_slot_freed_at_the_next_start(
    platform: Platform,
) -> None:
    sleeper = subprocess.Popen(["sleep", "600"])
    run_id = _started_run(platform, sleeper.pid)
    platform.clear_up()
    assert platform.instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]
    sleeper.send_signal(signal.SIGKILL)
    sleeper.wait()
    platform.clear_up()
    assert platform.instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
    assert platform.instance.event_log_storage.get_concurrency_run_ids() == set()


def test_run_monitoring_asks_after_the_process_of_a_run(platform: Platform) -> None:
    launcher = platform.instance.run_launcher
    assert isinstance(launcher, LocalRunLauncher), "storage/dagster.yaml names it"
    sleeper = subprocess.Popen(["sleep", "600"])
    run_id = _started_run(platform, sleeper.pid)
    run = platform.instance.get_run_by_id(run_id)
    assert run is not None
    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(run).status.value == "RUNNING"
    sleeper.kill()
    sleeper.wait()
    assert launcher.check_run_worker_health(run).status.value == "NOT_FOUND"


def test_a_run_of_another_machine_is_never_judged(platform: Platform) -> None:
    run = platform.instance.create_run_for_job(
        platform.definitions.resolve_job_def("train"),
        status=dg.DagsterRunStatus.STARTED,
        tags={HOST_TAG: "another-machine", PROCESS_TAG: "1073741823"},
    )
    record = platform.instance.get_run_record_by_id(run.run_id)
    assert record is not None
    assert not is_process_gone(platform.instance, record)


def test_every_job_runs_its_steps_in_the_process_of_the_run() -> None:
    """A step in a process of its own would outlive a killed run and write beside its retry."""
    definitions = build_defs()
    names = [job.name for job in definitions.resolve_all_job_defs()]
    assert "__ASSET_JOB" in names
    for name in names:
        assert definitions.resolve_job_def(name).executor_def.name == "in_process", name


def test_a_model_saved_by_two_runs_at_once_is_there_once_and_whole(tmp_path: Path) -> None:
    from upath import UPath

    registry = ModelRegistry(UPath(tmp_path / "models"))

    def save(folder: UPath) -> None:
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text('{"created_at": "x", "batch_hashes": {}, "settings": {}}')

    def save_after_another_run(folder: UPath) -> None:
        registry.add("model-a", save)
        save(folder)

    registry.add("model-a", save_after_another_run)
    assert registry.versions() == ["model-a"]
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["model-a"]
