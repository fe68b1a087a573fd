"""What a plate map means: conditions, compounds, doses, controls, empty wells, names and columns that nobody read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tcell_assets.landing.batch import LandedBatch, read_batch
from tcell_assets.landing.importing import import_published_folder
from tcell_assets.landing.problems import LandingError
from tcell_assets.landing.quantities import header_with_unit, read_quantity, time_unit
from tcell_assets_tests.landing.folders import only_problem_of, published_folder, write_column, write_rows

GENES = ("IL2RA", "CD69", "SELL")


def screen_folder(folder: Path, header: Sequence[str], rows: Sequence[Any]) -> Path:
    """A batch of counts with these wells on plate P1, from A1 on; the map's header follows plate and well."""
    wells = [f"{'ABCDEFGH'[number // 12]}{number % 12 + 1}" for number in range(len(rows))]
    write_rows(
        folder / "plate_map.csv",
        [["plate", "well", *header], *(["P1", well, *row] for well, row in zip(wells, rows, strict=True))],
    )
    counts = [
        [f"P1_{well}", *((number * 7 + gene * 3) % 11 + 1 for gene in range(3))]
        for number, well in enumerate(wells)
    ]
    write_rows(
        folder / "counts.csv",
        [["well_id", *GENES], *([f"{folder.name}_{row[0]}", *row[1:]] for row in counts)],
    )
    return folder


def wells_of(folder: Path) -> pd.DataFrame:
    """The wells of a folder that is read."""
    return read_batch(folder).wells


def test_without_factors_condition_compound_and_metabolite_are_one(tmp_path: Path) -> None:
    wells = wells_of(
        screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], ["Serine"], ["Serine"], ["Uridine"]])
    )
    assert wells["condition"].tolist() == wells["metabolite"].tolist() == wells["compound"].tolist()
    assert wells["well_type"].tolist() == ["vehicle_control", "sample", "sample", "sample"]
    assert set(wells["context"]) == {""}
    assert wells[["dose_um", "dose_written", "time_h", "cell_line", "donor", "factors"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        (["Concentration (uM)"], ["0.1"], ["10"]),
        (["dose_um"], ["0.1"], ["10"]),
        (["Conc [nM]"], ["100"], ["10000"]),
        (["mmoles_per_liter"], ["1e-4"], ["0.01"]),
        (["dose", "dose_unit"], ["100", "nM"], ["10", "µM"]),
        (["concentration", "unit"], ["0.0001", "mM"], ["0.00001", "M"]),
        (["dose"], ["100 nM"], ["10uM"]),
        (["final_conc_uM"], ["0,1"], ["10"]),
    ],
)
def test_doses_are_amounts_whatever_their_unit_and_wherever_it_stands(
    tmp_path: Path, header: list[str], low: list[str], high: list[str]
) -> None:
    blank = [""] * len(header)
    rows = [["DMSO", *blank], ["Torin", *low], ["Torin", *high], ["Torin", *low], ["Torin", *high]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["compound", *header], rows))
    assert wells["condition"].tolist() == ["DMSO", *["Torin 0.1 uM", "Torin 10 uM"] * 2]
    assert wells["dose_um"].tolist()[1:] == pytest.approx([0.1, 10, 0.1, 10])
    assert set(wells["compound"]) == {"DMSO", "Torin"}


def test_a_dose_in_nanomolar_is_no_replicate_of_one_in_micromolar(tmp_path: Path) -> None:
    rows = [["DMSO", "", ""], ["Torin", 10, "nM"], ["Torin", 10, "uM"], ["Torin", 0.01, "uM"]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["compound", "dose", "unit"], rows))
    assert wells["condition"].tolist() == ["DMSO", "Torin 0.01 uM", "Torin 10 uM", "Torin 0.01 uM"]
    assert wells["dose_written"].tolist()[1:] == ["10 nM", "10 uM", "0.01 uM"]


