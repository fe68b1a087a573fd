"""`tcell doctor` on an installation in memory's reach: well, then damaged in each way it looks for."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from upath import UPath

from tcell_assets.commands.doctor import doctor_command
from tcell_assets.lake.store import Lake, Lineage, content_hash
from tcell_assets.lake.tables import TABLES


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data" / "tc1").mkdir(parents=True)
    for variable in ("TCELL_DATA", "TCELL_STORAGE", "DAGSTER_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TCELL_HOME", str(tmp_path))
    return tmp_path


def _write_expression(home: Path) -> Path:
    import pandas as pd

    frame = pd.DataFrame({"well_id": ["tc1_A1_A1", "tc1_A1_A2"], "IL2RA": [1.5, 2.5]}).astype(
        {"IL2RA": "float32"}
    )
    table = TABLES["expression_matrix"].to_arrow(frame)
    lineage = Lineage(
        "expression_matrix", "tc1", run_id="r", code_version="1", data_version=content_hash(table)
    )
    return Path(str(Lake(UPath(home / "storage" / "lake")).write(table, lineage)))


def _doctor(*arguments: str) -> Result:
    return CliRunner().invoke(doctor_command, list(arguments))


def test_a_fresh_installation_is_well_and_is_told_what_comes_next(home: Path) -> None:
    examined = _doctor()
    assert examined.exit_code == 0, examined.output
    assert "all is well" in examined.output
    assert "no daemon" in examined.output
    assert "run `tcell train`" in examined.output
    assert "1 batches" in examined.output


def test_a_torn_table_is_named_with_the_command_that_rebuilds_it(home: Path) -> None:
    path = _write_expression(home)
    examined = _doctor("--deep")
    assert examined.exit_code == 0, examined.output
    path.write_bytes(path.read_bytes()[:-20])
    examined = _doctor()
    assert examined.exit_code == 1
    assert str(path) in examined.output
    assert "rebuild it: tcell ingest tc1" in examined.output


def test_values_that_were_changed_behind_the_platforms_back_are_found_by_deep(home: Path) -> None:
    path = _write_expression(home)
    table = pq.read_table(path)
    changed = table.set_column(
        1, table.schema.field(1), table.column(1).cast("float64").cast("float32").take([1, 0])
    )
    pq.write_table(changed, path)
    examined = _doctor()
    assert examined.exit_code == 0, f"the footer is whole: {examined.output}"
    examined = _doctor("--deep")
    assert examined.exit_code == 1
    assert "content hash differs" in examined.output
    assert "tcell ingest tc1" in examined.output


def test_leftovers_of_killed_writers_are_swept(home: Path) -> None:
    path = _write_expression(home)
    leftover = path.with_name(".tc1.parquet.1073741823-0123abcd.writing")
    leftover.write_bytes(b"half")
    examined = _doctor()
    assert examined.exit_code == 0, examined.output
    assert not leftover.exists()


def test_a_vanished_storage_is_named_with_what_to_do(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = home / "mounted"
    monkeypatch.setenv("TCELL_STORAGE", str(mounted))
    examined = _doctor()
    assert examined.exit_code == 0, examined.output
    mounted.rename(home / "unmounted")
    mounted.mkdir()
    examined = _doctor()
    assert examined.exit_code == 1
    assert "Is its disk mounted?" in examined.output
    assert list(mounted.iterdir()) == []


def test_a_folder_that_is_no_batch_is_a_finding(home: Path) -> None:
    (home / "data" / "my batch").mkdir()
    examined = _doctor()
    assert examined.exit_code == 1
    assert "rename the folder" in examined.output
