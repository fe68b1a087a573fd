"""The Parquet lake: what is written comes back, with its lineage, and bad tables never get in."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from upath import UPath

from tcell_assets.lake.schema import SchemaError
from tcell_assets.lake.store import Lake, Lineage, MissingTableError, content_hash
from tcell_assets.lake.tables import TABLES
from tcell_assets.system.files import StorageError


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(UPath(tmp_path))


def _lineage(asset: str, batch: str | None = None, **more: object) -> Lineage:
    return Lineage(asset, batch, run_id="run-1", code_version="1", data_version="abc", **more)  # type: ignore[arg-type]


def _wells(n: int = 3) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "well_id": [f"tc1_A1_A{i + 1}" for i in range(n)],
            "batch": "tc1",
            "plate": "A1",
            "well": [f"A{i + 1}" for i in range(n)],
            "row": "A",
            "column": range(1, n + 1),
            "is_edge": True,
            "metabolite": ["DMSO", "β-Alanine", "2,6-Diaminoheptanedioic acid"][:n],
            "is_dmso": [True, False, False][:n],
            "cluster": [None, "C1", "C2"][:n],
            "tscore": [0.1, np.nan, -1.5][:n],
            "cytotrace": [0.1, np.nan, -1.5][:n],
            "pseudotime": [0.1, np.nan, -1.5][:n],
            "is_activated": pd.array([True, None, False][:n], dtype="boolean"),
            "activation_score": [0.3, np.nan, -4.5][:n],
        }
    ).reindex(columns=[column.name for column in TABLES["well_metadata"].columns])


def test_a_table_comes_back_as_it_was_written(lake: Lake) -> None:
    wells = _wells()
    lake.write(wells, _lineage("well_metadata", "tc1"))
    read = lake.read("well_metadata", "tc1")
    assert read["metabolite"].tolist() == wells["metabolite"].tolist()
    assert read["tscore"].tolist()[::2] == [0.1, -1.5]
    assert np.isnan(read["tscore"][1])
    assert [read["is_activated"][i] for i in (0, 2)] == [True, False]
    assert pd.isna(read["is_activated"][1])


def test_an_expression_matrix_of_any_genes_comes_back_bit_for_bit(lake: Lake) -> None:
    values = np.random.default_rng(0).normal(size=(4, 50)).astype(np.float32)
    genes = [f'gene,{i} "quoted" β' for i in range(50)]
    frame = pd.DataFrame(
        values, columns=genes, index=pd.Index([f"tc1_A1_A{i}" for i in range(4)], name="well_id")
    )
    lake.write(frame.reset_index(), _lineage("expression_matrix", "tc1"))
    pd.testing.assert_frame_equal(lake.expression("tc1"), frame, check_exact=True)
    assert lake.genes("tc1") == genes
    assert lake.expression("tc1", genes[::-1][:3]).columns.tolist() == genes[::-1][:3]


def test_lineage_in_the_footer_is_plain_json_that_any_parquet_reader_shows(lake: Lake) -> None:
    lineage = _lineage("well_metadata", "tc1", model_version="model-1", training_batches={"tc1": "f00"})
    path = lake.write(_wells(), lineage)
    footer = json.loads(pq.read_schema(str(path)).metadata[b"tcell_assets"])
    assert footer["asset"] == "well_metadata"
    assert footer["batch"] == "tc1"
    assert footer["run_id"] == "run-1"
    assert footer["code_version"] == "1"
    assert footer["data_version"] == "abc"
    assert footer["model_version"] == "model-1"
    assert footer["training_batches"] == {"tc1": "f00"}
    assert lake.lineage("well_metadata", "tc1") == lineage


def test_files_lie_at_asset_slash_batch_and_screen_tables_at_the_top(lake: Lake) -> None:
    assert lake.path("dmso_distances", "tc1") == lake.root / "dmso_distances" / "tc1.parquet"
    assert lake.path("metabolite_scores") == lake.root / "metabolite_scores.parquet"
    with pytest.raises(ValueError, match="one file a batch"):
        lake.path("dmso_distances")
    with pytest.raises(ValueError, match="one file for the screen"):
        lake.path("metabolite_scores", "tc1")


def test_the_columns_of_a_frame_may_stand_in_any_order(lake: Lake) -> None:
    lake.write(_wells()[_wells().columns[::-1]], _lineage("well_metadata", "tc1"))
    pd.testing.assert_frame_equal(
        lake.read("well_metadata", "tc1"), TABLES["well_metadata"].to_arrow(_wells()).to_pandas()
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda wells: wells.drop(columns="plate"), r"columns missing \['plate'\]"),
        (lambda wells: wells.assign(colour="red"), r"unknown \['colour'\]"),
        (lambda wells: wells.assign(column="five"), "well_metadata"),
        (lambda wells: wells.assign(metabolite=None), "no metabolite"),
        (lambda wells: wells.assign(well_id="tc1_A1_A1"), "more than one row"),
    ],
)
def test_a_frame_that_does_not_fit_its_table_is_refused_and_nothing_is_written(
    lake: Lake, change: object, message: str
) -> None:
    with pytest.raises(SchemaError, match=message):
        lake.write(change(_wells()), _lineage("well_metadata", "tc1"))  # type: ignore[operator]
    assert not (lake.root / "well_metadata").exists()


def test_a_missing_table_says_what_to_do(lake: Lake) -> None:
    with pytest.raises(MissingTableError, match="materialize"):
        lake.read("well_metadata", "tc9")


def test_a_torn_file_is_named(lake: Lake) -> None:
    path = lake.write(_wells(), _lineage("well_metadata", "tc1"))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(StorageError, match=r"tc1\.parquet.*cannot be read"):
        lake.read("well_metadata", "tc1")


def test_the_content_hash_follows_values_not_layout() -> None:
    table = TABLES["well_metadata"].to_arrow(_wells())
    in_pieces = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert content_hash(table) == content_hash(in_pieces)
    changed = _wells()
    changed.loc[0, "tscore"] = 0.1 + 1e-12
    assert content_hash(table) != content_hash(TABLES["well_metadata"].to_arrow(changed))


def test_content_hashes_are_those_that_lie_in_the_footers_of_older_lakes() -> None:
    of_floats = pa.table({"well_id": ["w0", "w1"], "IL2": pa.array([1.5, -2.0], pa.float32())})
    with_missing = pa.table({"a": [1, None, 3], "b": ["x", None, ""], "c": [True, None, False]})
    # Taken from version 0.1.0: a hash that moves makes every lake look changed.
    assert content_hash(of_floats) == "ed2eaa3b1d77e93f8a49a660e00e88b1e664c12c0344284838d302526e17de2c"
    assert content_hash(with_missing) == "2033fa0ff13c0da999270e6cb108f4f214e2b3fc4b1a76069370cd56dd3afd62"
    n_rows = 70_000
    long = pa.table(
        {
            "a": [None if row % 7 == 0 else f"é{row}" for row in range(n_rows)],
            "b": [f"w{row}" for row in range(n_rows)],
            "c": [None if row % 5 == 0 else row / 3 for row in range(n_rows)],
        }
    )
    in_pieces = pa.concat_tables([long.slice(0, 123), long.slice(123, 65_000), long.slice(65_123)])
    # More rows than are hashed at once.
    assert content_hash(long) == "b38cb42b0a61d6a3c7908392dfb8bb7d796a697d042dcb330b84366946de3b2e"
    assert content_hash(in_pieces) == content_hash(long)


def test_hashing_takes_a_time_that_grows_with_the_columns_and_not_with_their_square() -> None:
    def seconds(n_genes: int) -> float:
        values = pa.array(np.zeros(384, dtype=np.float32))
        table = pa.table([values] * n_genes, names=[f"G{gene}" for gene in range(n_genes)])
        started = time.process_time()
        content_hash(table)
        return time.process_time() - started

    seconds(100)
    # .2 s on an ordinary core; setting the columns one by one took 400 s.
    assert seconds(20_000) < 2.0


def test_every_column_of_every_table_is_described() -> None:
    for table in TABLES.values():
        assert table.description, table.asset
        for column in table.columns:
            assert len(column.description) > 3, (table.asset, column.name)


def test_a_table_read_back_has_the_hash_it_was_written_with_whatever_is_missing_in_it(lake: Lake) -> None:
    table = TABLES["well_metadata"].to_arrow(_wells())
    lineage = Lineage("well_metadata", "tc1", run_id="r", code_version="1", data_version=content_hash(table))
    path = lake.write(table, lineage)
    lake.verify("well_metadata", "tc1")
    changed = _wells()
    changed.loc[1, "tscore"] = 0.0
    assert content_hash(TABLES["well_metadata"].to_arrow(changed)) != content_hash(table)
    lake.write(changed, lineage)
    with pytest.raises(StorageError, match=r"tc1\.parquet: its values are not those that were written"):
        lake.verify("well_metadata", "tc1")
    path.rename(path.with_name("tc2.parquet"))
    with pytest.raises(StorageError, match="is a copy of well_metadata of tc1"):
        lake.verify("well_metadata", "tc2")


def test_a_changed_bit_in_a_page_is_found_while_reading(lake: Lake) -> None:
    path = lake.write(_wells(), _lineage("well_metadata", "tc1"))
    content = bytearray(path.read_bytes())
    content[len(content) // 6] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StorageError, match=r"tc1\.parquet"):
        lake.read("well_metadata", "tc1")


def test_a_table_of_before_a_column_came_reads_with_that_column_empty(lake: Lake) -> None:
    table = TABLES["well_metadata"].to_arrow(_wells())
    earlier = table.drop_columns(["condition", "dose_um"])
    lake.write(earlier, replace(_lineage("well_metadata", "tc1"), data_version=content_hash(earlier)))
    read = lake.read("well_metadata", "tc1")
    assert read.columns.tolist() == [column.name for column in TABLES["well_metadata"].columns]
    assert read["condition"].isna().all()
    assert lake.read("well_metadata", "tc1", ["well_id", "condition"])["condition"].isna().all()
    lake.verify("well_metadata", "tc1")
