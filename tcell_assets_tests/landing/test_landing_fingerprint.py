"""Which batches lie in the data folder, and when a batch counts as changed."""

import os
import shutil
from pathlib import Path

import pytest

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.fingerprint import batch_fingerprint, content_hash, list_batches
from tcell_assets_tests.landing.folders import edit, mapped_folder

LEFTOVERS = ["_READY", ".DS_Store", "._plate_map.csv", "Thumbs.db", "~$plate_map.xlsx", "plate_map.csv~", "x.csv.part",
             "x.crdownload", "#x#", "x.tmp", ".plate_map.csv.swp"]  # fmt: skip


def test_batches_are_the_folders_with_a_usable_name(tmp_path: Path) -> None:
    for name in ("tc2", "tc1", ".staging", "_truth", "bad name", "CON", "tc1.part"):
        (tmp_path / name).mkdir()
    (tmp_path / "screen.yaml").touch()
    found = list_batches(tmp_path)
    assert found.batches == ("tc1", "tc2")
    assert set(found.refused) == {"bad name", "CON"}
    assert "letters, digits" in found.refused["bad name"]
    assert "reserved" in found.refused["CON"]


def test_a_missing_data_folder_holds_no_batch(tmp_path: Path) -> None:
    assert list_batches(tmp_path / "data").batches == ()


def test_a_batch_folder_that_links_out_of_the_data_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tc1").symlink_to(tmp_path / "elsewhere")
    assert list_batches(tmp_path / "data").refused == {"tc1": "is a link out of the data folder"}


def test_the_content_hash_follows_content_and_names_but_not_times(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    before = content_hash(folder)
    os.utime(folder / "plate_map.csv", (1, 1))
    assert content_hash(folder) == before
    shutil.copytree(folder, tmp_path / "copies" / "tc1")
    assert content_hash(tmp_path / "copies" / "tc1") == before
    edit(folder / "plate_map.csv", "Glutamine", "Glutamime")
    changed = content_hash(folder)
    assert changed != before
    (folder / "plate_map.csv").rename(folder / "plate_map_2.csv")
    assert content_hash(folder) not in (before, changed)


def test_the_fingerprint_follows_size_and_time(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    before = batch_fingerprint(folder)
    assert [file.name for file in before.files] == ["expression.csv", "plate_map.csv"]
    assert before.bytes == sum((folder / name).stat().st_size for name in ("expression.csv", "plate_map.csv"))
    os.utime(folder / "plate_map.csv", (1, 1))
    assert batch_fingerprint(folder) != before


@pytest.mark.parametrize("name", LEFTOVERS)
def test_leftovers_change_neither_hash_nor_fingerprint(tmp_path: Path, name: str) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    before = content_hash(folder), batch_fingerprint(folder)
    (folder / name).write_text("leftover")
    assert (content_hash(folder), batch_fingerprint(folder)) == before


def test_the_screen_file_above_counts_because_it_changes_the_reading(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    before = content_hash(folder)
    (tmp_path / "screen.yaml").write_text("plate_format: 96\n")
    assert content_hash(folder) != before
    assert batch_fingerprint(folder).files[0].name == "../screen.yaml"


def test_a_batch_carries_the_hash_of_what_was_read(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    assert read_batch(folder).content_hash == content_hash(folder)
