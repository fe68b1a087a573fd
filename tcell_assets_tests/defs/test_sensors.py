"""New plates: what the sensor asks for, once, and what it leaves alone."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tcell_assets.commands.platform import Platform
from tcell_assets.defs.partitions import SCREENING_BATCHES
from tcell_assets.defs.sensors import build_sensors
from tcell_assets.landing.arrivals import scan_folder
from tcell_assets_tests.operations.small_installation import (
    ingest,
    land,
    prepared_platform,
    score,
    small_platform,
    spoil,
    train,
)


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with small_platform(tmp_path) as platform:
        yield platform


class Ticks:
    """Evaluates a sensor as the daemon does, handing each tick the cursor of the one before."""

    def __init__(self, platform: Platform, name: str = "new_plates") -> None:
        self.platform = platform
        sensors = build_sensors(platform.configuration.operations)
        self.sensor = next(sensor for sensor in sensors if sensor.name == name)
        self.cursor: str | None = None

    def tick(self) -> dg.SensorResult:
        resources = {
            name: resource
            for name, resource in (self.platform.definitions.resources or {}).items()
            if name in ("landing_zone", "storage")
        }
        with dg.build_sensor_context(
            instance=self.platform.instance, cursor=self.cursor, resources=resources
        ) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        for request in result.dynamic_partitions_requests or []:
            self.platform.instance.add_dynamic_partitions(SCREENING_BATCHES, list(request.partition_keys))
        return result

    def asked(self) -> list[str]:
        return [str(request.partition_key) for request in self.tick().run_requests or []]


def test_a_new_batch_becomes_a_partition_and_is_asked_for_once(platform: Platform) -> None:
    land(platform.configuration.data, "tc1")
    ticks = Ticks(platform)
    assert ticks.asked() == ["tc1"]
    assert platform.instance.get_dynamic_partitions(SCREENING_BATCHES) == ["tc1"]
    assert ticks.asked() == []


def test_without_a_model_a_batch_is_ingested_and_with_one_it_is_scored_too(platform: Platform) -> None:
    ticks = Ticks(platform)
    land(platform.configuration.data, "tc1")
    (request,) = ticks.tick().run_requests or []
    assert request.job_name == "ingest"
    ingest(platform, "tc1")
    train(platform)
    land(platform.configuration.data, "tc2")
    (request,) = ticks.tick().run_requests or []
    assert (request.partition_key, request.job_name) == ("tc2", "ingest_and_score")


def test_an_added_plate_asks_for_that_batch_alone_and_under_a_new_key(platform: Platform) -> None:
    data = platform.configuration.data
    land(data, "tc1")
    land(data, "tc2")
    ticks = Ticks(platform)
    before = {request.run_key for request in ticks.tick().run_requests or []}
    land(data, "tc1", ("A2",))
    (request,) = ticks.tick().run_requests or []
    assert request.partition_key == "tc1"
    assert request.run_key not in before


def test_content_that_comes_back_is_asked_for_under_a_key_of_its_own(platform: Platform) -> None:
    """Dagster never starts a second run of one key: A, B and A again need three."""
    data = platform.configuration.data
    keys = []
    ticks = Ticks(platform)
    land(data, "tc1")
    keys += [request.run_key for request in ticks.tick().run_requests or []]
    land(data, "tc1", ("A2",))
    keys += [request.run_key for request in ticks.tick().run_requests or []]
    shutil.rmtree(data / "tc1" / "A2")
    keys += [request.run_key for request in ticks.tick().run_requests or []]
    assert len(keys) == len(set(keys)) == 3


def test_a_touched_file_of_the_same_content_asks_for_nothing(platform: Platform) -> None:
    folder = land(platform.configuration.data, "tc1")
    ticks = Ticks(platform)
    ticks.tick()
    os.utime(folder / "A1" / "plate_map.csv", (1, 1))
    assert ticks.asked() == []


def test_a_batch_that_was_ingested_by_hand_is_not_asked_for(platform: Platform) -> None:
    land(platform.configuration.data, "tc1")
    ingest(platform, "tc1")
    assert Ticks(platform).asked() == []


def test_a_lost_cursor_asks_for_nothing_that_is_in_the_lake(platform: Platform) -> None:
    land(platform.configuration.data, "tc1")
    ingest(platform, "tc1")
    ticks = Ticks(platform)
    ticks.tick()
    ticks.cursor = None
    assert ticks.asked() == []


def test_a_broken_batch_is_asked_for_once_and_again_when_its_content_changes(platform: Platform) -> None:
    folder = land(platform.configuration.data, "tc1")
    spoil(folder)
    ticks = Ticks(platform)
    assert ticks.asked() == ["tc1"]
    assert ticks.asked() == []
    land(platform.configuration.data, "tc1")
    assert ticks.asked() == ["tc1"]


def test_requests_are_capped_and_the_rest_follows_in_the_next_ticks(tmp_path: Path) -> None:
    with small_platform(tmp_path, requests_per_tick=2) as platform:
        for batch in ("tc1", "tc2", "tc3"):
            land(platform.configuration.data, batch)
        ticks = Ticks(platform)
        assert [ticks.asked(), ticks.asked(), ticks.asked()] == [["tc1", "tc2"], ["tc3"], []]


def test_the_cursor_holds_batches_and_hashes_and_no_time(platform: Platform) -> None:
    land(platform.configuration.data, "tc1")
    ticks = Ticks(platform)
    ticks.tick()
    first, ticks.cursor = ticks.cursor, None
    ticks.tick()
    assert first == ticks.cursor
    assert list(json.loads(str(first))) == ["tc1"]


def test_a_folder_that_is_being_filled_waits_and_the_tick_says_so(tmp_path: Path) -> None:
    with small_platform(tmp_path, settle_seconds=3600) as platform:
        land(platform.configuration.data, "tc1")
        result = Ticks(platform).tick()
        assert not result.run_requests
        assert "tc1 waits: changed" in str(result.skip_reason)


def test_a_ready_marker_ends_the_wait(tmp_path: Path) -> None:
    with small_platform(tmp_path, settle_seconds=3600) as platform:
        (land(platform.configuration.data, "tc1") / "_READY").touch()
        assert Ticks(platform).asked() == ["tc1"]


def test_a_folder_settles_by_the_systems_time_not_by_that_of_the_copied_files(tmp_path: Path) -> None:
    folder = land(tmp_path, "tc1")
    for file in folder.rglob("*"):
        os.utime(file, (1, 1))
    scan = scan_folder(folder)
    assert scan.waits_for(time.time(), settle_seconds=60) is not None
    assert scan.waits_for(time.time() + 61, settle_seconds=60) is None


def test_a_ready_marker_does_not_vouch_for_what_came_long_after_it(tmp_path: Path) -> None:
    folder = land(tmp_path, "tc1")
    (folder / "_READY").touch()
    marked = scan_folder(folder)
    later = marked.__class__(
        marked.stamp, marked.n_files, marked.last_change + 600, marked.ready_since, marked.unfinished
    )
    assert marked.waits_for(time.time(), settle_seconds=60) is None
    assert later.waits_for(marked.last_change + 601, settle_seconds=60) == "changed 1 s ago"


@pytest.mark.parametrize("name", ["expression.csv.part", ".expression.csv.Xa3f", "A9/targets.csv.filepart"])
def test_a_running_copy_keeps_a_folder_waiting(tmp_path: Path, name: str) -> None:
    folder = land(tmp_path, "tc1")
    settled = scan_folder(folder).last_change + 60.001
    assert scan_folder(folder).waits_for(settled, settle_seconds=60) is None
    time.sleep(0.02)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"half")
    assert scan_folder(folder).waits_for(settled, settle_seconds=60) is not None


def test_a_half_named_copy_waits_however_old_it_is(tmp_path: Path) -> None:
    folder = land(tmp_path, "tc1")
    (folder / "expression.csv.part").write_bytes(b"half")
    reason = scan_folder(folder).waits_for(time.time() + 10**6, settle_seconds=60)
    assert reason == "holds an unfinished copy (expression.csv.part)"


def test_500_quiet_batches_cost_a_look_under_a_second(tmp_path: Path) -> None:
    with small_platform(tmp_path) as platform:
        folder = land(platform.configuration.data, "tc1")
        for number in range(2, 501):
            shutil.copytree(folder, platform.configuration.data / f"tc{number}", copy_function=os.link)
        ticks = Ticks(platform)
        state = {
            f"tc{number}": [scan_folder(platform.configuration.data / f"tc{number}").stamp, "x", 1]
            for number in range(1, 501)
        }
        ticks.cursor = json.dumps(state)
        started = time.process_time()
        result = ticks.tick()
        seconds = time.process_time() - started
        assert not result.run_requests
        print(f"a tick over 500 unchanged batches: {seconds:.2f} s CPU")


def test_the_screen_is_summed_up_after_batches_were_scored_and_not_again(tmp_path: Path) -> None:
    with prepared_platform(tmp_path) as platform:
        sensor = next(
            sensor
            for sensor in build_sensors(platform.configuration.operations)
            if sensor.name == "screen_tables"
        )

        def tick() -> object:
            resources = {"storage": platform.storage}
            with dg.build_sensor_context(instance=platform.instance, resources=resources) as context:
                return sensor(context)

        first, again = tick(), tick()
        assert isinstance(first, dg.RunRequest)
        assert isinstance(again, dg.RunRequest)
        assert first.run_key == again.run_key, "a run that failed is not repeated before something changes"
        job = platform.definitions.resolve_job_def("screen")
        under_way = platform.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
        assert isinstance(tick(), dg.SkipReason), (
            "tables of two states would ask for one more run at each look"
        )
        platform.instance.delete_run(under_way.run_id)
        for partition, waits in (("2026-01-01", False), ("tc1", True)):
            run = platform.instance.create_run_for_job(
                platform.definitions.resolve_job_def("score"),
                status=dg.DagsterRunStatus.STARTED,
                tags={"dagster/partition": partition},
            )
            assert isinstance(tick(), dg.SkipReason) == waits, "a run of another program is not waited for"
            platform.instance.delete_run(run.run_id)
        platform.run("screen")
        assert isinstance(tick(), dg.SkipReason)
        train(platform, epochs=2, validation_tolerance=10.0)
        assert isinstance(tick(), dg.SkipReason), "the new model has scored nothing that could be summed up"
        score(platform, "tc1")
        later = tick()
        assert isinstance(later, dg.RunRequest)
        assert later.run_key != first.run_key
