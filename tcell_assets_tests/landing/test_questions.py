"""What a plate map leaves open is asked about in a sentence of its own, and the line that it offers answers it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.names import alike
from tcell_assets.landing.problems import LandingError
from tcell_assets_tests.landing.folders import only_problem_of, problems_of
from tcell_assets_tests.landing.test_conditions import screen_folder, wells_of


@pytest.mark.parametrize(
    "word", ["Control", "CTRL", "neg", "NegCtrl", "Positive control", "Compound", "treated"]
)
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
