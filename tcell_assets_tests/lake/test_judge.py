"""Whether a table is current: each line of what once came out stale or mixed, as a question to the one judge."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform
from tcell_assets.installation.operations import survey
from tcell_assets.lake.judge import Judge
from tcell_assets.lake.store import Lake, Lineage, content_hash
from tcell_assets.lake.tables import TABLES
from tcell_assets_tests.operations.small_installation import (
    ingest,
    land,
    prepared_platform,
    score,
    small_platform,
    train,
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two batches scored with one model and summed up; the tables nobody asked for are there, without a row."""
    root = tmp_path_factory.mktemp("finished")
    with prepared_platform(root) as platform:
        lake, version = platform.storage.lake(), str(platform.storage.models().current())
        # Predictions look for these, so they are there before.
        _write_empty(lake, "prediction_intervals", None, version)
        _write_empty(lake, "ensemble_members", None, "another model")
        score(platform, "tc1")
        score(platform, "tc2")
        platform.run("screen")
        for asset, table in TABLES.items():
            for batch in ("tc1", "tc2") if table.partitioned else (None,):
                if not lake.exists(asset, batch):
                    _write_empty(lake, asset, batch, version)
    return root


def _write_empty(lake: Lake, asset: str, batch: str | None, version: str) -> None:
    empty = TABLES[asset].to_arrow(pd.DataFrame({column.name: [] for column in TABLES[asset].columns}))
    lineage = Lineage(
        asset, batch, "run", TABLES[asset].code_version, content_hash(empty), version, inputs={}, batches={}
    )
    lake.write(empty, lineage)


@pytest.fixture
def platform(finished: Path, tmp_path: Path) -> Iterator[Platform]:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    with small_platform(tmp_path) as platform:
        platform.register_landed_batches()
        yield platform


def _judge(platform: Platform) -> Judge:
    return Judge(platform.storage.lake(), platform.storage.models())


def _reason(platform: Platform, asset: str, batch: str | None = None) -> str:
    reason = _judge(platform).reason(asset, batch)
    return reason.text if reason is not None else "current"


def _seen_by_a_night(platform: Platform) -> dict[str, str]:
    """Return every table a night does something about or names, with the reason."""
    needs = survey(
        platform.configuration.data,
        platform.storage.lake(),
        platform.storage.models(),
        platform.configuration.operations,
        time.time() + 3600,
    )
    seen = {asset: reason for work in needs.work for asset, reason in work.stale.items()}
    seen |= {table.asset: table.reason.text for table in (*needs.screen, *needs.asked_for)}
    return seen


def test_what_was_just_made_is_current(platform: Platform) -> None:
    judge = _judge(platform)
    places = [
        (asset, batch)
        for asset, table in TABLES.items()
        for batch in (("tc1", "tc2") if table.partitioned else (None,))
    ]
    assert {found.asset for found in judge.behind(places)} == {"ensemble_members"}, "it is another model's"


@pytest.mark.parametrize("asset", sorted(TABLES))
def test_a_raised_code_version_of_any_table_is_seen_by_the_night(
    finished: Path, monkeypatch: pytest.MonkeyPatch, asset: str
) -> None:
    declared = vars(TABLES)["_declared"]
    monkeypatch.setitem(declared, asset, replace(declared[asset], code_version="raised"))
    with small_platform(finished) as platform:
        assert _seen_by_a_night(platform)[asset] == "made by older code"


def test_a_footer_names_the_data_version_of_every_table_it_was_made_from(platform: Platform) -> None:
    lake = platform.storage.lake()
    inputs = lake.lineage("adjusted_embeddings", "tc1").inputs
    assert inputs == {
        f"{asset}/tc1": lake.lineage(asset, "tc1").data_version
        for asset in ("latent_embeddings", "position_audit", "well_metadata", "well_qc")
    }
    assert set(lake.lineage("gene_importance_ranking").inputs or {}) == {
        "gene_importance/tc1",
        "gene_importance/tc2",
    }


