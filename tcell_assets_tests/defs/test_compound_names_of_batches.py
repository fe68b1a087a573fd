"""A compound that another batch of the screen spells in another way is told at ingest."""

from __future__ import annotations

from pathlib import Path

from upath import UPath

from tcell_assets.defs.assets.ingest import compound_names_beside_others
from tcell_assets.lake.store import Lake, Lineage
from tcell_assets.lake.tables import TABLES
from tcell_assets_tests.landing.test_conditions import screen_folder, wells_of


def lake_with(tmp_path: Path, compounds: list[str]) -> Lake:
    wells = wells_of(
        screen_folder(tmp_path / "data" / "tc1", ["compound"], [["DMSO"], *([name] for name in compounds)])
    )
    lake = Lake(UPath(tmp_path / "lake"))
    lineage = Lineage("well_metadata", "tc1", run_id="r", code_version="1", data_version="h")
    lake.write(TABLES["well_metadata"].with_absent_columns(wells), lineage)
    return lake


def test_another_spelling_in_another_batch_is_named_with_both(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, ["Torin", "Staurosporine"])
    assert compound_names_beside_others(lake, "tc2", ["torin", "AZD"]) == [
        "this batch names 'torin', but batch tc1 'Torin'; if they are one, say so under names in screen.yaml"
    ]
    assert "'Staurosporin'" in compound_names_beside_others(lake, "tc2", ["Staurosporin"])[0]


def test_the_same_names_the_batch_itself_and_a_damaged_table_of_another_are_no_matter(tmp_path: Path) -> None:
    lake = lake_with(tmp_path, ["Torin"])
    assert compound_names_beside_others(lake, "tc2", ["Torin", "AZD"]) == []
    assert compound_names_beside_others(lake, "tc1", ["torin"]) == []
    lake.path("well_metadata", "tc1").write_bytes(b"torn")
    assert compound_names_beside_others(lake, "tc2", ["torin"]) == []
