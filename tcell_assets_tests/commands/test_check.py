"""`tcell check`: what an ingest would understand, with nothing written."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner, Result

from tcell_assets.cli import tcell
from tcell_assets.landing.batch import read_batch
from tcell_assets_tests.landing.test_conditions import screen_folder


def check(*arguments: str) -> Result:
    """What the command says."""
    return CliRunner().invoke(tcell, ["check", *arguments], catch_exceptions=False)


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_checked_and_nothing_is_written(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["drug", "dose_uM"], [["DMSO", ""], ["Torin", 10], ["Torin", 1]])
    before = files(tmp_path)
    result = check(str(folder))
    assert result.exit_code == 0
    assert "compound ← drug, dose ← dose_uM" in result.output
    assert "3: 2 sample, 1 vehicle_control" in result.output
    assert result.output.splitlines()[-1] == "1 of 1 batch can be ingested"
    assert files(tmp_path) == before


def test_a_folder_of_batches_is_checked_batch_by_batch_and_a_refused_one_sets_the_exit_code(
    tmp_path: Path,
) -> None:
    screen_folder(tmp_path / "tc1", ["drug"], [["DMSO"], ["Torin"]])
    screen_folder(tmp_path / "tc2", ["drug"], [["DMSO"], ["Serine"], ["serine"]])
    result = check(str(tmp_path))
    assert result.exit_code == 1
    assert "batch 'tc2' cannot be read, 1 problem:" in result.output
    assert "1 of 2 batches can be ingested" in result.output


def test_a_batch_with_a_folder_for_each_plate_is_one_batch(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["drug"], [["DMSO"], ["Torin"]])
    (folder / "P1").mkdir()
    for name in ("plate_map.csv", "counts.csv"):
        (folder / name).rename(folder / "P1" / name)
    result = check(str(folder))
    assert result.exit_code == 0, result.output
    assert "batch tc1" in result.output


def test_as_json_there_is_one_object_a_batch(tmp_path: Path) -> None:
    screen_folder(tmp_path / "tc1", ["drug"], [["DMSO"], ["Torin"]])
    found = json.loads(check(str(tmp_path / "tc1"), "--json").output)
    assert found["problems"] == []
    assert found["understood"]["n_wells"] == {"sample": 1, "vehicle_control": 1}


def test_the_proposed_screen_yaml_reads_the_folder_as_it_was_read(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["drug", "dose_uM"], [["DMSO", ""], ["Torin", 10], ["Torin", 1]])
    before = read_batch(folder).wells
    result = check(str(folder), "--write-screen-yaml")
    assert result.exit_code == 0
    written = (folder / "screen.yaml").read_text()
    assert "metabolite: drug" in written
    assert "concentration: dose_uM" in written
    assert written.startswith("# ")
    assert read_batch(folder).wells.equals(before)
    again = CliRunner().invoke(tcell, ["check", str(folder), "--write-screen-yaml"])
    assert again.exit_code == 1
    assert "exists" in again.output


def test_the_proposed_screen_yaml_of_a_refused_folder_names_what_is_still_to_be_answered(
    tmp_path: Path,
) -> None:
    folder = screen_folder(
        tmp_path / "tc1", ["drug", "stim"], [["DMSO", "a"], ["Torin", "a"], ["Torin", "b"]]
    )
    assert check(str(folder), "--write-screen-yaml").exit_code == 1
    written = (folder / "screen.yaml").read_text()
    assert "# Still to be answered:" in written
    assert "factors: [stim]" in written


def test_of_many_problems_the_whole_list_lies_in_a_file_that_is_named(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["drug", "batch"], [["DMSO", "x"], *[["Torin", "x"]] * 30])
    result = check(str(folder))
    (line,) = [line for line in result.output.splitlines() if line.startswith("every one of them: ")]
    listed = Path(line.removeprefix("every one of them: "))
    assert len(listed.read_text().splitlines()) == 31
    listed.unlink()


def test_compounds_that_two_batches_spell_otherwise_are_told_with_both(tmp_path: Path) -> None:
    for batch, name in (("tc1", "Torin"), ("tc2", "torin"), ("tc3", "Torin")):
        screen_folder(tmp_path / batch, ["drug"], [["DMSO"], [name]])
    result = check(str(tmp_path))
    told = [line for line in result.output.splitlines() if line.startswith("between batches: ")]
    assert told == [
        "between batches: 'Torin' (batch tc1) and 'torin' (batch tc2) may be one compound: say so under names in the "
        "screen.yaml beside the batches"
    ]
    assert result.exit_code == 0