def test_a_batch_scored_by_a_new_model_alone_leaves_the_screen_behind_after_a_rollback(
    platform: Platform,
) -> None:
    """Hits of m2 made from b1 alone do not pass for m1's once the pointer is m1's again."""
    models = platform.storage.models()
    first = str(models.current())
    second = train(platform, epochs=2, validation_tolerance=10.0)
    score(platform, "tc1")
    platform.run("screen")
    assert _reason(platform, "hit_calls") == "current"
    models.rollback(who="somebody", why="b2 looks wrong")
    assert _reason(platform, "hit_calls") == f"made with {second}, current is {first}"
    assert _reason(platform, "latent_embeddings", "tc1") == f"made with {second}, current is {first}"
    assert _reason(platform, "latent_embeddings", "tc2") == "current"


def test_a_corrected_batch_that_was_not_scored_again_leaves_its_scores_and_the_screen_behind(
    platform: Platform,
) -> None:
    land(platform.configuration.data, "tc1", change=lambda expression: expression + 0.01)
    ingest(platform, "tc1")
    assert _reason(platform, "latent_embeddings", "tc1") == "expression_matrix of tc1 has changed"
    platform.run("screen")
    assert "latent_embeddings of tc1 is behind" in _reason(platform, "hit_calls")


def test_a_batch_scored_while_the_screen_is_summed_up_leaves_its_tables_behind(platform: Platform) -> None:
    land(platform.configuration.data, "tc3")
    ingest(platform, "tc3")
    score(platform, "tc3")
    assert _reason(platform, "latent_map") == "made without tc3"
    assert _reason(platform, "latent_map_reference") == "made without tc3"


def test_no_clock_and_no_modification_time_decides(platform: Platform) -> None:
    for path in Path(platform.configuration.storage).rglob("*.parquet"):
        os.utime(path, (1, 1))
    os.utime(platform.storage.lake().path("latent_embeddings", "tc1").path, (2e9, 2e9))
    assert _reason(platform, "hit_calls") == "current"


def test_a_vanished_landing_folder_is_a_reason_of_all_that_rests_on_it(platform: Platform) -> None:
    judge = Judge(platform.storage.lake(), platform.storage.models(), {"tc2": None})
    reason = judge.reason("well_metadata", "tc1")
    assert reason is not None and reason.text == "the landing folder of tc1 is gone"
    assert judge.reason("hit_calls") is not None
    assert judge.reason("well_metadata", "tc2") is None


def test_an_ensemble_that_appears_leaves_predictions_behind(platform: Platform) -> None:
    lake = platform.storage.lake()
    lake.path("ensemble_members").unlink()
    score(platform, "tc1")
    assert _reason(platform, "well_predictions", "tc1") == "current"
    _write_empty(lake, "ensemble_members", None, str(platform.storage.models().current()))
    assert _reason(platform, "well_predictions", "tc1") == "ensemble_members is new"


def test_tables_of_before_footers_named_inputs_are_judged_by_what_they_say(platform: Platform) -> None:
    lake = platform.storage.lake()
    for asset, batch in (("well_predictions", "tc1"), ("hit_calls", None)):
        lineage = lake.lineage(asset, batch)
        lake.write(lake.read_arrow(asset, batch), replace(lineage, inputs=None, batches=None))
    assert _reason(platform, "well_predictions", "tc1") == "current"
    assert "does not say what it was made from" in _reason(platform, "hit_calls")
    land(platform.configuration.data, "tc1", change=lambda expression: expression + 0.01)
    ingest(platform, "tc1")
    assert _reason(platform, "well_predictions", "tc1") == "the batch was ingested anew"


def test_a_copy_of_a_table_under_another_name_is_none_of_that_name(platform: Platform) -> None:
    lake = platform.storage.lake()
    shutil.copy(lake.path("well_qc", "tc1").path, lake.path("well_qc", "tc2").path)
    assert "is a copy of well_qc of tc1" in _reason(platform, "well_qc", "tc2")
