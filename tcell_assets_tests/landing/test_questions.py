"""What a plate map leaves open is asked about in a sentence of its own, and the line that it offers answers it."""

from __future__ import annotations

import re
from pathlib import Path

import openpyxl
import pytest

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.checking import is_batch
from tcell_assets.landing.names import alike
from tcell_assets.landing.problems import LandingError
from tcell_assets_tests.landing.folders import only_problem_of, problems_of, write_rows
from tcell_assets_tests.landing.test_conditions import screen_folder, wells_of


@pytest.mark.parametrize("word", ["Control", "CTRL", "neg", "NegCtrl", "Positive control"])
def test_a_word_for_a_kind_of_well_is_no_compound_and_is_asked_about(tmp_path: Path, word: str) -> None:
    folder = screen_folder(tmp_path / "tc1", ["compound"], [["DMSO"], ["Torin"], [word], [word]])
    with pytest.raises(LandingError) as caught:
        read_batch(folder)
    (found,) = caught.value.causes()
    assert f"names '{word}', a word for a kind of well, where the compound should stand" in found
    answers = {
        "vehicle_control": re.search(r"control_names: \[[^\]]*\]", found),
        "positive_control": re.search(r"positive_control_names: \[[^\]]*\]", found),
        "sample": re.search(r"names: \{[^}]*\}", found),
    }
    for kind, line in answers.items():
        assert line is not None
        (folder / "screen.yaml").write_text(f"{line.group()}\n", encoding="utf-8")
        assert wells_of(folder)["well_type"].tolist() == ["vehicle_control", "sample", kind, kind]


def test_a_word_for_treated_wells_is_read_as_a_name_and_told_with_its_wells(tmp_path: Path) -> None:
    batch = read_batch(screen_folder(tmp_path / "tc1", ["treatment"], [["DMSO"], ["compound"], ["compound"]]))
    assert any(note.startswith("2 wells are called 'compound', as if a kind of") for note in batch.notes)
    assert dict(batch.understood.rows())["compounds"] == "1: compound (2)"


@pytest.mark.parametrize(
    "name",
    [
        "Vehicle (DMSO)",
        "DMSO (vehicle)",
        "Medium + DMSO",
        "RPMI + 0.1% DMSO",
        "DMSO_2",
        "DMSO wells",
        "DMSO-0.1pct",
    ],
)
def test_further_spellings_of_the_vehicle_are_the_vehicle(tmp_path: Path, name: str) -> None:
    wells = wells_of(screen_folder(tmp_path / "tc1", ["compound"], [["DMSO"], ["Torin"], [name]]))
    assert wells["well_type"][2] == "vehicle_control"
    assert wells["metabolite"][2] == "DMSO"


@pytest.mark.parametrize(("name", "kind"), [("n.a.", "empty"), ("RPMI", "untreated"), ("UnTrt", "untreated")])
def test_further_names_of_wells_without_a_compound(tmp_path: Path, name: str, kind: str) -> None:
    wells = wells_of(screen_folder(tmp_path / "tc1", ["compound"], [["DMSO"], ["Torin"], [name]]))
    assert wells["well_type"][2] == kind


def test_a_well_that_is_flagged_as_dmso_needs_no_name(tmp_path: Path) -> None:
    rows = [["DMSO", "yes"], ["Torin", "no"], ["", "yes"]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["compound", "Is DMSO?"], rows))
    assert wells["metabolite"].tolist() == ["DMSO", "Torin", "DMSO"]
    assert wells["is_dmso"].tolist() == [True, False, True]


def test_a_name_that_is_dmso_in_one_well_and_not_in_another_is_a_contradiction(tmp_path: Path) -> None:
    rows = [["DMSO", "TRUE"], ["Torin", "TRUE"], ["Torin", "FALSE"]]
    folder = screen_folder(tmp_path / "tc1", ["compound", "is_dmso"], rows)
    assert "says that 'Torin' is DMSO, and elsewhere that it is not" in only_problem_of(folder)


def test_cells_alone_that_only_their_type_calls_untreated_are_believed(tmp_path: Path) -> None:
    rows = [["DMSO", "ctl_vehicle"], ["Jurkat", "ctl_untrt"], ["Torin", "trt_cp"]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["pert_iname", "pert_type"], rows))
    assert wells["well_type"].tolist() == ["vehicle_control", "untreated", "sample"]


