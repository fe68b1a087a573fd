"""SQL over the lake: every asset is a table, batches stand together, and nothing can be written or read beside it."""

from __future__ import annotations

import time
from pathlib import Path

import pandas as pd
import pytest

from tcell_assets.commands.platform import Platform
from tcell_assets.exports import sql
from tcell_assets.exports.query_process import SECONDS_BESIDE_THE_QUERY, query_in_process
from tcell_assets.exports.sql import QueryError, QueryLimits, lake_datasets, run_query
from tcell_assets.lake.store import Lake
from tcell_assets_tests.exports.conftest import HOSTILE_NAME


@pytest.fixture(scope="module")
def lake(screened: Platform) -> Lake:
    return screened.storage.lake()


def test_every_materialized_asset_is_a_table_with_the_rows_of_its_files(lake: Lake) -> None:
    for asset, _ in lake_datasets(lake):
        batches = lake.batches(asset)
        expected = (
            sum(len(lake.read(asset, batch)) for batch in batches) if batches else len(lake.read(asset))
        )
        count = run_query(lake, f"SELECT count(*) AS n FROM {asset}").to_pylist()
        assert count == [{"n": expected}], asset


def test_batches_stand_in_one_table_with_a_column_that_tells_them_apart(lake: Lake) -> None:
    answer = run_query(
        lake, "SELECT batch, count(*) AS wells FROM latent_embeddings GROUP BY batch ORDER BY batch"
    )
    assert answer.to_pylist() == [{"batch": "tc1", "wells": 96}, {"batch": "tc2", "wells": 96}]


def test_values_are_those_of_the_files(lake: Lake) -> None:
    answer = run_query(lake, "SELECT well_id, euclidean FROM dmso_distances WHERE batch = 'tc2'").to_pandas()
    expected = lake.read("dmso_distances", "tc2", ["well_id", "euclidean"])
    pd.testing.assert_frame_equal(
        answer.sort_values("well_id", ignore_index=True), expected.sort_values("well_id", ignore_index=True)
    )


def test_a_name_that_is_markup_comes_back_as_it_is(lake: Lake) -> None:
    answer = run_query(lake, "SELECT DISTINCT metabolite FROM well_metadata WHERE metabolite LIKE '<script%'")
    assert answer.to_pylist() == [{"metabolite": HOSTILE_NAME}]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP VIEW well_qc",
        "CREATE TABLE mine AS SELECT 1",
        "COPY (SELECT 1) TO '{folder}/written.csv'",
        "ATTACH '{folder}/written.duckdb'",
        "SELECT 1; SELECT 2",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "",
    ],
)
def test_all_but_one_select_is_refused(lake: Lake, tmp_path: Path, statement: str) -> None:
    with pytest.raises(QueryError, match="read-only"):
        run_query(lake, statement.format(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_query_reads_no_file_beside_the_lake(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with pytest.raises(QueryError, match="Permission"):
        run_query(lake, f"SELECT * FROM read_csv('{tmp_path}/secret.csv')")


def test_a_mistyped_table_is_answered_with_the_ones_there_are(lake: Lake) -> None:
    with pytest.raises(QueryError, match="Tables: well_metadata"):
        run_query(lake, "SELECT * FROM well_metadat")


def test_a_lake_without_tables_says_so(empty: Platform) -> None:
    with pytest.raises(QueryError, match="none yet"):
        run_query(empty.storage.lake(), "SELECT * FROM well_metadata")


def test_batches_of_different_genes_stand_in_one_table(tmp_path: Path) -> None:
    """A gene that a batch lacks is empty there."""
    from upath import UPath

    from tcell_assets.lake.store import Lineage

    lake = Lake(UPath(tmp_path))
    for batch, gene in (("a", "CD69"), ("b", "IL7R")):
        frame = pd.DataFrame({"well_id": [f"{batch}_P_A1"], gene: pd.array([1.5], dtype="float32")})
        lake.write(frame, Lineage("expression_matrix", batch, "run", "1", "hash"))
    answer = run_query(lake, "SELECT batch, CD69, IL7R FROM expression_matrix ORDER BY batch").to_pylist()
    assert answer == [
        {"batch": "a", "CD69": 1.5, "IL7R": None},
        {"batch": "b", "CD69": None, "IL7R": 1.5},
    ]


LITTLE = QueryLimits(seconds=2.0, memory_mib=256, answer_mib=8)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        # Folded into a constant before the first row: no clock and no memory limit of DuckDB's is asked there.
        ("SELECT repeat('a', 3000000000)", "256 MiB of memory"),
        ("SELECT count(*) FROM range(1000000) a, range(1000000) b", "stopped after 2 s"),
        ("SELECT list(range) FROM range(300000000)", "256 MiB of memory|stopped after 2 s"),
        ("SELECT a.range, repeat('x', 1000) FROM range(100000) a", "larger than 8 MiB"),
        ("SELECT FROM", "syntax error"),
    ],
)
def test_a_query_without_end_is_answered_with_a_sentence_in_bounded_time(
    query: str, said: str, tmp_path: Path
) -> None:
    started = time.monotonic()
    with pytest.raises(QueryError, match=said):
        query_in_process(str(tmp_path), query, LITTLE)
    assert time.monotonic() - started < LITTLE.seconds + SECONDS_BESIDE_THE_QUERY + 5


def test_a_process_of_its_own_gives_the_same_answer(lake: Lake) -> None:
    query = "SELECT well_id, euclidean FROM dmso_distances ORDER BY well_id"
    assert query_in_process(str(lake.root), query).equals(run_query(lake, query))


def test_only_the_tables_a_query_names_are_opened(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Footers of every table of 200 batches took 14 s, whatever was asked."""
    opened: list[str] = []
    original = sql._dataset

    def noted(lake: Lake, asset: str, batches: list[str]) -> object:
        opened.append(asset)
        return original(lake, asset, batches)

    monkeypatch.setattr(sql, "_dataset", noted)
    run_query(lake, "WITH w AS (SELECT * FROM well_qc) SELECT count(*) FROM w JOIN Plate_QC USING (batch)")
    assert opened == ["well_qc", "plate_qc"]


def test_the_catalogue_lists_every_table(lake: Lake) -> None:
    listed = run_query(lake, "SELECT table_name FROM information_schema.tables").to_pydict()["table_name"]
    assert sorted(listed) == sorted(asset for asset, _ in lake_datasets(lake))
