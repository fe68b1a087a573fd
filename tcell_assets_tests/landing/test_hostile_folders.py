"""Damaged and hostile landing folders: each one clear error, within limits, and never another exception."""

import gzip
import io
import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.files import LandingFile
from tcell_assets.landing.fingerprint import hash_files
from tcell_assets.landing.problems import LandingError, ProblemCollector
from tcell_assets.landing.screen_settings import LandingLimits, LandingSettings
from tcell_assets_tests.landing.folders import (
    GENES,
    METABOLITES,
    WELLS,
    edit,
    expression_of,
    mapped_folder,
    only_problem_of,
    problems_of,
    published_folder,
    write_column,
)


def with_matrix(folder: Path, name: str, content: bytes) -> Path:
    """A folder whose matrix is replaced."""
    mapped_folder(folder)
    (folder / "expression.csv").unlink()
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", ["expression.csv", "plate_map.csv"])
def test_an_empty_file_is_told_as_such(tmp_path: Path, name: str) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / name).write_bytes(b"")
    assert f"{name}: is empty (0 bytes)" in only_problem_of(folder)


@pytest.mark.parametrize("name", ["expression.parquet", "expression.h5ad", "expression.csv.gz"])
def test_an_empty_binary_file_is_told_as_such(tmp_path: Path, name: str) -> None:
    assert f"{name}: is empty (0 bytes)" in only_problem_of(with_matrix(tmp_path / "tc1", name, b""))


def test_a_header_without_rows_is_told_as_such(tmp_path: Path) -> None:
    folder = with_matrix(tmp_path / "tc1", "expression.csv", b"well_id,IL2RA\n")
    assert "expression.csv: has a header but no row" in only_problem_of(folder)


def test_a_truncated_gzip_file_is_told_as_such(tmp_path: Path) -> None:
    content = (mapped_folder(tmp_path / "whole") / "expression.csv").read_bytes()
    packed = gzip.compress(content)
    folder = with_matrix(tmp_path / "tc1", "expression.csv.gz", packed[: len(packed) // 2])
    assert "expression.csv.gz: is not a whole gzip file" in only_problem_of(folder)


def test_a_text_file_called_gz_is_told_as_such(tmp_path: Path) -> None:
    folder = with_matrix(tmp_path / "tc1", "expression.csv.gz", b"well_id,IL2RA\n")
    assert "is not a whole gzip file" in only_problem_of(folder)


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_another_delimiter_than_the_name_says_is_read_and_noted(
    tmp_path: Path, delimiter: str, name: str
) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    path = folder / "expression.csv"
    upright = expression_of(read_batch(folder))
    path.write_text(path.read_text().replace(",", delimiter))
    batch = read_batch(folder)
    pd.testing.assert_frame_equal(expression_of(batch), upright)
    assert f"expression.csv: separated by {name}" in batch.notes


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("x\nDMSO\n".encode("utf-16"), "is written in UTF-16"),
        (b"x\nDMSO\n\xb5M\n", "row 3: holds the byte 0xb5, which is not UTF-8"),
        (b"x\nDMSO\nA\0B\n", "row 3: holds a NUL byte"),
        (b'x\nDMSO\n"open\n', "is not a delimited table"),
        (b"  \n \n", "holds nothing but white space"),
        (b"x\nDMSO\n\nA\n", "row 3: is empty, but rows follow"),
    ],
)
def test_what_is_no_clean_text_is_told_with_its_row(tmp_path: Path, content: bytes, found: str) -> None:
    folder = published_folder(tmp_path / "tc1")
    (folder / "meta_id.csv").write_bytes(content)
    assert found in str(problems_of(folder)[0])