def test_each_contradiction_about_a_control_offers_what_answers_it(tmp_path: Path) -> None:
    rows = [["DMSO", "poscon"], ["Torin", "negcon"], ["DMSO", "negcon"], ["Torin", "trt"]]
    vehicle, compound = problems_of(screen_folder(tmp_path / "tc1", ["compound", "control_type"], rows))
    assert str(vehicle).endswith("names 'DMSO' and says positive_control. Correct one of the two.")
    assert "control_names: [DMSO, Torin]" in str(compound)


def test_words_of_a_type_column_that_nobody_knows_are_asked_about(tmp_path: Path) -> None:
    rows = [["DMSO", "LC"], ["Torin", "S"], ["Torin", "HC"]]
    found = only_problem_of(screen_folder(tmp_path / "tc1", ["compound", "sample_type"], rows))
    assert "has the column 'sample_type', which is read as sample type" in found
    assert "'HC', 'LC', 'S' differ between wells of one condition ('Torin')" in found


def test_words_of_a_type_column_that_contradict_nothing_are_a_note(tmp_path: Path) -> None:
    rows = [["DMSO", "vehicle"], ["Torin", "Plated"], ["Torin", "Plated"]]
    notes = read_batch(screen_folder(tmp_path / "tc1", ["compound", "sample_type"], rows)).notes
    assert "plate_map.csv: words of the column sample_type that say nothing of a well: 'Plated'" in notes


@pytest.mark.parametrize("first", ["", "NA", "DMSO", "Media"])
def test_nothing_in_the_first_column_and_a_compound_in_the_second_is_that_compound(
    tmp_path: Path, first: str
) -> None:
    header = ["Drug A", "Drug A conc (nM)", "Drug B", "Drug B conc (nM)"]
    rows = [
        ["DMSO", "", "DMSO", ""],
        ["Torin", "10", "", ""],
        [first, "", "Torin", "10"],
        ["Torin", "10", "AZD", "20"],
    ]
    wells = wells_of(screen_folder(tmp_path / "tc1", header, rows))
    both = "AZD 0.02 uM + Torin 0.01 uM"
    assert wells["condition"].tolist() == ["DMSO", "Torin 0.01 uM", "Torin 0.01 uM", both]
    assert wells["compound"].tolist() == ["DMSO", "Torin", "Torin", "AZD + Torin"]


@pytest.mark.parametrize(
    "written", ["1 day", "24hr", "1440 min", "D1", "day 1", "24 hpt", "24 h post treatment"]
)
def test_a_time_is_an_amount_however_it_is_written(tmp_path: Path, written: str) -> None:
    rows = [["DMSO", "24 h"], ["Torin", "24 h"], ["Torin", written], ["Torin", "6 h"]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["drug", "Timepoint"], rows))
    assert wells["time_h"].tolist() == [24, 24, 24, 6]


@pytest.mark.parametrize(
    ("header", "cells", "found", "answer"),
    [
        ("dose", ("10 uM", "10"), "gives the dose '10' without a unit, where others have one", "dose_unit: uM"),
        ("timepoint", ("24 h", "24"), "gives the time '24' without a unit, where others have", "time_unit: h"),
        ("time", ("24 h", "late"), "gives the time 'late', where others are numbers", "ignore_columns: [time]"),
    ],
)  # fmt: skip
def test_amounts_that_cannot_be_compared_with_the_others_are_asked_about(
    tmp_path: Path, header: str, cells: tuple[str, str], found: str, answer: str
) -> None:
    rows = [["DMSO", ""], *(["Torin", cell] for cell in cells)]
    folder = screen_folder(tmp_path / "tc1", ["drug", header], rows)
    assert found in only_problem_of(folder)
    (folder / "screen.yaml").write_text(f"{answer}\n")
    assert wells_of(folder)["condition"].nunique() == 2


def test_a_dose_of_nothing_needs_no_unit(tmp_path: Path) -> None:
    rows = [["DMSO", "0"], ["Torin", "0"], ["Torin", "10 uM"]]
    assert wells_of(screen_folder(tmp_path / "tc1", ["drug", "dose"], rows))["condition"].nunique() == 3


def test_every_column_that_is_asked_about_has_a_sentence_and_an_answer_of_its_own(tmp_path: Path) -> None:
    rows = [["DMSO", "WT", "3"], ["Torin", "WT", "3"], ["Torin", "KO", "4"]]
    folder = screen_folder(tmp_path / "tc1", ["compound", "genotype", "passage"], rows)
    with pytest.raises(LandingError) as caught:
        read_batch(folder)
    causes = caught.value.causes()
    assert len(causes) == 2
    for cause, column in zip(causes, ("genotype", "passage"), strict=True):
        assert f"factors: [{column}] if it tells conditions apart" in cause


