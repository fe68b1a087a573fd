"""One data set under two batch names counts once."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from tcell_assets.commands.platform import Platform, RunFailedError
from tcell_assets.defs.assets.quality import COUNTED_ONCE
from tcell_assets.exports.report_verdicts import _quality
from tcell_assets.lake.copies import (
    BatchWells,
    changed_copies,
    copies_in_words,
    find_copies,
    screen_sentences,
)
from tcell_assets.lake.staleness import training_set
from tcell_assets.science.plates.well_copies import FEWEST_GENES_SEEN, count_hashes, expression_hashes
from tcell_assets_tests.operations.small_installation import ingest, land, prepared_platform


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Holds tc1 and tc2, ingested."""
    with prepared_platform(tmp_path, scored=False) as platform:
        yield platform


def _copy(platform: Platform, batch: str, name: str) -> None:
    data = platform.configuration.data
    shutil.copytree(data / batch, data / name)
    _rename_wells(data / name, batch, name)


def _rename_wells(folder: Path, old: str, new: str) -> None:
    """Have the tables of a folder that was copied name the wells of its new batch."""
    for file in folder.rglob("*.csv"):
        file.write_text(file.read_text().replace(f"{old}_", f"{new}_"))
    for file in folder.rglob("*.parquet"):
        table = pd.read_parquet(file).reset_index()
        table["well_id"] = table["well_id"].str.replace(f"{old}_", f"{new}_")
        table.drop(columns="index", errors="ignore").to_parquet(file, index=False)


def _usable(platform: Platform, batch: str) -> int:
    return int(platform.storage.lake().read("well_qc", batch)["qc_pass"].sum())


def test_the_same_data_under_another_name_counts_nowhere_and_says_so(platform: Platform) -> None:
    """Whichever name sorts first: what is there stays as it is when a copy arrives."""
    before, set_before = _usable(platform, "tc1"), training_set(platform.storage.lake())
    _copy(platform, "tc1", "a_copy")
    with pytest.raises(RunFailedError, match="a_copy holds the same data as tc1: 96 of 96 wells"):
        ingest(platform, "a_copy")
    assert (_usable(platform, "a_copy"), _usable(platform, "tc1")) == (0, before)
    assert training_set(platform.storage.lake()) == set_before
    assert screen_sentences(platform.storage.lake()) == ["a_copy holds the same data as tc1: 96 of 96 wells"]
    ingest(platform, "tc1")
    assert (_usable(platform, "tc1"), changed_copies(platform.storage.lake())) == (before, {})


def test_one_repeated_plate_of_a_batch_leaves_the_others_usable(platform: Platform) -> None:
    data = platform.configuration.data
    land(data, "tc3", ("A1", "A2"))
    shutil.rmtree(data / "tc3" / "A1")
    shutil.copytree(data / "tc1" / "A1", data / "tc3" / "A1")
    _rename_wells(data / "tc3" / "A1", "tc1", "tc3")
    ingest(platform, "tc3")
    wells = (
        platform.storage.lake()
        .read("well_qc", "tc3")
        .merge(platform.storage.lake().read("well_metadata", "tc3"))
    )
    assert set(wells.loc[wells["plate"] == "A1", "qc_pass"]) == {False}
    assert wells.loc[wells["plate"] == "A2", "qc_pass"].mean() > 0.9
    reason = wells.loc[wells["well_id"] == "tc3_A1_B2", "qc_reason"].item()
    assert "copy of tc1_A1_B2" in reason
    plates = platform.storage.lake().read("plate_qc", "tc3")
    assert dict(zip(plates["plate"], plates["flag"], strict=True))["A1"] == "ok", (
        "a copied plate is a sound one"
    )
    verdict = _quality(wells, plates)
    assert verdict.verdict == "watch"
    assert "tc3 holds wells that the screen held before: 96 of 192" in " ".join(verdict.findings)


def test_duplicates_that_are_allowed_count(platform: Platform) -> None:
    _copy(platform, "tc1", "tc5")
    (platform.configuration.data / "tc5" / "screen.yaml").write_text("duplicates: allow\n")
    ingest(platform, "tc5")
    assert _usable(platform, "tc5") == _usable(platform, "tc1")


