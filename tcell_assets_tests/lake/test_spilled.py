"""Tables too long for memory: the same table as in memory, mapped from a file that leaves nothing behind."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from upath import UPath

from tcell_assets.lake.spilled import spilled
from tcell_assets.lake.store import Lake, Lineage, content_hash
from tcell_assets.lake.tables import TABLES
from tcell_assets.system.files import StorageError

N_GENES = 3_000


def _piece(conditions: range) -> pa.Table:
    """Signatures of some conditions; the first gene of each has none."""
    names = [f"M{number:04d}" for number in conditions]
    frame = pd.DataFrame(
        {
            "condition": [name for name in names for _ in range(N_GENES)],
            "gene": [f"G{gene}" for _ in names for gene in range(N_GENES)],
        }
    )
    t = (frame.index.to_series() % 17 - 8.0).where(frame["gene"] != "G0")
    return TABLES["signatures"].to_arrow(frame.assign(effect=t / 4, t=t, p=0.5, q=0.75, n_wells=2))


def _lineage(table: pa.Table) -> Lineage:
    return Lineage("signatures", None, run_id="r", code_version="1", data_version=content_hash(table))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with the signatures of 900 conditions, 2.7 million rows, written in pieces of 300."""
    lake = Lake(UPath(tmp_path / "lake"))
    table = spilled((_piece(range(start, start + 300)) for start in range(0, 900, 300)), tmp_path)
    lake.write(table, _lineage(table))
    return lake


def test_a_table_in_pieces_is_the_table_in_one_and_its_file_has_gone(tmp_path: Path) -> None:
    pieces = [_piece(range(start, start + 10)) for start in range(0, 30, 10)]
    table = spilled(pieces, tmp_path)
    assert table.equals(pa.concat_tables(pieces))
    assert content_hash(table) == content_hash(pa.concat_tables(pieces).combine_chunks())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence_and_leaves_no_file(tmp_path: Path) -> None:
    def pieces() -> Iterator[pa.Table]:
        yield _piece(range(10))
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"too long for memory.*No space left"):
        spilled(pieces(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_rows_of_some_conditions_are_those_of_the_whole_table(lake: Lake) -> None:
    whole = lake.read("signatures")
    wanted = ["M0002", "M0299", "M0300", "M0899"]
    expected = whole[whole["condition"].isin(wanted)].reset_index(drop=True)
    pd.testing.assert_frame_equal(lake.read_rows("signatures", "condition", wanted), expected)
    assert lake.read_rows("signatures", "condition", ["nothing"]).empty


def test_a_table_that_was_spilled_is_verified_like_any_other(lake: Lake) -> None:
    lake.verify("signatures")
    assert lake.distinct("signatures", "condition") == [f"M{number:04d}" for number in range(900)]


def test_rows_of_a_copy_under_another_name_are_refused(lake: Lake) -> None:
    copy = lake.path("pathway_activity")
    copy.write_bytes(lake.path("signatures").read_bytes())
    with pytest.raises(StorageError, match="is a copy of signatures"):
        lake.read_rows("pathway_activity", "condition", ["M0001"])
    with pytest.raises(StorageError, match="is a copy of signatures"):
        lake.distinct("pathway_activity", "condition")
