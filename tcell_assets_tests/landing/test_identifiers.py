"""What identifies a compound: columns of the plate map and one `compounds.csv`, kept as written, never said twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tcell_assets.landing.arrivals import scan_folder
from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.fingerprint import content_hash
from tcell_assets.landing.identifiers import addresses
from tcell_assets_tests.landing.folders import only_problem_of, write_rows
from tcell_assets_tests.landing.test_conditions import screen_folder

HEADER = ["metabolite", "dose_um", "PubChem CID", "ChEBI ID", "HMDB", "MoA"]
INOSINE = ["6021", "CHEBI:17596", "HMDB0000195", "purine"]
ROWS = [
    ["DMSO", "", "", "", "", ""],
    ["Inosine", "1", *INOSINE],
    ["Inosine", "10", "6021.0", "17596", "hmdb0000195", ""],
    ["Uridine", "1", "", "", "", "NA"],
]


def _said(folder: Path) -> dict[str, dict[str, str]]:
    """What is known by compound, without what is not."""
    table = read_batch(folder).identifiers.set_index("compound")
    return {
        str(compound): {str(kind): value for kind, value in row.items() if value is not None}
        for compound, row in table.iterrows()
    }


def test_identifiers_of_a_plate_map_are_one_row_a_compound_however_they_are_spelled(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", HEADER, ROWS)
    assert _said(folder) == {
        "Inosine": dict(zip(("pubchem_cid", "chebi", "hmdb", "mechanism"), INOSINE, strict=True))
    }


def test_identifiers_tell_no_conditions_apart_and_are_no_unread_columns(tmp_path: Path) -> None:
    plain = read_batch(screen_folder(tmp_path / "a" / "tc1", HEADER[:2], [row[:2] for row in ROWS]))
    named = read_batch(screen_folder(tmp_path / "b" / "tc1", HEADER, ROWS))
    assert named.wells.equals(plain.wells)
    assert not [note for note in named.notes if "MoA" in note or "PubChem" in note]


def test_a_listing_beside_the_batches_identifies_their_compounds(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], ["Inosine"], ["NA"], ["Uridine"]])
    write_rows(
        tmp_path / "compounds.csv",
        [
            ["compound", "pubchem_cid", "class", "supplier"],
            ["Inosine", "6021", "purine", "A"],
            ["Another screen's", "1", "", "B"],
            ["Uridine", "", "pyrimidine", "A"],
        ],
    )
    assert _said(folder) == {
        "Inosine": {"pubchem_cid": "6021", "mechanism": "purine"},
        "Uridine": {"mechanism": "pyrimidine"},
    }


def test_a_changed_listing_is_a_change_of_every_batch_and_its_absence_is_none(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], ["Inosine"]])
    without = content_hash(folder), scan_folder(folder).stamp
    listing = tmp_path / "compounds.csv"
    write_rows(listing, [["compound", "smiles"], ["Inosine", "C1"]])
    first = content_hash(folder), scan_folder(folder).stamp
    assert read_batch(folder).content_hash == first[0]
    write_rows(listing, [["compound", "smiles"], ["Inosine", "C2"]])
    second = content_hash(folder), scan_folder(folder).stamp
    assert len({without[0], first[0], second[0]}) == len({without[1], first[1], second[1]}) == 3
    listing.unlink()
    assert content_hash(folder) == without[0]


@pytest.mark.parametrize("by_listing", [False, True])
def test_two_identifiers_of_one_compound_are_refused_with_both_places(
    tmp_path: Path, by_listing: bool
) -> None:
    rows = [*ROWS[:2], ["Inosine", "10", "6022", "", "", ""]] if not by_listing else ROWS[:2]
    folder = screen_folder(tmp_path / "tc1", HEADER, rows)
    if by_listing:
        write_rows(tmp_path / "compounds.csv", [["compound", "cid"], ["Inosine", "6022"]])
    problem = only_problem_of(folder)
    assert "pubchem_cid of 'Inosine' is '6022'" in problem
    assert "plate_map.csv row 3 that it is '6021'" in problem
    assert "ignore_columns: [" in problem


def test_what_is_no_identifier_is_kept_said_and_not_linked(tmp_path: Path) -> None:
    folder = screen_folder(
        tmp_path / "tc1", ["metabolite", "pubchem_cid"], [["DMSO", ""], ["Inosine", "see vendor"]]
    )
    batch = read_batch(folder)
    (row,) = batch.identifiers.to_dict("records")
    assert row["pubchem_cid"] == "see vendor"
    assert [note for note in batch.notes if "kept as written and not linked" in note and "Inosine" in note]
    assert addresses({"pubchem_cid": "see vendor", "chebi": "CHEBI:17596"}) == {
        "ChEBI": "https://www.ebi.ac.uk/chebi/searchId.do?chebiId=CHEBI:17596"
    }


def test_of_a_well_with_two_compounds_nothing_is_taken(tmp_path: Path) -> None:
    header = ["compound", "compound_2", "pubchem_cid"]
    folder = screen_folder(
        tmp_path / "tc1", header, [["DMSO", "", ""], ["Inosine", "Uridine", "6021"], ["Inosine", "", ""]]
    )
    assert _said(folder) == {}


def test_a_listing_that_leads_elsewhere_or_names_no_compound_is_refused(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], ["Inosine"]])
    listing = tmp_path / "compounds.csv"
    write_rows(listing, [["supplier", "smiles"], ["A", "C"]])
    assert "has no compound column" in only_problem_of(folder)
    listing.unlink()
    os.symlink("/etc/passwd", listing)  # noqa: PTH211
    assert "is a link" in only_problem_of(folder)