def test_names_with_a_letter_more_or_two_in_the_wrong_order_look_alike() -> None:
    groups = alike(["Staurosporine", "Staurosporin", "Stauropsorine", "Torin", "torin", "Rapamycin"])
    assert groups == [["Stauropsorine", "Staurosporin", "Staurosporine"], ["Torin", "torin"]]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cystine", "Cysteine"), ("Ethyl vanillate", "Methyl vanillate"), ("α-Tocotrienol", "γ-Tocotrienol"),
        ("Vitamin D2", "Vitamin D3"), ("Diethyl succinate", "Dimethyl succinate"), ("Compound A", "Compound AB"),
        ("Analogue 12", "Analogue 122"),
    ],
)  # fmt: skip
def test_compounds_that_differ_by_a_letter_in_chemistry_do_not(one: str, other: str) -> None:
    assert alike([one, other]) == []


@pytest.mark.parametrize("other", ["\u0410TP", "\uff21\uff34\uff30", "atp"])
def test_letters_of_another_alphabet_or_width_look_like_latin_ones(tmp_path: Path, other: str) -> None:
    folder = screen_folder(tmp_path / "tc1", ["compound"], [["DMSO"], ["ATP"], [other]])
    assert "spells what may be one compound as" in only_problem_of(folder)


@pytest.mark.parametrize("other", ["Donor 1", "D1", "donor-01", "Patient 1"])
def test_a_donor_by_number_and_by_word_is_asked_about(tmp_path: Path, other: str) -> None:
    rows = [["DMSO", "1"], ["Torin", "1"], ["Torin", other], ["Torin", "2"]]
    found = only_problem_of(screen_folder(tmp_path / "tc1", ["compound", "donor"], rows))
    assert f"spells what may be one donor as '1', '{other}'" in found


def test_levels_of_a_factor_that_look_alike_are_asked_about_and_names_answers(tmp_path: Path) -> None:
    rows = [
        ["DMSO", "CD3/CD28"],
        ["Torin", "CD3/CD28"],
        ["Torin", "cd3-cd28"],
        ["Torin", "2.5"],
        ["Torin", "25"],
    ]
    folder = screen_folder(tmp_path / "tc1", ["compound", "stimulus"], rows)
    (folder / "screen.yaml").write_text("factors: [stimulus]\n")
    found = only_problem_of(folder)
    assert "spells what may be one level of 'stimulus' as 'CD3/CD28', 'cd3-cd28'" in found
    line = found.split("Say in screen.yaml ")[1].split(" if they are one")[0]
    (folder / "screen.yaml").write_text(f"factors: [stimulus]\n{line}\n")
    assert wells_of(folder)["condition"].nunique() == 4


def test_rows_may_be_numbered_from_one(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["compound"], [["DMSO"], ["Torin"], ["Torin"]])
    rows = [["P1", "1", str(at), name] for at, name in enumerate(["DMSO", "Torin", "Torin"], start=1)]
    header = ["plate", "Row", "Col", "compound"]
    write_rows(folder / "plate_map.csv", [header, *rows])
    assert wells_of(folder)["well"].tolist() == ["A1", "A2", "A3"]
    write_rows(folder / "plate_map.csv", [header, *rows, ["P1", "0", "4", "Torin"]])
    assert "which is not a well name" in str(problems_of(folder)[0])


def test_two_causes_of_one_kind_each_have_their_own_next_step(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["compound"], [["DMSO"], ["Torin"]])
    (folder / "screen.yaml").write_text("factor: [a]\ncontrol_name: DMSO\n")
    with pytest.raises(LandingError) as caught:
        read_batch(folder)
    (cause,) = caught.value.causes()
    assert "The nearest setting is factors" in cause
    assert "The nearest setting is control_names" in cause


def test_one_file_a_well_is_told_to_be_merged_and_not_listed_whole(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["compound"], [["DMSO"], ["Torin"]])
    (folder / "counts.csv").unlink()
    for number in range(1, 41):
        (folder / f"P1_A{number}_ReadsPerGene.out.tab").write_text("N_unmapped\t1\t1\t1\nIL2RA\t5\t5\t0\n")
    found = only_problem_of(folder)
    assert "Merge the files of one sample each into counts.tsv" in found
    assert "and 32 more" in found


