"""Everything is killed in the middle of a training and started again: the run ends by itself and its retry goes on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import requests

from tcell_assets.commands.platform import open_platform
from tcell_assets_tests.small_screen import NARROW, UNSKILLED, configuration_in, simulate_into
from tcell_assets_tests.webserver.test_ui import Ui, _family, _living, _started

LAUNCH = """mutation ($config: RunConfigData!) { launchRun(executionParams: {runConfigData: $config, selector: {
 jobName: "train", repositoryName: "__repository__", repositoryLocationName: "tcell_assets"}}) {
 __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
EPOCHS = 40
SECONDS = 420


def _launch_training(ui: Ui) -> str:
    config = {"ops": {"train_model": {"config": {**NARROW, **UNSKILLED, "epochs": EPOCHS}}}}
    query = {"query": LAUNCH, "variables": {"config": config}}
    answer = requests.post(f"{ui.origin}/graphql", json=query, timeout=120).json()
    return str(answer["data"]["launchRun"]["run"]["runId"])


def _wait_for(instance: dg.DagsterInstance, what: str, answer: Any) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = answer()
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(
        f"{what} within {SECONDS} s; runs: {[(r.run_id, r.status) for r in instance.get_runs()]}"
    )


@pytest.mark.slow
def test_after_everything_was_killed_a_restart_ends_the_run_and_its_retry_resumes(tmp_path: Path) -> None:
    configuration = configuration_in(tmp_path)
    simulate_into(configuration.data, n_batches=1)
    with open_platform(configuration) as platform:
        platform.register_landed_batches()
        platform.run("ingest", "tc1")
    checkpoint = tmp_path / "storage" / "checkpoints"
    with dg.DagsterInstance.from_config(str(configuration.dagster_home)) as instance:
        with _started(tmp_path) as ui:
            run_id = _launch_training(ui)
            _wait_for(
                instance,
                "a checkpoint",
                lambda: checkpoint.exists() and any(checkpoint.rglob("*.safetensors")),
            )
            everything = [ui.process.pid, *_family(ui.process.pid)]
            for process in everything:
                os.kill(process, signal.SIGKILL)
            ui.process.wait()
            _wait_for(instance, "all are gone", lambda: not _living(everything))
        assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.STARTED  # type: ignore[union-attr]
        with _started(tmp_path):
            _wait_for(instance, "the run ends", lambda: instance.get_run_by_id(run_id).is_finished)  # type: ignore[union-attr]
            assert instance.get_run_by_id(run_id).status is dg.DagsterRunStatus.FAILURE  # type: ignore[union-attr]
            retries = dg.RunsFilter(tags={"dagster/parent_run_id": run_id})
            retry = _wait_for(instance, "a retry", lambda: instance.get_runs(retries))[0]
            _wait_for(instance, "the retry ends", lambda: instance.get_run_by_id(retry.run_id).is_finished)  # type: ignore[union-attr]
            assert instance.get_run_by_id(retry.run_id).status is dg.DagsterRunStatus.SUCCESS  # type: ignore[union-attr]
        log = "\n".join(str(entry.user_message) for entry in instance.all_logs(retry.run_id))
        assert "resumed after epoch" in log
        assert f"of {EPOCHS}" in log
