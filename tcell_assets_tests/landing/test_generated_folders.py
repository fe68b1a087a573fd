"""Generated folders: whatever lies there, a batch is read whole or refused with a LandingError."""

from __future__ import annotations

import gzip
import shutil
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.fingerprint import content_hash
from tcell_assets.landing.importing import import_published_folder
from tcell_assets.landing.names import likeness
from tcell_assets.landing.problems import LandingError
from tcell_assets.landing.well_types import type_word
from tcell_assets.landing.wells import ROW_LETTERS, parse_well, parse_well_id
from tcell_assets.targets import TARGETS, names_of
from tcell_assets_tests.landing.folders import (
    COUNTS,
    expression_of,
    mapped_folder,
    published_folder,
    write_rows,
)
from tcell_assets_tests.landing.test_count_formats import barcoded_folder

FILE_NAMES = (
    "expr_mat.csv", "well_id.csv", "meta_id.csv", "scores_3_z.csv", "labels_cls.csv", "cluster_id.csv",
    "expression.csv", "expression.csv.gz", "expression.parquet", "counts.tsv", "counts.csv", "plate_map.csv",
    "targets.csv", "screen.yaml", "matrix.mtx", "barcodes.tsv", "features.tsv", "P1/plate_map.csv", "P1/counts.csv",
    "P1/matrix.mtx.gz", "CON/expression.csv", "notes.txt",
)  # fmt: skip
CELLS = st.one_of(
    st.sampled_from(
        ["", "DMSO", "dmso", "NA", "A1", "H12", "tc1_P1_A1", "tc2_P1_A1", "P1", "0", "1", "2", "-1", "nan", "inf",
         "1e400", "well_id", "well", "plate", "metabolite", "tscore", "Tscore_z", "x", "IL2RA", "../x", "a,b", '"', ";"]
    ),
    st.text(max_size=12),
    st.floats().map(repr),
)  # fmt: skip
TABLES = st.tuples(
    st.lists(st.lists(CELLS, max_size=5), max_size=8), st.sampled_from([",", ",", "\t", ";"])
).map(lambda table: "\n".join(table[1].join(row) for row in table[0]).encode("utf-8", "surrogatepass"))
CONTENTS = st.one_of(TABLES, TABLES.map(gzip.compress), st.binary(max_size=200))
FOLDERS = st.dictionaries(st.sampled_from(FILE_NAMES), CONTENTS, max_size=6)


def assert_read_or_refused(folder: Path) -> None:
    """Read whole, wells and values agreeing, or refused with one-line problems."""
    try:
        batch = read_batch(folder)
    except LandingError as error:
        assert error.problems
        assert all("\n" not in str(problem) for problem in error.problems)
        assert all(len(str(problem)) < 2_000 for problem in error.problems)
    else:
        wells = batch.wells["well_id"].tolist()
        assert len(set(wells)) == len(wells)
        assert batch.wells["is_dmso"].any()
        if batch.expression is not None:
            assert batch.expression.index.tolist() == wells
            assert np.isfinite(batch.expression.to_numpy(dtype=np.float64)).all()
        else:
            assert batch.counts is not None
            assert batch.counts.well_ids == tuple(wells)


def refuse_or_read_files(files: dict[str, bytes]) -> None:
    """Lay the files down as a batch and read it."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "tc1")
        folder.mkdir()
        for name, content in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(content)
        assert_read_or_refused(folder)


@pytest.fixture(scope="module")
def good_folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """One folder of each layout, none of which has a problem."""
    root = tmp_path_factory.mktemp("good")
    published = published_folder(root / "published" / "tc1")
    mapped = mapped_folder(root / "mapped" / "tc1")
    write_rows(mapped / "targets.csv", [("well_id", "tscore"), ("tc1_P1_A1", 0.5)])
    (mapped / "screen.yaml").write_text("plate_format: 96\n")
    counts = mapped_folder(root / "counts" / "tc1", COUNTS, "counts.tsv")
    packed = mapped_folder(root / "packed" / "tc1")
    pd.read_csv(packed / "expression.csv").to_parquet(packed / "expression.parquet")
    (packed / "expression.csv").unlink()
    folders = [published, mapped, counts, packed, barcoded_folder(root / "barcoded" / "tc1")]
    for folder in folders:
        read_batch(folder)
    return folders


@settings(max_examples=150, deadline=None)
@given(files=FOLDERS)
def test_any_files_are_read_or_refused(files: dict[str, bytes]) -> None:
    refuse_or_read_files(files)


@pytest.mark.slow
@settings(max_examples=3_000, deadline=None)
@given(files=FOLDERS)
def test_thousands_of_any_files_are_read_or_refused(files: dict[str, bytes]) -> None:
    refuse_or_read_files(files)


def damage(folder: Path, data: st.DataObject) -> None:
    """One file of a good folder truncated, overwritten in the middle, emptied, removed or swapped for another."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(files))
    raw = path.read_bytes()
    kind = data.draw(st.sampled_from(["truncate", "overwrite", "insert", "remove", "swap"]))
    at = data.draw(st.integers(0, len(raw)))
    if kind == "truncate":
        path.write_bytes(raw[:at])
    elif kind == "overwrite":
        new = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8), CELLS.map(lambda text: text.encode("utf-8", "replace"))
            )
        )
        path.write_bytes(raw[:at] + new + raw[at + len(new) :])
    elif kind == "insert":
        path.write_bytes(raw[:at] + data.draw(CELLS).encode("utf-8", "replace") + raw[at:])
    elif kind == "remove":
        path.unlink()
    else:
        path.write_bytes(data.draw(st.sampled_from(files)).read_bytes())