def test_a_folder_that_holds_a_zarr_store_alone_is_a_batch(tmp_path: Path) -> None:
    store = tmp_path / "tc1" / "counts.zarr"
    store.mkdir(parents=True)
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    assert is_batch(tmp_path / "tc1")
    assert not is_batch(tmp_path)


def test_a_lincs_map_is_read_by_its_own_names(tmp_path: Path) -> None:
    header = ["rna_plate", "rna_well", "pert_mfc_desc", "pert_type", "pert_idose", "pert_itime", "cell_id"]
    rows = [
        ["X1", "A01", "DMSO", "ctl_vehicle", "-666", "24 h", "A549"],
        ["X1", "A02", "vorinostat", "trt_cp", "10 µM", "24 h", "A549"],
        ["X1", "A03", "vorinostat", "trt_cp", "500 nM", "24 h", "A549"],
        ["X1", "A04", "UnTrt", "ctl_untrt", "-666", "24 h", "A549"],
    ]
    folder = tmp_path / "tc1"
    write_rows(folder / "plate_map.tsv", [header, *rows], delimiter="\t")
    counts = [[f"X1_A{number}", number] for number in range(1, 5)]
    write_rows(folder / "counts.csv", [["well_id", "IL2RA"], *counts])
    wells = wells_of(folder)
    assert wells["condition"].tolist() == [
        "DMSO, 24 h, A549", "vorinostat 10 uM, 24 h, A549", "vorinostat 0.5 uM, 24 h, A549", "UnTrt, 24 h, A549",
    ]  # fmt: skip
    assert wells["well_type"].tolist() == ["vehicle_control", "sample", "sample", "untreated"]


def test_a_title_above_the_header_of_a_workbook_is_left_out_with_a_note(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["compound"], [["DMSO"], ["Torin"]])
    (folder / "plate_map.csv").unlink()
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    titled = [["Plate map of experiment 12"], [], ["plate", "well", "compound"]]
    for row in (*titled, ["P1", "A1", "DMSO"], ["P1", "A2", "Torin"]):
        sheet.append(row)
    book.save(folder / "plate_map.xlsx")
    batch = read_batch(folder)
    assert batch.wells["metabolite"].tolist() == ["DMSO", "Torin"]
    assert (
        "plate_map.xlsx: 1 rows above the header were left out: 'Plate map of experiment 12'" in batch.notes
    )


@pytest.mark.parametrize("column", ["days", "step", "gradient"])
def test_a_factor_that_happens_to_be_the_number_of_its_column_is_asked_about(
    tmp_path: Path, column: str
) -> None:
    rows = [["DMSO", "1"], ["Torin", "2"], ["Torin", "3"], ["Torin", "4"]]
    assert f"has the column '{column}'" in only_problem_of(
        screen_folder(tmp_path / "tc1", ["drug", column], rows)
    )


def test_a_factor_of_which_every_well_has_its_own_level_is_asked_about(tmp_path: Path) -> None:
    rows = [["DMSO", "none"], ["Torin", "CD3"], ["Torin", "CD28"]]
    found = only_problem_of(screen_folder(tmp_path / "tc1", ["drug", "stimulation"], rows))
    assert "factors: [stimulation] if it tells conditions apart" in found


@pytest.mark.parametrize("line", ["factors: [Stim_Kind]", "ignore_columns: [STIM KIND]"])
def test_screen_yaml_may_spell_a_column_otherwise(tmp_path: Path, line: str) -> None:
    rows = [["DMSO", "a"], ["Torin", "a"], ["Torin", "b"]]
    folder = screen_folder(tmp_path / "tc1", ["drug", "stim kind"], rows)
    (folder / "screen.yaml").write_text(f"{line}\n")
    assert wells_of(folder)["condition"].nunique() == (3 if "factors" in line else 2)


def test_what_screen_yaml_names_and_no_well_or_map_has_is_a_note(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["drug"], [["DMSO"], ["Torin"]])
    (folder / "screen.yaml").write_text("factors: [stim]\npositive_control_names: [Ionomycin]\n")
    notes = read_batch(folder).notes
    assert "plate_map.csv: has no column 'stim', which screen.yaml lists under factors" in notes
    assert "no well holds 'Ionomycin', which screen.yaml lists under positive_control_names" in notes


def test_two_doses_in_one_cell_are_no_dose(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["drug", "dose"], [["DMSO", ""], ["A/B", "10/5 uM"]])
    assert "holds '10/5 uM', which is not a number" in only_problem_of(folder)