def test_a_byte_order_mark_does_not_matter(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    for name in ("plate_map.csv", "expression.csv"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes().replace(b"\n", b"\r\n"))
    assert read_batch(folder).wells["metabolite"].tolist() == list(METABOLITES)


def test_ragged_rows_are_named(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    edit(folder / "expression.csv", "tc1_P1_B1,", "tc1_P1_B1,1,")
    assert "expression.csv, row 4: has 5 fields where 4 are expected" in only_problem_of(folder)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a\\b", "..", "nul", "x" * 10_000, "=cmd()"])
def test_a_hostile_plate_name_is_refused(tmp_path: Path, name: str) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    path = folder / "plate_map.csv"
    path.write_text(path.read_text().replace("P1,", f"{name},"))
    assert "is not a plate name" in str(problems_of(folder)[0])


@pytest.mark.parametrize("name", ["x" * 10_000, "a\x07b", "line\nbreak"])
def test_a_hostile_metabolite_name_is_refused_and_its_message_is_short(tmp_path: Path, name: str) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "meta_id.csv", ["DMSO", name, "A", "B", "C", "DMSO"])
    text = only_problem_of(folder)
    assert "meta_id.csv, row 3" in text
    assert len(text) < 400
    assert "\n" not in text


def test_a_hostile_gene_name_is_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    edit(folder / "expression.csv", "CD69", "G" * 10_000)
    assert "which is longer than 256 characters" in only_problem_of(folder)


def test_a_link_out_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "data" / "tc1")
    (folder / "plate_map.csv").rename(tmp_path / "plate_map.csv")
    (folder / "plate_map.csv").symlink_to(tmp_path / "plate_map.csv")
    assert "plate_map.csv: is a link that leads out of the data folder" in str(problems_of(folder)[0])


def test_a_link_within_the_data_folder_is_followed(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "plate_map.csv").rename(tmp_path / "plate_map.csv")
    (folder / "plate_map.csv").symlink_to(tmp_path / "plate_map.csv")
    assert len(read_batch(folder).wells) == 6


def test_a_batch_folder_that_is_a_link_out_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    mapped_folder(tmp_path / "elsewhere" / "tc1")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tc1").symlink_to(tmp_path / "elsewhere" / "tc1")
    assert "the folder is a link out of" in str(problems_of(tmp_path / "data" / "tc1")[0])


def test_a_link_to_itself_and_a_pipe_are_refused_without_waiting(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "targets.csv").symlink_to("targets.csv")
    os.mkfifo(folder / "counts.csv")
    (folder / "P1").symlink_to(folder)
    found = {problem.file: problem.found for problem in problems_of(folder)}
    assert set(found) == {"targets.csv", "counts.csv", "P1"}
    assert found["counts.csv"] == "is a pipe, socket or device"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_told_as_such(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "plate_map.csv").chmod(0)
    assert "plate_map.csv: cannot be read" in str(problems_of(folder)[0])


def test_a_compressed_bomb_is_refused(tmp_path: Path) -> None:
    # 300 MiB of zeros; a gzip file may be several put together.
    bomb = gzip.compress(b"0," * 2**19) * 300
    folder = with_matrix(tmp_path / "tc1", "expression.csv.gz", bomb)
    assert "unpacks from" in only_problem_of(folder)


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        (LandingLimits(max_file_bytes=50), "more than the limit of 50"),
        (LandingLimits(max_unpacked_bytes=100), "needs"),
        (LandingLimits(max_wells=3), "has more than 3 rows"),
        (LandingLimits(max_genes=2), "has 4 columns, more than the limit of 2"),
        (LandingLimits(max_files=1), "holds more than 1 files"),
    ],
)
def test_every_limit_is_configuration(tmp_path: Path, limits: LandingLimits, found: str) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    read_batch(folder)
    with pytest.raises(LandingError) as caught:
        read_batch(folder, LandingSettings(limits=limits))
    assert found in str(caught.value)


def test_a_parquet_file_that_claims_more_than_the_limit_is_refused_unread(tmp_path: Path) -> None:
    # Run-length encoding makes 2 billion zeros a few kilobytes.
    table = pa.table({"well_id": ["x"] * 1_000, **{gene: [0.0] * 1_000 for gene in GENES}})
    packed = io.BytesIO()
    with pq.ParquetWriter(packed, table.schema) as writer:
        for _ in range(300):
            writer.write_table(table)
    folder = with_matrix(tmp_path / "tc1", "expression.parquet", packed.getvalue())
    assert "claims 300,000 rows × 4 columns" in only_problem_of(folder)