def test_the_same_dose_in_two_batches_is_one_condition_even_where_one_batch_has_only_that_dose(
    tmp_path: Path,
) -> None:
    one = screen_folder(tmp_path / "tc1", ["compound", "dose_um"], [["DMSO", ""], ["Torin", 10]])
    two = screen_folder(
        tmp_path / "tc2", ["compound", "dose_nM"], [["DMSO", ""], ["Torin", 10000], ["Torin", 1000]]
    )
    assert wells_of(one)["condition"].tolist()[1] == wells_of(two)["condition"].tolist()[1] == "Torin 10 uM"


def test_a_mass_has_no_dose_in_micromolar_and_is_a_unit_of_its_own(tmp_path: Path) -> None:
    rows = [["DMSO", ""], ["Insulin", "10 ng/ml"], ["Insulin", "0.01 ug/mL"], ["Insulin", "10 nM"]]
    batch = read_batch(screen_folder(tmp_path / "tc1", ["compound", "dose"], rows))
    assert batch.wells["condition"].tolist() == [
        "DMSO",
        "Insulin 10 ng/ml",
        "Insulin 10 ng/ml",
        "Insulin 0.01 uM",
    ]
    assert batch.wells["dose_um"].notna().tolist() == [False, False, False, True]
    assert "doses stand in units that are never compared: ng/ml, uM" in batch.notes


def test_a_dose_without_a_unit_is_told_and_screen_yaml_says_it(tmp_path: Path) -> None:
    folder = screen_folder(
        tmp_path / "tc1", ["compound", "dose"], [["DMSO", ""], ["Torin", 10], ["Torin", 1]]
    )
    batch = read_batch(folder)
    assert batch.wells["dose_um"].isna().all()
    assert any("dose_unit: uM" in note for note in batch.notes)
    (folder / "screen.yaml").write_text("dose_unit: nM\n")
    assert wells_of(folder)["dose_um"].tolist()[1:] == [0.01, 0.001]


def test_controls_have_no_dose_whatever_stands_beside_them(tmp_path: Path) -> None:
    rows = [["DMSO", 10], ["DMSO", 1], ["Media", 10], ["Torin", 10], ["Torin", 1]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["compound", "dose_um"], rows))
    assert wells["condition"].tolist() == ["DMSO", "DMSO", "Media", "Torin 10 uM", "Torin 1 uM"]
    assert wells["metabolite"].tolist()[:3] == ["DMSO", "DMSO", "Media"]
    assert wells["dose_um"].isna().tolist() == [True, True, True, False, False]


def test_a_cell_that_contradicts_its_columns_unit_is_named(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["compound", "dose_nM"], [["DMSO", ""], ["Torin", "10 uM"]])
    assert "holds '10 uM' in a column of 'nM'" in only_problem_of(folder)


def test_doses_inside_names_are_read_where_names_share_a_compound(tmp_path: Path) -> None:
    rows = [
        ["DMSO"],
        ["Torin_10uM"],
        ["Torin_100 nM"],
        ["Torin_10uM"],
        ["Factor 8M"],
        ["AZD-8055-10nM"],
        ["INK@1uM"],
    ]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["compound"], rows))
    assert wells["compound"].tolist() == ["DMSO", "Torin", "Torin", "Torin", "Factor 8M", "AZD-8055", "INK"]
    assert wells["condition"].tolist()[1:4] == ["Torin 10 uM", "Torin 0.1 uM", "Torin 10 uM"]
    assert wells["dose_um"].tolist()[5:] == [0.01, 1]
    assert wells["metabolite"].tolist()[1] == "Torin_10uM"