def test_a_copy_whose_first_was_corrected_or_forgotten_is_judged_anew(platform: Platform) -> None:
    from tcell_assets.commands.forget import forget_batch

    _copy(platform, "tc1", "tc5")
    with pytest.raises(RunFailedError):
        ingest(platform, "tc5")
    forget_batch(platform, "tc1")
    reason = "none of its wells repeats another, 96 did when it was judged"
    assert changed_copies(platform.storage.lake()) == {"tc5": reason}
    ingest(platform, "tc5")
    assert changed_copies(platform.storage.lake()) == {}
    assert _usable(platform, "tc5") > 80


def test_the_check_names_the_copies_in_the_ui(platform: Platform) -> None:
    land(platform.configuration.data, "tc3")
    platform.register_landed_batches()
    result = platform.run("ingest", "tc3")
    (check,) = [c for c in result.get_asset_check_evaluations() if c.check_name == COUNTED_ONCE]
    assert (check.passed, check.description) == (True, "no well of tc3 holds what another held before")


def _wells(arrival: int, *hashes: str, batch: str, allowed: bool = False) -> BatchWells:
    return BatchWells(arrival, {f"{batch}_{n}": value for n, value in enumerate(hashes)}, allowed)


def test_the_first_in_the_screen_is_no_copy_whatever_its_name() -> None:
    screen = {"a": _wells(2, "x", "y", batch="a"), "z": _wells(1, "x", "w", batch="z")}
    assert find_copies(screen) == {"a": {"a_0": "z_0"}, "z": {}}


def test_of_two_that_came_at_once_the_name_decides_and_a_batch_may_repeat_itself() -> None:
    screen = {"b": _wells(0, "x", "x", batch="b"), "a": _wells(0, "x", batch="a")}
    assert find_copies(screen) == {"b": {"b_0": "a_0", "b_1": "a_0"}, "a": {}}
    assert copies_in_words("b", {"b_1": "b_0"}, 2, {"b_0": "b"}) == [
        "b holds the same data twice: 1 of 2 wells"
    ]


def test_an_allowed_batch_is_no_copy_and_still_the_first_of_others() -> None:
    screen = {"a": _wells(1, "x", batch="a", allowed=True), "b": _wells(2, "x", batch="b")}
    assert find_copies(screen) == {"a": {}, "b": {"b_0": "a_0"}}


def test_wells_are_known_again_whatever_the_order_of_their_genes_and_told_apart_by_one_value() -> None:
    rng = np.random.default_rng(0)
    genes = [f"G{n}" for n in range(30)]
    frame = pd.DataFrame(rng.normal(size=(2, 30)).astype("float32"), index=["w1", "w2"], columns=genes)
    hashes = expression_hashes(frame)
    assert expression_hashes(frame[genes[::-1]]) == hashes
    other = frame.copy()
    other["G3"] = np.nextafter(
        frame["G3"].to_numpy(), np.array([9, 0], dtype="float32") + frame["G3"].to_numpy()
    )
    assert expression_hashes(other)["w1"] != hashes["w1"]
    assert expression_hashes(other)["w2"] == hashes["w2"]
    renamed = frame.rename(columns={"G1": "H1"})
    assert expression_hashes(renamed)["w1"] != hashes["w1"]


def test_genes_that_no_well_shows_make_no_difference_to_counts() -> None:
    counts = np.zeros((1, 40), dtype=np.int64)
    counts[0, :20] = np.arange(1, 21)
    genes = [f"G{n:02}" for n in range(40)]
    whole = count_hashes(sparse.csr_matrix(counts), ["w"], genes)
    assert count_hashes(sparse.csr_matrix(counts[:, :20]), ["w"], genes[:20]) == whole
    assert count_hashes(sparse.csr_matrix(counts[:, ::-1].copy()), ["w"], genes[::-1]) == whole
    assert count_hashes(sparse.csr_matrix(counts * 2), ["w"], genes) != whole


def test_empty_wells_are_no_copies_of_each_other() -> None:
    counts = np.zeros((2, 40), dtype=np.int64)
    counts[:, : FEWEST_GENES_SEEN - 1] = 1
    assert count_hashes(sparse.csr_matrix(counts), ["w1", "w2"], [f"G{n}" for n in range(40)]) == {}
    flat = pd.DataFrame(
        np.ones((2, 40), dtype="float32"), index=["w1", "w2"], columns=[f"G{n}" for n in range(40)]
    )
    assert expression_hashes(flat) == {}