def damage_and_read(good_folders: list[Path], data: st.DataObject) -> None:
    """Damage a copy of one good folder up to three times and read it."""
    source = data.draw(st.sampled_from(good_folders))
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent, "tc1")
        shutil.copytree(source, folder)
        for _ in range(data.draw(st.integers(1, 3))):
            if any(path.is_file() for path in folder.rglob("*")):
                damage(folder, data)
        assert_read_or_refused(folder)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_damaged_folder_is_read_or_refused(good_folders: list[Path], data: st.DataObject) -> None:
    damage_and_read(good_folders, data)


@pytest.mark.slow
@settings(max_examples=4_000, deadline=None)
@given(data=st.data())
def test_thousands_of_damaged_folders_are_read_or_refused(
    good_folders: list[Path], data: st.DataObject
) -> None:
    damage_and_read(good_folders, data)


# What no reader can tell apart is folded to one spelling (`test_names.py`): none of it stands in these names.
FOLDED = "\u2010\u2011\u2212\ufe63\uff0d\u2019\u2032\u02b9\u02bc\u00b5"
PRINTABLE_NAMES = (
    st.text(
        st.characters(
            codec="utf-8",
            exclude_categories=("Cc", "Cf", "Cs", "Pd", "Zl", "Zp", "Zs"),
            include_characters=" -",
            exclude_characters=FOLDED,
        ),
        min_size=1,
        max_size=30,
    )
    .map(lambda text: " ".join(unicodedata.normalize("NFC", text).split()))
    # ``control`` and ``neg`` are asked about, and so are names that look alike.
    .filter(lambda name: name and type_word(name) is None)
)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(PRINTABLE_NAMES, min_size=5, max_size=5, unique_by=likeness),
    numbers=st.lists(st.floats(-30, 30), min_size=18, max_size=18),
)
def test_any_names_and_numbers_survive_the_import_exactly(names: list[str], numbers: list[float]) -> None:
    with tempfile.TemporaryDirectory() as parent:
        source = published_folder(Path(parent, "tc1"))
        write_rows(source / "meta_id.csv", [["x"], ["DMSO"], *([name] for name in names)])
        values = np.array(numbers).reshape(6, 3)
        columns = ["pseudotime_z", "cytoscore_z", "Tscore_z"]
        write_rows(source / "scores_3_z.csv", [columns, *values.tolist()])
        write_rows(source / "expr_mat.csv", [["G1", "G2", "G3"], *values.tolist()])
        (source / "screen.yaml").write_text("value_kind: vst\n")
        direct = read_batch(source)
        imported = import_published_folder(source, Path(parent, "data"))
        assert imported.batches == ("tc1",)
        batch = read_batch(Path(parent, "data", "tc1"))
    assert batch.wells["metabolite"].tolist() == ["DMSO", *names]
    assert batch.wells[["pseudotime", "cytotrace", "tscore"]].to_numpy().tolist() == values.tolist()
    pd.testing.assert_frame_equal(
        batch.wells[names_of(TARGETS)], direct.wells[names_of(TARGETS)], check_exact=True
    )
    np.testing.assert_array_equal(expression_of(batch).to_numpy(), values.astype(np.float32))


@given(text=st.text(max_size=40))
def test_a_well_name_is_canonical_or_refused(text: str) -> None:
    try:
        position = parse_well(text)
    except ValueError:
        return
    assert parse_well(position.name) == position
    assert position.row in ROW_LETTERS
    assert 1 <= position.column <= 48


@given(
    text=st.one_of(
        st.text(max_size=80), st.from_regex(r"[a-zA-Z_.0-9]{1,20}_[A-Z0-9 -]{1,6}_[A-P][0-9]{1,3}")
    )
)
def test_a_well_id_is_canonical_and_safe_as_a_path_or_refused(text: str) -> None:
    try:
        well = parse_well_id(text)
    except ValueError:
        return
    assert parse_well_id(str(well)) == well
    assert Path(str(well)).name == str(well)
    assert ".." not in str(well)


def test_reading_leaves_the_folder_as_it_was(good_folders: list[Path]) -> None:
    for folder in good_folders:
        before = content_hash(folder), sorted(folder.rglob("*"))
        read_batch(folder)
        assert (content_hash(folder), sorted(folder.rglob("*"))) == before
