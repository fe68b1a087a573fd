"""SIGKILL with a real daemon: of a run, of the daemon, of everything. Nothing is lost and nothing is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tcell_assets.installation.recovery import PROCESS_TAG
from tcell_assets_tests.operations.daemon import Daemon, real_daemon
from tcell_assets_tests.operations.small_installation import ingest, land, spoil, train, training

pytestmark = pytest.mark.slow

FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS
BROKEN = ("tc5", "tc13")
# Some ten seconds on an idle core: time enough to kill in the middle.
LONG = {"epochs": 300}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running daemon that starts nothing by itself, and a batch tc1 to train on."""
    with real_daemon(tmp_path_factory.mktemp("deaths"), TCELL_NEW_PLATES="off") as daemon:
        land(daemon.data, "tc1")
        ingest(daemon.platform, "tc1")
        daemon.start()
        yield daemon


def _launch_training(daemon: Daemon, seed: int) -> str:
    """Launch a training as the UI's Launchpad does, through the queue, and return its run's id in full swing."""
    before = {run.run_id for run in daemon.runs()}
    config = json.dumps(training(**LONG, seed=seed))
    command = [
        sys.executable,
        "-m",
        "dagster",
        "job",
        "launch",
        "-m",
        "tcell_assets.definitions",
        "-j",
        "train",
    ]
    subprocess.run(
        [*command, "--config-json", config], env={**os.environ, **daemon.environment}, check=True, timeout=300
    )
    (run_id,) = {run.run_id for run in daemon.runs()} - before
    daemon.wait_until(lambda: "epoch 2" in _log(daemon, run_id), "it trains")
    return run_id


def _log(daemon: Daemon, run_id: str) -> str:
    return "\n".join(str(entry.user_message) for entry in daemon.platform.instance.all_logs(run_id))


def _run(daemon: Daemon, run_id: str) -> dg.DagsterRun:
    run = daemon.platform.instance.get_run_by_id(run_id)
    assert run is not None
    return run


def _held_slots(daemon: Daemon) -> list[object]:
    return list(daemon.platform.instance.event_log_storage.get_concurrency_info("gpu").claimed_slots)


def test_a_killed_run_is_ended_and_its_retry_goes_on_from_the_last_epoch(daemon: Daemon) -> None:
    killed = _launch_training(daemon, seed=1)
    os.kill(int(_run(daemon, killed).tags[PROCESS_TAG]), signal.SIGKILL)
    daemon.wait_until(lambda: _run(daemon, killed).status is FAILURE, "the killed run is ended")
    retries = dg.RunsFilter(tags={"dagster/parent_run_id": killed})
    daemon.wait_until(lambda: daemon.platform.instance.get_runs(retries), "a retry")
    (retry,) = daemon.platform.instance.get_runs(retries)
    daemon.wait_until(lambda: _run(daemon, retry.run_id).status is SUCCESS, "the retry ends well")
    assert "resumed after epoch" in _log(daemon, retry.run_id)
    daemon.wait_until(lambda: _held_slots(daemon) == [], "the GPU is free")


def test_a_run_outlives_the_daemon_and_is_not_repeated_by_the_next_one(daemon: Daemon) -> None:
    run_id = _launch_training(daemon, seed=2)
    before = len(daemon.runs())
    daemon.kill_alone()
    daemon.start()
    daemon.wait_until(lambda: _run(daemon, run_id).is_finished, "the run ends")
    assert _run(daemon, run_id).status is SUCCESS
    daemon.wait_until(lambda: _held_slots(daemon) == [], "the GPU is free")
    assert len(daemon.runs()) == before


def test_a_backfill_of_twenty_batches_with_two_broken_survives_the_death_of_everything(
    tmp_path: Path,
) -> None:
    """The daemon, its code server and the runs in flight are killed; a new daemon ends the work."""
    batches = [f"tc{number}" for number in range(1, 21)]
    good = [batch for batch in batches if batch not in BROKEN]
    with real_daemon(tmp_path, TCELL_NEW_PLATES="off") as daemon:
        instance = daemon.platform.instance
        for batch in batches:
            folder = land(daemon.data, batch, n_batches=20)
            if batch in BROKEN:
                spoil(folder)
        ingest(daemon.platform, "tc1")
        train(daemon.platform)
        daemon.add_backfill("twenty", batches)
        daemon.start()
        daemon.wait_until(
            lambda: (
                sum(daemon.has_distances(batch) for batch in batches) >= 4
                and daemon.runs(None, dg.DagsterRunStatus.STARTED)
            ),
            "some batches are done and another is under way",
        )
        daemon.kill()
        killed = {run.tags["dagster/partition"] for run in daemon.runs(None, dg.DagsterRunStatus.STARTED)}
        daemon.start()
        daemon.wait_until(lambda: daemon.backfill_status("twenty") == "COMPLETED_FAILED", "backfill done")

        assert [batch for batch in batches if daemon.has_distances(batch)] == good
        # Made last of a batch's tables: a run that was killed right after it needs no retry.
        last = dg.AssetRecordsFilter(asset_key=dg.AssetKey("dmso_distances"))
        made = Counter(
            record.partition_key for record in instance.fetch_materializations(last, limit=100).records
        )
        assert set(made) == set(good)
        # A run that was killed after writing a table and before saying so writes it again.
        assert [batch for batch in good if made[batch] > (2 if batch in killed else 1)] == []
        assert _held_slots(daemon) == []