def test_two_compounds_are_a_condition_of_their_own_in_either_order(tmp_path: Path) -> None:
    header = ["treatment_1", "treatment_2", "concentration_1", "concentration_2", "unit_1", "unit_2"]
    rows = [
        ["DMSO", "", "", "", "", ""],
        ["Torin", "", 10, "", "uM", ""],
        ["Torin", "AZD", 10, 5, "uM", "uM"],
        ["AZD", "Torin", 5, 10, "uM", "uM"],
        ["Torin", "DMSO", 10, "", "uM", ""],
        ["DMSO", "AZD", "", 5, "", "uM"],
    ]
    wells = wells_of(screen_folder(tmp_path / "tc1", header, rows))
    both = "AZD 5 uM + Torin 10 uM"
    assert wells["condition"].tolist() == ["DMSO", "Torin 10 uM", both, both, "Torin 10 uM", "AZD 5 uM"]
    assert wells["compound"].tolist() == ["DMSO", "Torin", "AZD + Torin", "AZD + Torin", "Torin", "AZD"]


def test_time_cell_line_and_donor_tell_conditions_apart(tmp_path: Path) -> None:
    header = ["drug", "Time (min)", "cell.line.name", "donor"]
    rows = [["DMSO", 360, "A549", 1], ["Torin", 360, "A549", 1], ["Torin", 1440, "A549", 1], ["Torin", 360, "U2OS", 1],
            ["Torin", 360, "A549", 2]]  # fmt: skip
    wells = wells_of(screen_folder(tmp_path / "tc1", header, rows))
    assert wells["condition"].nunique() == 5
    assert wells["condition"][1] == "Torin, 6 h, A549, donor 1"
    assert wells["context"][1] == wells["context"][0] == "6 h, A549, donor 1"
    assert wells["time_h"].tolist() == [6, 6, 24, 6, 6]
    assert set(wells["compound"]) == {"DMSO", "Torin"}
    assert wells["metabolite"].tolist() == ["DMSO", *["Torin"] * 4]


@pytest.mark.parametrize(
    ("column", "levels", "line"),
    [
        ("stimulation", ("CD3", "CD28"), "factors: [stimulation]"),
        (
            "final_molarity",
            ("1", "10"),
            "columns: {concentration: final_molarity} if it is the concentration",
        ),
        ("harvested after", ("6 h", "24 h"), "columns: {time_unit: harvested after}"),
        ("volume_nl", ("2.5", "25"), "ignore_columns: [volume_nl]"),
        ("line", ("Jurkat", "primary"), "columns: {cell_line: line} if it is the cell line"),
        ("treated", ("", "yes"), "factors: [treated]"),
    ],
)
def test_an_unread_column_that_varies_within_a_condition_is_a_question(
    tmp_path: Path, column: str, levels: tuple[str, str], line: str
) -> None:
    rows = [["DMSO", levels[0]], ["Torin", levels[0]], ["Torin", levels[1]]]
    folder = screen_folder(tmp_path / "tc1", ["metabolite", column], rows)
    found = only_problem_of(folder)
    what = "is read as volume and tells no conditions apart" if column == "volume_nl" else "nobody reads"
    assert f"has the column '{column}', which {what}" in found
    assert "differ between wells of one condition ('Torin')" in found
    if "time_unit" not in line:
        assert line in found
    (folder / "screen.yaml").write_text(f"ignore_columns: ['{column}']\n")
    assert wells_of(folder)["condition"].nunique() == 2
    (folder / "screen.yaml").write_text(f"factors: ['{column}']\n")
    assert wells_of(folder)["condition"].nunique() == 3


def test_a_declared_factor_is_kept_by_name(tmp_path: Path) -> None:
    folder = screen_folder(
        tmp_path / "tc1", ["metabolite", "stim"], [["DMSO", "a"], ["Torin", "a"], ["Torin", "b"]]
    )
    (folder / "screen.yaml").write_text("factors: stim\n")
    wells = wells_of(folder)
    assert wells["factors"].tolist() == ["stim=a", "stim=a", "stim=b"]
    assert wells["condition"].tolist() == ["DMSO, stim a", "Torin, stim a", "Torin, stim b"]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("replicate", ["1", "1", "2"]),
        ("comment", ["", "", "bubble"]),
        ("well_barcode", ["AAC", "AAG", "AAT"]),
        ("sample name", ["s1", "s2", "s3"]),
        ("nCount_RNA", ["65", "80", "65"]),
        ("source_well", ["A1", "B1", "B2"]),
        ("col_number", ["1", "2", "3"]),
    ],
)
def test_identifiers_measurements_comments_and_coordinates_are_no_factor(
    tmp_path: Path, column: str, cells: list[str]
) -> None:
    rows = [[name, cell] for name, cell in zip(["DMSO", "Torin", "Torin"], cells, strict=True)]
    batch = read_batch(screen_folder(tmp_path / "tc1", ["metabolite", column], rows))
    assert batch.wells["condition"].nunique() == 2


