"""Night and week: what is asked for, what is left alone, and which reason is given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from upath import UPath

from tcell_assets.commands.platform import Platform, RunFailedError
from tcell_assets.defs.schedules import (
    MOST_FAILURES,
    Night,
    build_schedules,
    current_training_config,
    plan_night,
)
from tcell_assets.installation.configuration import ConfigurationError, OperationSettings, load_configuration
from tcell_assets.lake.models import ModelRegistry
from tcell_assets.lake.staleness import training_difference
from tcell_assets.science.model.settings import TrainingRequest, settings_for_preset
from tcell_assets_tests.operations.small_installation import (
    TINY_NETWORK,
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


@pytest.fixture
def scored(tmp_path: Path) -> Iterator[Platform]:
    """An installation whose two batches are up to date."""
    with prepared_platform(tmp_path) as platform:
        yield platform


def _week(platform: Platform) -> dg.RunRequest | str:
    """Return the training the weekly schedule asks for, or why it does not."""
    resources = platform.definitions.resources or {}
    with dg.build_schedule_context(
        instance=platform.instance,
        scheduled_execution_time=datetime(2026, 3, 1, tzinfo=UTC),
        resources={"storage": resources["storage"]},
    ) as context:
        data = platform.definitions.resolve_schedule_def("weekly").evaluate_tick(context)
    return data.run_requests[0] if data.run_requests else str(data.skip_message)


def _night(platform: Platform) -> Night:
    configuration = platform.configuration
    return plan_night(
        platform.instance,
        platform.definitions.get_repository_def(),
        configuration.data,
        platform.storage,
        configuration.operations,
    )


def _asked(platform: Platform) -> dict[str, set[str]]:
    """Return the assets a night asks for by batch; an empty set stands for the whole job."""
    return {
        str(request.partition_key): {key.to_user_string() for key in request.asset_selection or []}
        for request in _night(platform).requests
    }


def test_a_night_with_nothing_to_do_says_so(scored: Platform) -> None:
    night = _night(scored)
    assert not night.requests
    assert night.summary().startswith("of 2 batches none has new or changed plates")


def test_a_changed_batch_is_ingested_and_scored_at_night_and_no_other(scored: Platform) -> None:
    land(scored.configuration.data, "tc2", ("A2",))
    assert _asked(scored) == {"tc2": set()}


def test_a_new_model_scores_every_batch_again_without_reading_its_files(scored: Platform) -> None:
    train(scored, epochs=2, validation_tolerance=10.0)
    asked = _asked(scored)
    assert set(asked) == {"tc1", "tc2"}
    assert "well_predictions" in asked["tc1"]
    assert "expression_matrix" not in asked["tc1"]


def test_a_batch_without_its_folder_is_scored_by_a_new_model_all_the_same(scored: Platform) -> None:
    shutil.rmtree(scored.configuration.data / "tc1")
    train(scored, epochs=2, validation_tolerance=10.0)
    assert set(_asked(scored)) == {"tc1", "tc2"}


def test_a_rollback_leaves_what_the_earlier_model_scored_alone(scored: Platform) -> None:
    train(scored, epochs=2, validation_tolerance=10.0)
    score(scored, "tc2")
    scored.storage.models().rollback(who="Ada", why="test")
    assert set(_asked(scored)) == {"tc2"}


def test_a_batch_known_to_be_broken_is_left_alone_until_it_changes(scored: Platform) -> None:
    spoil(land(scored.configuration.data, "tc3"))
    with pytest.raises(RunFailedError):
        ingest(scored, "tc3")
    assert "problems in its files, unchanged since" in _night(scored).left_alone
    land(scored.configuration.data, "tc3")
    assert set(_asked(scored)) == {"tc3"}


def test_a_batch_that_failed_night_after_night_waits_for_a_person(scored: Platform) -> None:
    land(scored.configuration.data, "tc3")
    for _ in range(MOST_FAILURES):
        (request,) = _night(scored).requests
        run = scored.instance.create_run_for_job(
            scored.definitions.resolve_job_def("ingest"), tags=dict(request.tags)
        )
        scored.instance.report_run_failed(run)
    assert f"tc3 (failed {MOST_FAILURES} times" in _night(scored).left_alone


def test_a_batch_that_is_under_way_is_not_asked_for_twice(scored: Platform) -> None:
    land(scored.configuration.data, "tc3")
    (request,) = _night(scored).requests
    scored.instance.create_run_for_job(
        scored.definitions.resolve_job_def("ingest"),
        tags=dict(request.tags),
        status=dg.DagsterRunStatus.STARTED,
    )
    assert "tc3 (is under way)" in _night(scored).left_alone


def test_a_folder_that_is_being_filled_waits_for_the_next_night(tmp_path: Path) -> None:
    with small_platform(tmp_path, settle_seconds=3600) as platform:
        land(platform.configuration.data, "tc1")
        assert "tc1 (changed" in _night(platform).left_alone


def test_before_the_first_model_a_night_only_ingests(platform: Platform) -> None:
    land(platform.configuration.data, "tc1")
    asked = _asked(platform)
    assert "expression_matrix" in asked["tc1"]
    assert "well_predictions" not in asked["tc1"]


def test_a_week_without_a_change_trains_nothing_and_says_so(scored: Platform) -> None:
    assert "was trained on exactly these 2 batches" in str(_week(scored))


def test_an_added_batch_trains_with_the_current_models_settings(scored: Platform) -> None:
    land(scored.configuration.data, "tc3")
    ingest(scored, "tc3")
    request = _week(scored)
    assert isinstance(request, dg.RunRequest)
    assert request.tags["tcell/training_set"] == "added: tc3"
    config = request.run_config["ops"]["train_model"]["config"]
    assert {name: config[name] for name in TINY_NETWORK} == TINY_NETWORK
    scored.run("train", config=request.run_config)
    assert "was trained on" in str(_week(scored))


def test_a_training_set_that_a_rolled_back_model_knows_is_not_trained_again(scored: Platform) -> None:
    land(scored.configuration.data, "tc3")
    ingest(scored, "tc3")
    version = train(scored, validation_tolerance=10.0)
    scored.storage.models().rollback(who="Ada", why="test")
    assert f"{version} was trained on these batches already" in str(_week(scored))


def test_no_targets_mean_no_training(platform: Platform) -> None:
    folder = land(platform.configuration.data, "tc1")
    (folder / "A1" / "targets.csv").unlink()
    ingest(platform, "tc1")
    assert _week(platform) == "no training: no ingested batch has targets"


def test_a_training_set_differs_by_added_removed_and_changed_batches() -> None:
    before = {"tc1": "a", "tc2": "b", "tc3": "c"}
    now = {"tc2": "b", "tc3": "d", "tc4": "e"}
    assert training_difference(before, now) == "added: tc4; removed: tc1; changed: tc3"
    assert training_difference(before, dict(before)) == ""


def test_crons_time_zone_and_switches_are_configuration() -> None:
    settings = load_configuration(
        {
            "TCELL_HOME": ".",
            "TCELL_NIGHTLY_CRON": "30 1 * * *",
            "TCELL_TIME_ZONE": "Europe/Berlin",
            "TCELL_WEEKLY": "off",
        }
    ).operations
    nightly, weekly = build_schedules(settings)
    assert (nightly.cron_schedule, nightly.execution_timezone) == ("30 1 * * *", "Europe/Berlin")
    assert nightly.default_status == dg.DefaultScheduleStatus.RUNNING
    assert weekly.default_status == dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(
    ("name", "value"),
    [("TCELL_TIME_ZONE", "Berlin"), ("TCELL_NIGHTLY", "maybe"), ("TCELL_SETTLE_SECONDS", "-1")],
)
def test_an_unusable_setting_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name}='?{value}"):
        load_configuration({"TCELL_HOME": ".", name: value})


def test_a_cron_string_that_is_none_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="TCELL_NIGHTLY_CRON='at night'"):
        build_schedules(OperationSettings(nightly_cron="at night"))


def test_the_weekly_training_repeats_the_method_of_a_model_from_before_the_ridge_start(
    tmp_path: Path,
) -> None:
    """Its manifest knows neither `linear_start` nor `architecture`; the preset of its name is another network today."""
    method = replace(
        settings_for_preset(
            "ridge_start", linear_start="zero", learning_rate=1e-3, inner_fraction=0.15, linear_path=False
        ),
        preset="recommended",
    )
    assert "architecture" not in method.as_json()["network"]
    assert "linear_start" not in method.as_json()
    models = ModelRegistry(UPath(tmp_path))

    def save(folder: UPath) -> None:
        folder.mkdir(parents=True)
        whole = {"settings": method.as_json(), "batch_hashes": {}, "genes": [], "created_at": "", "files": {}}
        (folder / "manifest.json").write_text(json.dumps(whole))

    models.add("model-before", save)
    models.promote("model-before", who="a test", why="it is current")
    assert TrainingRequest.form().filled(current_training_config(models)).training == method
