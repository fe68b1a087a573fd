"""What runs by itself, with a real daemon and a real DAGSTER_HOME: plates arrive, and the screen follows."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator

import dagster as dg
import pytest

from tcell_assets.defs.partitions import SCREENING_BATCHES
from tcell_assets.lake.stages import INGEST, SCORE
from tcell_assets.lake.tables import tables_made_by
from tcell_assets_tests.operations.daemon import Daemon, real_daemon
from tcell_assets_tests.operations.small_installation import ingest, land, spoil, train

pytestmark = pytest.mark.slow

FAILURE, SUCCESS = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A running daemon with a model, trained on a batch tc1 that lies in the landing zone."""
    with real_daemon(tmp_path_factory.mktemp("new_plates"), TCELL_NEW_PLATES="on") as daemon:
        land(daemon.data, "tc1")
        ingest(daemon.platform, "tc1")
        train(daemon.platform)
        daemon.start()
        yield daemon


def test_a_dropped_batch_becomes_a_partition_with_every_table(daemon: Daemon) -> None:
    land(daemon.data, "tc2")
    daemon.wait_until(lambda: daemon.succeeded("tc2"), "tc2 is scored")
    assert "tc2" in daemon.platform.instance.get_dynamic_partitions(SCREENING_BATCHES)
    lake = daemon.platform.storage.lake()
    assert all(lake.exists(table, "tc2") for table in tables_made_by(INGEST, SCORE))
    assert daemon.model_of("tc2") == daemon.platform.storage.models().current()


def test_an_added_plate_runs_that_batch_again_and_no_other(daemon: Daemon) -> None:
    land(daemon.data, "tc3")
    daemon.wait_until(lambda: daemon.succeeded("tc3"), "tc3 is scored")
    before = Counter(run.tags.get("dagster/partition") for run in daemon.runs())
    land(daemon.data, "tc3", ("A2",))
    daemon.wait_until(lambda: len(daemon.succeeded("tc3")) == 2, "tc3 is scored again")
    after = Counter(run.tags.get("dagster/partition") for run in daemon.runs())
    del before[None], after[None]  # runs that sum up the screen
    assert after - before == Counter({"tc3": 1})
    assert set(daemon.platform.storage.lake().read("well_metadata", "tc3")["plate"]) == {"A1", "A2"}


def test_a_slow_copy_is_left_alone_until_it_has_ended(daemon: Daemon) -> None:
    """Files come one a second for longer than the settle time of 3 s and several looks of the sensor."""
    source = land(daemon.platform.configuration.home / "elsewhere", "tc4")
    for file in sorted(path for path in source.rglob("*") if path.is_file()) * 2:
        target = daemon.data / "tc4" / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        last = time.time()
        time.sleep(1)
    daemon.wait_until(lambda: daemon.succeeded("tc4"), "tc4 is scored")
    runs = daemon.platform.instance.get_run_records(dg.RunsFilter(tags={"dagster/partition": "tc4"}))
    assert len(runs) == 1
    assert runs[0].create_timestamp.timestamp() >= last + 3


def test_a_broken_batch_fails_with_its_problems_and_blocks_no_other(daemon: Daemon) -> None:
    lake = daemon.platform.storage.lake()
    broken = daemon.platform.configuration.home / "broken"
    spoil(land(broken, "tc5", n_batches=8))
    (broken / "tc5").rename(daemon.data / "tc5")
    land(daemon.data, "tc6", n_batches=8)
    daemon.wait_until(
        lambda: daemon.runs("tc5", FAILURE) and daemon.succeeded("tc6"), "tc5 failed, tc6 is scored"
    )
    (failed,) = daemon.runs("tc5")
    messages = [entry.message for entry in daemon.platform.instance.all_logs(failed.run_id)]
    events = str([entry.dagster_event for entry in daemon.platform.instance.all_logs(failed.run_id)])
    assert "batch 'tc5' cannot be read" in events + "".join(messages)
    assert not any(lake.exists(table, "tc5") for table in tables_made_by(INGEST, SCORE))

    land(daemon.data, "tc5", n_batches=8)
    daemon.wait_until(lambda: daemon.succeeded("tc5"), "tc5 is scored once it is mended")
    assert len(daemon.runs("tc5")) == 2


def test_the_screen_is_summed_up_over_what_was_scored(daemon: Daemon) -> None:
    def holds_every_batch() -> bool:
        lake = daemon.platform.storage.lake()
        scored = {batch for batch in lake.batches("dmso_distances")}
        wells = sum(len(lake.read("dmso_distances", batch)) for batch in scored)
        return lake.exists("metabolite_scores") and wells > 0 and not daemon.runs(None, *_UNDER_WAY)

    daemon.wait_until(holds_every_batch, "the screen tables are there")
    lake = daemon.platform.storage.lake()
    newest = max(lake.path("dmso_distances", b).stat().st_mtime for b in lake.batches("dmso_distances"))
    daemon.wait_until(
        lambda: lake.path("metabolite_scores").stat().st_mtime > newest, "the screen tables are the newest"
    )


_UNDER_WAY = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
)