def test_a_column_that_does_not_vary_is_a_note(tmp_path: Path) -> None:
    rows = [["DMSO", "human"], ["Torin", "human"], ["Torin", "human"]]
    batch = read_batch(screen_folder(tmp_path / "tc1", ["metabolite", "species"], rows))
    assert "plate_map.csv: columns not read: species" in batch.notes


def test_a_column_of_types_beside_the_names_is_the_type(tmp_path: Path) -> None:
    rows = [["vehicle", "DMSO"], ["compound", "Torin"], ["compound", "AZD"]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["Treatment", "drug"], rows))
    assert wells["compound"].tolist() == ["DMSO", "Torin", "AZD"]
    assert wells["well_type"].tolist() == ["vehicle_control", "sample", "sample"]


def test_a_blank_compound_is_what_its_solvent_and_control_type_say(tmp_path: Path) -> None:
    header = ["broad_sample", "mmoles_per_liter", "solvent", "control_type"]
    rows = [
        ["", "", "DMSO", "negcon"],
        ["BRD-1", 5, "DMSO", ""],
        ["BRD-2", 5, "DMSO", "poscon_cp"],
        ["", "", "DMSO", ""],
        ["NA", "", "", "empty"],
        ["", "", "", "untreated"],
    ]
    wells = wells_of(screen_folder(tmp_path / "tc1", header, rows))
    assert wells["well_type"].tolist() == [
        "vehicle_control", "sample", "positive_control", "vehicle_control", "empty", "untreated",
    ]  # fmt: skip
    assert wells["metabolite"].tolist() == ["DMSO", "BRD-1", "BRD-2", "DMSO", "NA", "untreated"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dmso", "vehicle_control"), ("DMSO_0.1%", "vehicle_control"), ("DMSO 0.1 %", "vehicle_control"),
        ("0.5% DMSO", "vehicle_control"), ("Vehicle", "vehicle_control"), ("DMSO control", "vehicle_control"),
        ("dimethyl sulfoxide", "vehicle_control"), ("Media only", "untreated"), ("medium", "untreated"),
        ("Water", "untreated"), ("H2O", "untreated"), ("Untreated", "untreated"), ("PBS", "untreated"),
        ("EMPTY", "empty"), ("Empty well", "empty"), ("blank", "empty"), ("NA", "empty"), ("None", "empty"),
        ("Nalidixic acid", "sample"), ("Watermelon extract", "sample"), ("Dimethyl sulfone", "sample"),
        ("DMSO2-analogue", "sample"), ("Vehiclin", "sample"),
    ],
)  # fmt: skip
def test_names_alone_say_what_a_well_is(tmp_path: Path, name: str, kind: str) -> None:
    wells = wells_of(screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], ["Torin"], [name]]))
    assert wells["well_type"][2] == kind


@pytest.mark.parametrize(
    ("name", "sample_type", "said"),
    [("DMSO", "sample", "sample"), ("DMSO", "positive_control", "positive_control"),
     ("Torin", "negcon", "negative_control"), ("EMPTY", "poscon", "positive_control")],
)  # fmt: skip
def test_a_contradiction_about_a_control_is_named(
    tmp_path: Path, name: str, sample_type: str, said: str
) -> None:
    rows = [["DMSO", "vehicle"], ["Torin", "sample"], [name, sample_type]]
    folder = screen_folder(tmp_path / "tc1", ["metabolite", "sample_type"], rows)
    assert f"row 4: names '{name}' and says {said}" in only_problem_of(folder)


