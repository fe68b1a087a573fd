"""A batch that is forgotten is used by nothing, whatever lies in the landing zone; restored it is as it was."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tcell_assets.commands.doctor import _landing_zone
from tcell_assets.commands.forget import forget_batch, restore_batch
from tcell_assets.commands.platform import Platform, RunFailedError
from tcell_assets.defs.partitions import SCREENING_BATCHES
from tcell_assets.installation.operations import decide_training, find_arrivals, survey, vanished_batches
from tcell_assets.lake.archive import end_interrupted_move, forgotten_batches, is_move_unfinished
from tcell_assets.lake.staleness import training_set
from tcell_assets.lake.tables import TABLES
from tcell_assets_tests.operations.small_installation import CORE_INGEST, prepared_platform


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Holds tc1 and tc2, ingested, trained on and scored."""
    with prepared_platform(tmp_path) as platform:
        yield platform


def _tables(platform: Platform, batch: str) -> dict[str, bytes]:
    lake = platform.storage.lake()
    return {
        asset: lake.path(asset, batch).read_bytes()
        for asset, table in TABLES.items()
        if table.partitioned and lake.exists(asset, batch)
    }


def test_a_forgotten_batch_is_in_no_table_and_no_training_set(platform: Platform) -> None:
    forget_batch(platform, "tc2", "swapped plates")
    assert _tables(platform, "tc2") == {}
    assert list(training_set(platform.storage.lake())) == ["tc1"]
    decision = decide_training(platform.storage.lake(), platform.storage.models())
    assert (decision.train, decision.reason) == (True, "removed: tc2")


def test_nights_sensors_and_new_runs_leave_a_forgotten_batch_alone_though_its_folder_is_there(
    platform: Platform,
) -> None:
    forget_batch(platform, "tc2")
    data, lake, settings = (
        platform.configuration.data,
        platform.storage.lake(),
        platform.configuration.operations,
    )
    arrivals = find_arrivals(data, lake, {}, settings, time.time() + 3600)
    assert arrivals.arrivals == ()
    assert "folder tc2 was forgotten" in arrivals.summary()
    assert survey(data, lake, platform.storage.models(), settings, time.time() + 3600).work == ()
    assert platform.register_landed_batches() == ["tc1"]
    with pytest.raises(RunFailedError, match=r"tc2 was forgotten by .* tcell forget --restore tc2"):
        platform.run("ingest", "tc2", selection=CORE_INGEST)
    assert _tables(platform, "tc2") == {}


def test_its_partition_stays_with_its_history(platform: Platform) -> None:
    forget_batch(platform, "tc2")
    assert "tc2" in platform.instance.get_dynamic_partitions(SCREENING_BATCHES)


def test_a_restored_batch_is_as_it_was(platform: Platform) -> None:
    before, trained_on = _tables(platform, "tc2"), training_set(platform.storage.lake())
    forget_batch(platform, "tc2", "why not")
    restore_batch(platform, "tc2")
    assert _tables(platform, "tc2") == before
    assert training_set(platform.storage.lake()) == trained_on
    assert forgotten_batches(platform.storage.lake()) == {}
    assert vanished_batches(platform.configuration.data, platform.storage.lake()) == []


def test_what_cannot_be_forgotten_or_restored_is_said(platform: Platform) -> None:
    with pytest.raises(click.ClickException, match="tc9: not among tc1, tc2"):
        forget_batch(platform, "tc9")
    with pytest.raises(click.ClickException, match="tc1 was not forgotten; forgotten batches: none"):
        restore_batch(platform, "tc1")
    forget_batch(platform, "tc1", "bad")
    with pytest.raises(
        click.ClickException, match=r"tc1 was forgotten by .*: bad; tcell forget --restore tc1"
    ):
        forget_batch(platform, "tc1")


@pytest.mark.parametrize("restoring", [False, True])
def test_a_move_that_was_killed_half_way_is_ended_by_the_next_command(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, restoring: bool
) -> None:
    from tcell_assets.lake import archive

    before = _tables(platform, "tc2")
    if restoring:
        forget_batch(platform, "tc2")
    moves: list[object] = []
    move = archive._move

    def killed(source: object, target: object) -> None:
        if len(moves) == 3:
            raise KeyboardInterrupt
        moves.append(source)
        move(source, target)  # type: ignore[arg-type]

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(archive, "_move", killed)
        (restore_batch if restoring else forget_batch)(platform, "tc2")
    lake = platform.storage.lake()
    assert is_move_unfinished(lake, forgotten_batches(lake)["tc2"])
    platform.clear_up()
    assert _tables(platform, "tc2") == (before if restoring else {})
    assert ("tc2" in forgotten_batches(lake)) is not restoring
    end_interrupted_move(lake, "tc2")
    assert _tables(platform, "tc2") == (before if restoring else {})


def test_a_landing_folder_that_vanished_is_said_with_what_mends_it(platform: Platform) -> None:
    shutil.rmtree(platform.configuration.data / "tc2")
    findings = {finding.text: finding for finding in _landing_zone(platform)}
    gone = findings["the landing folder of tc2 is gone, and its tables still count"]
    assert (gone.state, "tcell forget tc2" in gone.fix) == ("problem", True)
    forget_batch(platform, "tc2")
    assert not any("is gone" in finding.text for finding in _landing_zone(platform))
