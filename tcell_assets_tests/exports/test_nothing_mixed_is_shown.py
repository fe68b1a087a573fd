"""Report, exports and status of a screen that is behind: one model, and what is not current is said first."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform
from tcell_assets.exports.annotated_data import annotated_screen
from tcell_assets.exports.currentness import BehindError
from tcell_assets.exports.report import screen_report
from tcell_assets.installation.status import Status, look
from tcell_assets.lake.judge import Judge
from tcell_assets_tests.operations.small_installation import (
    ingest,
    land,
    prepared_platform,
    score,
    small_platform,
    train,
)


@pytest.fixture(scope="module")
def summed_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("summed_up")
    with prepared_platform(root) as platform:
        platform.run("screen")
    return root


@pytest.fixture(scope="module")
def rolled_back(summed_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m2 scored tc1 alone, the screen was summed up, and the pointer went back to m1."""
    root = tmp_path_factory.mktemp("rolled_back")
    shutil.copytree(summed_up, root, dirs_exist_ok=True)
    with small_platform(root) as platform:
        platform.register_landed_batches()
        train(platform, epochs=2, validation_tolerance=10.0)
        score(platform, "tc1")
        platform.run("screen")
        platform.storage.models().rollback(who="somebody", why="tc2 looks wrong")
    return root


@pytest.fixture
def platform(summed_up: Path, tmp_path: Path) -> Iterator[Platform]:
    shutil.copytree(summed_up, tmp_path, dirs_exist_ok=True)
    with small_platform(tmp_path) as platform:
        platform.register_landed_batches()
        yield platform


@pytest.fixture
def back(rolled_back: Path, tmp_path: Path) -> Iterator[Platform]:
    shutil.copytree(rolled_back, tmp_path, dirs_exist_ok=True)
    with small_platform(tmp_path) as platform:
        yield platform


def _status(platform: Platform) -> Status:
    lake, models = platform.storage.lake(), platform.storage.models()
    return look(platform.configuration.data, lake, models, 0.0, time.time())[0]


def _report(platform: Platform) -> str:
    return screen_report(platform.storage.lake(), platform.storage.models(), _status(platform)).decode()


def _data(report: str) -> dict[str, Any]:
    found = re.search(r'<script id="report-data" type="application/json">(.*?)</script>', report, re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


def test_a_current_screen_says_nothing_at_its_top(platform: Platform) -> None:
    report = _report(platform)
    assert "Not everything here is current" not in report
    assert _status(platform).is_current


def test_a_report_after_a_rollback_shows_nothing_of_the_other_model(back: Platform) -> None:
    lake, models = back.storage.lake(), back.storage.models()
    second = str(lake.lineage("hit_calls").model_version)
    assert second != models.current()
    report = _report(back)
    top = report[report.index("Not everything here is current") : report.index("<main>")]
    assert f"hit_calls: made with {second}, current is {models.current()}; tcell screen" in top
    assert "tcell backfill --batches tc1" in top
    assert set(_data(report)["wells"]["batch"]) == {"tc2"}
    assert "volcano" not in _data(report)


def test_the_loss_curve_is_the_shown_models(back: Platform) -> None:
    losses = _data(_report(back))["loss"]["curves"][0]["epoch"]
    assert losses == [1], "the first model was trained for one epoch, the one rolled back from for two"


def test_new_expression_beside_old_latents_is_said_and_not_exported(platform: Platform) -> None:
    pytest.importorskip("anndata")
    land(platform.configuration.data, "tc1", change=lambda expression: expression + 0.01)
    ingest(platform, "tc1")
    platform.run("screen")
    assert "expression_matrix of tc1 has changed" in _report(platform)
    lake, models = platform.storage.lake(), platform.storage.models()
    with pytest.raises(BehindError, match="latent_embeddings of tc1: expression_matrix of tc1 has changed"):
        annotated_screen(lake, models, with_umap=False)
    data = annotated_screen(lake, models, with_umap=False, as_is=True)
    assert any(
        "expression_matrix of tc1 has changed" in line
        for line in json.loads(data.uns["tcell_assets"]["behind"])
    )


def test_an_export_leaves_out_what_another_model_made(back: Platform) -> None:
    pytest.importorskip("anndata")
    data = annotated_screen(back.storage.lake(), back.storage.models(), with_umap=False, as_is=True)
    assert set(data.obs["batch"]) == {"tc2"}
    assert "hit_class" not in data.obs
    assert list(data.var.columns) == []


def test_published_files_written_as_they_are_say_so_in_their_first_column(
    back: Platform, tmp_path: Path
) -> None:
    from tcell_assets.exports.currentness import doubts_of
    from tcell_assets.exports.published import write_published_outputs
    from tcell_assets.science.model.trained_model import load_model

    lake, models = back.storage.lake(), back.storage.models()
    version = str(models.current())
    doubts = doubts_of(Judge(lake, models), ("latent_embeddings",), ["tc2"])
    wells = lake.read("well_metadata", "tc2", ["well_id"])["well_id"].tolist()
    folder = models.folder(version)
    behind = [doubt.text for doubt in doubts]
    files = write_published_outputs(
        lake, load_model(folder), folder, ["tc2"], wells, tmp_path / "files", trained=False, behind=behind
    )
    for file in files:
        table = pd.read_csv(file)
        assert table.columns[0] == "behind", file
        assert table["behind"].str.contains("tc1: not scored by").all(), file


def test_a_vanished_landing_folder_is_said_in_status_and_report(platform: Platform) -> None:
    shutil.rmtree(platform.configuration.data / "tc1")
    (gone,) = [batch for batch in _status(platform).batches if batch.batch == "tc1"]
    assert gone.state == "gone"
    assert "put the folder back" in gone.next_step
    assert "tc1: gone" in _report(platform)


def test_status_names_what_is_new_waits_and_is_behind(platform: Platform) -> None:
    land(platform.configuration.data, "tc3")
    train(platform, epochs=2, validation_tolerance=10.0)
    lake, models = platform.storage.lake(), platform.storage.models()
    status, _ = look(
        platform.configuration.data,
        lake,
        models,
        0.0,
        time.time(),
        {"tc2": "run 01234567 of score failed: no space"},
    )
    states = {batch.batch: (batch.state, batch.next_step) for batch in status.batches}
    assert states["tc1"] == ("behind", "tcell backfill --batches tc1")
    assert states["tc2"] == ("failed", "mend what it says, then `tcell backfill --batches tc2`")
    assert states["tc3"] == ("landed", "tcell backfill --batches tc3")
    waiting, _ = look(platform.configuration.data, lake, models, 3600.0, time.time())
    assert {batch.state for batch in waiting.batches} == {"waits"}
    assert json.loads(json.dumps(status.as_json()))["batches"][0]["batch"] == "tc1"