def test_a_vehicle_that_only_its_type_names_is_believed(tmp_path: Path) -> None:
    rows = [["Ethanol", "vehicle_control"], ["Ethanol", "vehicle_control"], ["Torin", "sample"]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["metabolite", "sample_type"], rows))
    assert wells["well_type"].tolist() == ["vehicle_control", "vehicle_control", "sample"]
    assert wells["metabolite"].tolist() == ["Ethanol", "Ethanol", "Torin"]


def test_a_type_column_that_never_varies_contradicts_nothing(tmp_path: Path) -> None:
    rows = [["DMSO", "sample"], ["Torin", "sample"]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["metabolite", "sample_type"], rows))
    assert wells["is_dmso"].tolist() == [True, False]


def test_a_well_without_volume_holds_nothing(tmp_path: Path) -> None:
    rows = [["DMSO", 25], ["Torin", 25], ["Torin", 0]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["metabolite", "volume_nl"], rows))
    assert wells["well_type"].tolist() == ["vehicle_control", "sample", "empty"]


def test_what_no_reader_can_tell_apart_is_one_name_with_a_note(tmp_path: Path) -> None:
    names = [
        "DMSO",
        "β-Alanine",
        "β\u2011Alanine",
        "β-Alanine\u200b",
        "\u00a0β-Alanine",
        "β-Ala\u0301nine",
        "β-Al\u00e1nine",
    ]
    batch = read_batch(screen_folder(tmp_path / "tc1", ["metabolite"], [[name] for name in names]))
    assert batch.wells["metabolite"].tolist() == ["DMSO", *["β-Alanine"] * 4, *["β-Al\u00e1nine"] * 2]
    assert any("spellings were folded" in note for note in batch.notes)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Serine", "serine"), ("β-Alanine", "beta-Alanine"), ("Cmpd-02", "Cmpd 02"), ("AZD8055", "AZD-8055")],
)
def test_names_that_look_alike_are_asked_about_with_the_line_that_answers(
    tmp_path: Path, one: str, other: str
) -> None:
    folder = screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], [one], [one], [other]])
    found = only_problem_of(folder)
    assert "spells what may be one compound as" in found
    line = found.split("Say in screen.yaml ")[1].split(" if they are one")[0]
    (folder / "screen.yaml").write_text(line + "\n", encoding="utf-8")
    assert wells_of(folder)["condition"].tolist()[1:] == [one] * 3
    line = found.split("or names: ")[1].split(" if they are not")[0]
    (folder / "screen.yaml").write_text(f"names: {line}\n", encoding="utf-8")
    assert wells_of(folder)["condition"].tolist()[1:] == [one, one, other]


@pytest.mark.parametrize(
    ("one", "other"),
    [("NAD", "NAD+"), ("(+)-Catechin", "(-)-Catechin"), ("5'-AMP", "5-AMP"), ("D-Serine", "L-Serine")],
)
def test_signs_and_primes_are_chemistry(tmp_path: Path, one: str, other: str) -> None:
    wells = wells_of(screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], [one], [other]]))
    assert wells["condition"].nunique() == 3


def test_the_published_set_is_understood_by_the_same_rules(tmp_path: Path) -> None:
    folder = published_folder(tmp_path / "tc1")
    write_column(folder / "meta_id.csv", ["dmso", "Empty well", "Serine", "Media", "Serine", "DMSO 0.1%"])
    wells = wells_of(folder)
    assert wells["well_type"].tolist() == [
        "vehicle_control",
        "empty",
        "sample",
        "untreated",
        "sample",
        "vehicle_control",
    ]


