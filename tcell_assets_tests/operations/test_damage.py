"""Damage in the storage is a sentence that names the file and what mends it, and stops nothing that can go on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tcell_assets.commands.doctor import _models
from tcell_assets.commands.models import list_command
from tcell_assets.commands.platform import DamagedHistoryError, Platform, open_platform
from tcell_assets.defs.partitions import SCREENING_BATCHES
from tcell_assets.exports.report import screen_report
from tcell_assets.exports.sql import QueryError, run_query
from tcell_assets.lake.models import MANIFEST
from tcell_assets.system.files import StorageError
from tcell_assets_tests.operations.small_installation import make_configuration, prepared_platform, train


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Holds tc1 and tc2, ingested, trained on and scored."""
    with prepared_platform(tmp_path) as platform:
        yield platform


def _manifest(platform: Platform, version: str) -> Path:
    return Path(platform.storage.models().root.path) / version / MANIFEST


def test_a_damaged_manifest_of_an_old_model_is_named_and_the_rest_goes_on(platform: Platform) -> None:
    first = str(platform.storage.models().current())
    second = train(platform, epochs=2, validation_tolerance=10.0)
    assert second != first
    _manifest(platform, first).write_bytes(b"")
    assert any(
        first in finding.text and finding.state == "problem" for finding in _models(platform, deep=False)
    )
    assert b"<html" in screen_report(platform.storage.lake(), platform.storage.models())
    train(platform, epochs=3, validation_tolerance=10.0)


def test_a_report_without_its_models_manifest_says_so_and_shows_the_tables(platform: Platform) -> None:
    current = str(platform.storage.models().current())
    _manifest(platform, current).write_bytes(b"{}")
    page = screen_report(platform.storage.lake(), platform.storage.models()).decode()
    assert "names no batch_hashes" in page
    shutil.rmtree(_manifest(platform, current).parent)
    page = screen_report(platform.storage.lake(), platform.storage.models()).decode()
    assert f"the current model {current} is not there" in page


def test_models_list_names_what_is_damaged_beside_what_is_not(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = str(platform.storage.models().current())
    second = train(platform, epochs=2, validation_tolerance=10.0)
    _manifest(platform, first).write_bytes(b"not json")
    home = platform.configuration.home
    monkeypatch.setenv("TCELL_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "storage"))
    answer = CliRunner().invoke(list_command, [])
    assert answer.exit_code == 0, answer.output
    assert f"{first}/{MANIFEST}: cannot be read" in answer.output
    assert second in answer.output


def test_a_table_under_another_batches_name_is_refused_by_whoever_reads_it(platform: Platform) -> None:
    lake = platform.storage.lake()
    source = Path(lake.path("well_metadata", "tc1").path)
    shutil.copy(source, source.with_name("tc9.parquet"))
    said = r"tc9.parquet: is a copy of well_metadata of tc1"
    with pytest.raises(StorageError, match=said):
        lake.read("well_metadata", "tc9", ["well_id"])
    with pytest.raises(StorageError, match=said):
        lake.lineage("well_metadata", "tc9")
    with pytest.raises(QueryError, match=said):
        run_query(lake, "SELECT count(*) FROM well_metadata")


def test_a_partition_deleted_in_the_ui_comes_back_and_its_batch_never_left_the_screen(
    platform: Platform,
) -> None:
    from tcell_assets.defs.sensors import lost_partitions

    platform.instance.delete_dynamic_partition(SCREENING_BATCHES, "tc2")
    assert lost_partitions(platform.instance, platform.storage) == {"tc2"}
    platform.run("screen", selection=["gene_importance_ranking"])
    by_batch = platform.storage.lake().read("gene_importance_ranking")
    platform.register_landed_batches()
    assert "tc2" in platform.instance.get_dynamic_partitions(SCREENING_BATCHES)
    platform.run("screen", selection=["gene_importance_ranking"])
    assert platform.storage.lake().read("gene_importance_ranking").equals(by_batch)


@pytest.mark.parametrize("damage", [b"not a database" * 1000, b"SQLite format 3\x00" + b"\xff" * 8000])
def test_a_damaged_history_of_runs_is_a_sentence_and_costs_no_table(tmp_path: Path, damage: bytes) -> None:
    configuration = make_configuration(tmp_path)
    with open_platform(configuration) as platform:
        platform.register_landed_batches()
    databases = [file for file in configuration.dagster_home.rglob("*.db") if file.stat().st_size]
    assert databases
    for file in databases:
        whole = file.read_bytes()
        file.write_bytes(damage)
        for journal in file.parent.glob(f"{file.name}-*"):
            journal.unlink()
        with (
            pytest.raises(DamagedHistoryError, match="tables and models stay"),
            open_platform(configuration) as platform,
        ):
            platform.register_landed_batches()
            platform.instance.get_runs()
            platform.instance.all_instigator_state()
        file.write_bytes(whole)
    with open_platform(configuration) as platform:
        assert platform.instance.get_runs() == []
