"""Waiting for a pool is said, and Ctrl-C cancels: nothing spins, nothing fails, and what was finished is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest

from tcell_assets.commands.platform import Platform, open_platform
from tcell_assets.installation.configuration import load_configuration
from tcell_assets_tests.operations.small_installation import TINY_NETWORK, prepared_platform, train


def test_a_run_that_waits_for_a_pool_says_who_holds_it_and_rests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with (
        prepared_platform(tmp_path, scored=False) as in_memory,
        dg.DagsterInstance.local_temp(str(home)) as instance,
    ):
        platform = Platform(in_memory.configuration, instance, in_memory.definitions)
        platform.register_landed_batches()
        pools = platform.instance.event_log_storage
        pools.set_concurrency_slots("gpu", 1)
        job = platform.definitions.resolve_job_def("attribute")
        holder = platform.instance.create_run_for_job(
            job, status=dg.DagsterRunStatus.STARTED, tags={"dagster/partition": "tc1"}
        ).run_id
        pools.claim_concurrency_slot("gpu", holder, "attribute_wells")
        waited: list[float] = []

        def give_back() -> None:
            used = time.process_time()
            time.sleep(2.0)
            waited.append(time.process_time() - used)
            pools.free_concurrency_slots_for_run(holder)

        threading.Thread(target=give_back).start()
        train(platform)
    said = capsys.readouterr().err
    assert f"waits for the pool gpu, held by run {holder} (attribute of tc1); Ctrl-C ends" in said
    assert said.count("waits for") == 1
    # A spinning wait takes all of the two seconds.
    assert waited[0] < 1.0


@pytest.mark.slow
def test_ctrl_c_cancels_an_evaluation_within_two_seconds_and_the_next_call_goes_on(tmp_path: Path) -> None:
    environment = {**os.environ, "TCELL_HOME": str(tmp_path), "COLUMNS": "200"}
    for name in ("TCELL_DATA", "TCELL_STORAGE", "DAGSTER_HOME"):
        environment.pop(name, None)
    command = [str(Path(sys.executable).with_name("tcell"))]
    (tmp_path / "data").mkdir()

    def tcell(*arguments: str) -> str:
        done = subprocess.run([*command, *arguments], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    tcell("simulate", str(tmp_path / "data"), "--genes", "48", "--plates", "1")
    tcell("ingest")
    tiny = [part for name, value in TINY_NETWORK.items() for part in ("--set", f"{name}={value}")]
    tcell("train", *tiny, "--set", "promote_without_skill=true")
    evaluation = ["evaluate", "--scheme", "leave_metabolite_out", "--folds", "3"]
    kept = tmp_path / "storage" / "unfinished_evaluation"
    running = subprocess.Popen([*command, *evaluation], env=environment, stderr=subprocess.PIPE, text=True)
    while len(list(kept.glob("*/*.parquet"))) < 3:
        assert running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    asked = time.monotonic()
    said = running.communicate(timeout=60)[1]
    assert time.monotonic() - asked < 2.0 + 2.0, (
        "two seconds, and the end of the interpreter on a busy machine"
    )
    assert running.returncode == 130
    assert "is canceled; what was finished is kept" in said
    assert "Error" not in said
    finished = len(list(kept.glob("*/*.parquet")))
    assert finished >= 3
    assert f"goes on after {finished} fits" in tcell(*evaluation)
    assert not kept.exists() or not list(kept.iterdir())
    os.environ["TCELL_HOME"] = str(tmp_path)
    try:
        with open_platform(load_configuration()) as platform:
            statuses = [run.status for run in platform.instance.get_runs(dg.RunsFilter(job_name="evaluate"))]
    finally:
        del os.environ["TCELL_HOME"]
    assert statuses == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED]