@pytest.mark.parametrize("cell", ["-999", "-99", "1e8", "9999", "-888", "-99.9", "777"])
def test_a_code_for_a_missing_score_is_refused(tmp_path: Path, cell: str) -> None:
    folder = screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], ["Torin"], ["Torin"]])
    write_rows(folder / "targets.csv", [["plate", "well", "tscore"], ["P1", "A1", 0.5], ["P1", "A2", cell]])
    assert f"row 3, column 3 ('tscore'): holds {float(cell):g}" in only_problem_of(folder)


def test_a_score_in_a_unit_of_its_own_is_no_code(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], ["Torin"], ["Torin"]])
    write_rows(folder / "targets.csv", [["plate", "well", "pseudotime"], ["P1", "A1", 88], ["P1", "A2", 99]])
    assert wells_of(folder)["pseudotime"].tolist()[:2] == [88, 99]


def test_a_wrong_batch_column_is_one_sentence(tmp_path: Path) -> None:
    folder = screen_folder(
        tmp_path / "tc1", ["metabolite", "batch"], [["DMSO", "tc9"], *[["Torin", "tc9"]] * 30]
    )
    with pytest.raises(LandingError) as caught:
        read_batch(folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert "31 contradictions, such as row 2 says batch 'tc9' of the well tc1_P1_A1; row 3 says" in lines[1]


def test_a_refused_batch_says_all_the_same_what_was_understood(tmp_path: Path) -> None:
    folder = screen_folder(tmp_path / "tc1", ["metabolite"], [["DMSO"], ["Serine"], ["serine"]])
    with pytest.raises(LandingError) as caught:
        read_batch(folder)
    assert any("2 sample, 1 vehicle_control" in line for line in caught.value.understood)


def test_what_was_understood_counts_conditions_replicates_doses_and_types(tmp_path: Path) -> None:
    rows = [["DMSO", ""], ["Torin", 10], ["Torin", 1], ["Torin", 1], ["EMPTY", ""]]
    batch: LandedBatch = read_batch(screen_folder(tmp_path / "tc1", ["drug", "dose_uM"], rows))
    shown = dict(batch.understood.rows())
    assert shown["columns of plate_map.csv"] == "plate, well, compound ← drug, dose ← dose_uM"
    assert shown["wells"] == "5: 3 sample, 1 vehicle_control, 1 empty"
    assert shown["conditions"] == "2, with 1 to 2 replicates each"
    assert shown["doses"] == "1 uM, 10 uM"
    assert shown["plates"].startswith("1 of 96 wells, 5% filled: P1 (5)")


def test_units_are_read_from_headers_and_cells() -> None:
    assert header_with_unit("Concentration.uM.") == ("Concentration", "uM")
    assert header_with_unit("timepoint_h", time_unit) == ("timepoint", "h")
    assert header_with_unit("plate_m") == ("plate_m", "")
    for text, unit in (("abc", ""), ("1,000", "nM"), ("-1", "uM"), ("inf", ""), ("> 10", "uM")):
        assert read_quantity(text, unit) is None, text
    day = read_quantity("2 days", "", time_unit)
    assert day is not None
    assert (float(day.amount), day.unit) == (48, "h")


def test_a_map_that_says_of_each_well_whether_it_is_dmso_names_the_others(tmp_path: Path) -> None:
    rows = [["DMSO", "True"], ["NA", "False"], ["EMPTY", "False"]]
    wells = wells_of(screen_folder(tmp_path / "tc1", ["metabolite", "is_dmso"], rows))
    assert wells["well_type"].tolist() == ["vehicle_control", "sample", "empty"]


def test_an_imported_batch_keeps_the_types_of_its_wells(tmp_path: Path) -> None:
    source = published_folder(tmp_path / "tc1")
    write_column(source / "meta_id.csv", ["DMSO", "NA", "Serine", "Media", "Serine", "DMSO"])
    import_published_folder(source, tmp_path / "data")
    assert wells_of(tmp_path / "data" / "tc1")["well_type"].tolist() == wells_of(source)["well_type"].tolist()
