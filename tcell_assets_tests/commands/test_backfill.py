"""`tcell backfill`: good batches are done, broken ones are told, and a second one goes on where the first was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from tcell_assets.commands import platform as platform_module
from tcell_assets.commands.backfill import backfill_command
from tcell_assets.commands.platform import Platform
from tcell_assets.lake.stages import INGEST, SCORE
from tcell_assets.lake.tables import tables_made_by
from tcell_assets_tests.operations.daemon import real_daemon
from tcell_assets_tests.operations.small_installation import (
    CORE,
    ingest,
    land,
    prepared_platform,
    score,
    spoil,
    train,
)


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """An installation in memory, two batches scored but for the audits, that the subcommand finds."""
    with prepared_platform(tmp_path) as platform:

        @contextmanager
        def opened() -> Iterator[Platform]:
            yield platform

        monkeypatch.setattr(platform_module, "open_platform", opened)
        yield platform


def _backfill(*arguments: str, assets: str = ",".join(CORE)) -> Result:
    return CliRunner().invoke(backfill_command, [*arguments, "--assets", assets])


def _states(result: Result) -> dict[str, str]:
    """Return the state of each batch in the progress lines."""
    lines = [line.split("] ", 1)[1] for line in result.output.splitlines() if line.startswith("[")]
    return {line.split(": ")[0]: line.split(": ")[1].rsplit(",", 1)[0] for line in lines}


def test_good_batches_are_done_beside_a_broken_one_and_the_exit_says_so(platform: Platform) -> None:
    spoil(land(platform.configuration.data, "tc3"))
    land(platform.configuration.data, "tc4")
    result = _backfill()
    assert result.exit_code == 1
    assert _states(result) == {"tc1": "current", "tc2": "current", "tc3": "failed", "tc4": "done"}
    assert "batch 'tc3' cannot be read" in result.output
    lake = platform.storage.lake()
    assert all(lake.exists(table, "tc4") for table in tables_made_by(INGEST, SCORE))


def test_what_is_up_to_date_is_not_run_unless_it_is_forced(platform: Platform) -> None:
    assert _states(_backfill()) == {"tc1": "current", "tc2": "current"}
    assert platform.instance.get_runs_count() == 0
    assert _states(_backfill("--batches", "tc1", "--force")) == {"tc1": "done"}


def test_only_failed_or_missing_batches_are_run_where_wanted(platform: Platform) -> None:
    spoil(land(platform.configuration.data, "tc3"))
    assert _states(_backfill())["tc3"] == "failed"
    train(platform, epochs=2, validation_tolerance=10.0)
    land(platform.configuration.data, "tc3")
    land(platform.configuration.data, "tc4")
    result = _backfill("--failed-or-missing")
    assert _states(result) == {"tc1": "left alone", "tc2": "left alone", "tc3": "done", "tc4": "done"}


def test_a_new_model_is_rolled_over_old_batches_without_reading_files_again(platform: Platform) -> None:
    ingested = platform.storage.lake().lineage("expression_matrix", "tc1").run_id
    version = train(platform, epochs=2, validation_tolerance=10.0)
    assert _states(_backfill()) == {"tc1": "done", "tc2": "done"}
    lake = platform.storage.lake()
    assert lake.lineage("well_predictions", "tc1").model_version == version
    assert lake.lineage("expression_matrix", "tc1").run_id == ingested


def test_a_changed_batch_is_read_and_scored_again_and_no_other(platform: Platform) -> None:
    land(platform.configuration.data, "tc2", ("A2",))
    assert _states(_backfill()) == {"tc1": "current", "tc2": "done"}
    assert set(platform.storage.lake().read("dmso_distances", "tc2")["well_id"].str[4:6]) == {"A1", "A2"}


def test_a_named_model_scores(platform: Platform) -> None:
    first = str(platform.storage.models().current())
    train(platform, epochs=2, validation_tolerance=10.0)
    score(platform, "tc1")
    assert _states(_backfill("--model-version", first)) == {"tc1": "done", "tc2": "current"}
    assert platform.storage.lake().lineage("well_predictions", "tc1").model_version == first


def test_patterns_and_assets_choose_what_is_run(platform: Platform) -> None:
    for batch in ("tc3", "tc4"):
        land(platform.configuration.data, batch)
    assert _states(_backfill("--batches", "*3", assets="well_metadata")) == {"tc3": "done"}
    lake = platform.storage.lake()
    assert lake.exists("well_metadata", "tc3")
    assert not lake.exists("expression_matrix", "tc3")
    assert not lake.exists("well_metadata", "tc4")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("--batches", "nothing*"), "nothing* fits none of tc1"), (("--assets", "wells"), "wells: not among")],
)
def test_a_choice_of_nothing_is_refused(platform: Platform, arguments: tuple[str, ...], named: str) -> None:
    result = CliRunner().invoke(backfill_command, list(arguments))
    assert result.exit_code == 2
    assert named in result.output


def test_a_date_chooses_batches_that_came_since(platform: Platform) -> None:
    assert set(_states(_backfill("--from-date", "2000-01-01"))) == {"tc1", "tc2"}
    assert _states(_backfill("--from-date", "2999-01-01")) == {}


@pytest.mark.slow
def test_twenty_batches_with_two_broken_survive_a_kill_in_the_middle(tmp_path: Path) -> None:
    """In a process of its own, on SQLite: killed after some batches, started again, and nothing is done twice."""
    with real_daemon(tmp_path) as installation:
        platform = installation.platform
        land(installation.data, "tc1")
        ingest(platform, "tc1")
        train(platform)
        for number in range(2, 21):
            folder = land(installation.data, f"tc{number}", n_batches=20)
            if number in (5, 13):
                spoil(folder)
        command = [sys.executable, "-c", "from tcell_assets.cli import main; main()", "backfill"]
        command += ["--assets", ",".join(CORE)]
        environment = {**os.environ, **installation.environment}
        lake = platform.storage.lake()
        first = subprocess.Popen(command, env=environment, cwd=tmp_path, start_new_session=True)
        while len(lake.batches("dmso_distances")) < 4 and first.poll() is None:
            time.sleep(0.2)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        finished = {
            batch: lake.lineage("dmso_distances", batch).run_id for batch in lake.batches("dmso_distances")
        }
        assert 4 <= len(finished) < 18

        second = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert second.returncode == 1, second.stderr
        good = {f"tc{number}" for number in range(1, 21)} - {"tc5", "tc13"}
        assert set(lake.batches("dmso_distances")) == good
        again = {batch: lake.lineage("dmso_distances", batch).run_id for batch in finished}
        assert again == finished, "what was done stays as it was"
        assert "2 failed" in second.stdout
        repeated = [
            batch
            for batch in good
            if platform.instance.get_runs_count(
                dg.RunsFilter(tags={"dagster/partition": batch}, statuses=[dg.DagsterRunStatus.SUCCESS])
            )
            > 1 + (batch == "tc1")
        ]
        assert repeated == []