def test_a_parquet_file_with_text_for_numbers_names_the_column(tmp_path: Path) -> None:
    folder = with_matrix(tmp_path / "tc1", "expression.parquet", b"")
    wells = [f"tc1_P1_{well}" for well in WELLS]
    pq.write_table(pa.table({"well_id": wells, "IL2RA": [True] * 6}), folder / "expression.parquet")
    assert "has the column 'IL2RA' of type bool, which holds no numbers" in only_problem_of(folder)


def test_a_parquet_file_with_a_missing_value_names_the_cell(tmp_path: Path) -> None:
    folder = with_matrix(tmp_path / "tc1", "expression.parquet", b"")
    wells = [f"tc1_P1_{well}" for well in WELLS]
    values = [1.5, 2.5, None, 4.5, 5.5, 6.5]
    pq.write_table(pa.table({"well_id": wells, "IL2RA": values}), folder / "expression.parquet")
    assert "row 3, column 2 ('IL2RA'): holds nan, which is not finite" in only_problem_of(folder)


@pytest.mark.parametrize("content", [b"PAR1", b"PAR1" + bytes(100) + b"PAR1", b"well_id,IL2RA\nx,1\n"])
def test_what_is_no_parquet_file_is_told_as_such(tmp_path: Path, content: bytes) -> None:
    folder = with_matrix(tmp_path / "tc1", "expression.parquet", content)
    assert "is not a readable Parquet file" in only_problem_of(folder)


def hdf5(folder: Path) -> h5py.File:
    """An AnnData-like file to be filled with mischief."""
    with_matrix(folder, "screen.h5ad", b"")
    store = h5py.File(folder / "screen.h5ad", "w")
    store.create_group("obs")
    store.create_group("var")
    return store


def test_an_annotated_file_that_claims_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    with hdf5(tmp_path / "tc1") as store:
        store.create_dataset(
            "X", shape=(50_000, 50_000), dtype="f4", chunks=(1_000, 1_000), compression="gzip"
        )
    assert "claims 10,000,000,000 bytes" in only_problem_of(tmp_path / "tc1")


def test_an_annotated_file_that_links_to_another_file_is_refused(tmp_path: Path) -> None:
    with hdf5(tmp_path / "tc1") as store:
        store["X"] = h5py.ExternalLink("/etc/passwd", "/")
    assert "holds the link" in only_problem_of(tmp_path / "tc1")


def test_an_annotated_file_that_keeps_its_values_elsewhere_is_refused(tmp_path: Path) -> None:
    with hdf5(tmp_path / "tc1") as store:
        store.create_dataset("X", shape=(6, 3), dtype="f4", external=[("/etc/hostname", 0, 72)])
    assert "in another file" in only_problem_of(tmp_path / "tc1")


def test_an_annotated_file_that_holds_itself_is_refused_and_not_walked_for_ever(tmp_path: Path) -> None:
    with hdf5(tmp_path / "tc1") as store:
        store["obs/again"] = store["obs"]
        store["X"] = np.zeros((6, 3))
    assert "holds the group '/obs/again' more than once" in only_problem_of(tmp_path / "tc1")


def test_files_that_change_while_they_are_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mapped_folder(tmp_path / "tc1")

    def hash_while_a_copy_goes_on(files: Sequence[LandingFile], problems: ProblemCollector) -> str:
        os.utime(folder / "plate_map.csv", (1, 1))
        return hash_files(files, problems)

    monkeypatch.setattr("tcell_assets.landing.batch.hash_files", hash_while_a_copy_goes_on)
    assert "files changed while they were read" in only_problem_of(folder)


@pytest.mark.parametrize("header", [b"\n", b",,,\n"])
def test_a_first_row_without_names_is_told_as_such(tmp_path: Path, header: bytes) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    path = folder / "expression.csv"
    path.write_bytes(header + path.read_bytes().split(b"\n", 1)[1])
    assert "expression.csv, row 1: names no column" in only_problem_of(folder)


def test_an_annotated_file_that_takes_too_long_to_open_is_refused(tmp_path: Path) -> None:
    with hdf5(tmp_path / "tc1") as store:
        store["X"] = np.zeros((6, 3))
    limits = LandingLimits(max_open_seconds=0.01)
    with pytest.raises(LandingError, match=r"cannot be opened within 0\.01 s"):
        read_batch(tmp_path / "tc1", LandingSettings(limits=limits))
