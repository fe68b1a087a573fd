"""`screen.yaml`: a default for everything, and no key that is silently ignored."""

import time
from pathlib import Path

import pytest

from tcell_assets.landing.batch import read_batch
from tcell_assets.landing.wells import well_pattern
from tcell_assets_tests.landing.folders import METABOLITES, edit, mapped_folder, only_problem_of, problems_of


def test_an_empty_screen_file_changes_nothing(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    plain = read_batch(folder).wells
    (folder / "screen.yaml").write_text("# nothing special about this screen\n")
    assert read_batch(folder).wells.equals(plain)


def test_control_names_and_columns_can_be_stated(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    edit(folder / "plate_map.csv", "metabolite", "What we gave them")
    (folder / "screen.yaml").write_text(
        "control_names: [Glutamine, 'NA']\npositive_control_names: DMSO\ncolumns: {metabolite: What we gave them}\n"
    )
    wells = read_batch(folder).wells
    assert wells["metabolite"].tolist() == list(METABOLITES)
    assert wells.loc[wells["is_dmso"], "metabolite"].tolist() == ["NA", "Glutamine"]
    assert wells["sample_type"].tolist() == [
        "positive_control", "vehicle_control", "sample", "sample", "vehicle_control", "positive_control",
    ]  # fmt: skip


def test_the_screen_file_of_the_data_folder_holds_where_the_batch_has_none(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (tmp_path / "screen.yaml").write_text("control_names: Glutamine\n")
    assert read_batch(folder).wells["is_dmso"].sum() == 1
    (folder / "screen.yaml").write_text("plate_format: 384\n")
    assert read_batch(folder).wells["is_dmso"].sum() == 2


def test_a_screen_may_write_its_wells_its_own_way(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    path = folder / "plate_map.csv"
    text = path.read_text()
    for well in ("A1", "A2", "B1", "B2", "C3", "D4"):
        text = text.replace(f"P1,{well}", f"P1,pos[{well[0]}/{well[1:]}]")
    path.write_text(text)
    (folder / "screen.yaml").write_text("well_pattern: 'pos[{row}/{column}]'\n")
    assert read_batch(folder).wells["well"].tolist() == ["A1", "A2", "B1", "B2", "C3", "D4"]


@pytest.mark.parametrize("template", ["", "{row}", "{row}{row}{column}", "{row}{column}{plate}", "(a+)+$"])
def test_a_well_pattern_needs_row_and_column_once(template: str) -> None:
    with pytest.raises(ValueError, match="once each"):
        well_pattern(template)


def test_an_unknown_key_is_refused_with_the_nearest_known(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "screen.yaml").write_text("contol_names: [Vehicle]\nlimits: {max_well: 5}\n")
    text = " ".join(map(str, problems_of(folder)))
    assert "unknown setting 'contol_names'. The nearest setting is control_names" in text
    assert "unknown setting 'limits.max_well'. The nearest setting is limits.max_wells" in text


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("plate_format: 1535", "is not one of 96, 384, 1536"),
        ("plate_format: true", "is not one of 96, 384"),
        ("value_kind: tpm", "is not one of vst, counts"),
        ("control_names: [1]", "is not a name"),
        ("control_names: []", "names no control"),
        ("columns: {metabolit: X}", "unknown key 'metabolit' (the nearest is metabolite)"),
        ("concentration_in_name: 1", "is not one of True, False"),
        ("limits: {max_wells: -1}", "is not a number above 0"),
        ("limits: 5", "is not a list of 'limit: number'"),
        ("- a", "holds no 'key: value' lines"),
        ("a: [", "is not YAML"),
        ("control_names: &a [x]\npositive_control_names: *a", "uses YAML aliases"),
        ("control_names: !!python/object/apply:os.system ['true']", "is not YAML"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused(tmp_path: Path, line: str, found: str) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "screen.yaml").write_text(line + "\n")
    assert found in " ".join(map(str, problems_of(folder)))


def test_a_stated_column_that_is_not_there_is_refused_with_the_nearest(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "screen.yaml").write_text("columns: {metabolite: Metabolites}\n")
    text = only_problem_of(folder)
    assert "has no column 'Metabolites', which screen.yaml states for metabolite" in text
    assert "(the nearest is 'metabolite')" in text


@pytest.mark.parametrize(
    "text", ["value_kind: vst\nvalue_kind: counts\n", "limits: {max_files: 3, max_files: 9}\n"]
)
def test_a_key_that_stands_twice_is_an_error(tmp_path: Path, text: str) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "screen.yaml").write_text(text)
    assert "screen.yaml: sets '" in only_problem_of(folder)
    assert "twice" in only_problem_of(folder)


def test_a_batchs_own_screen_file_lowers_limits_and_never_raises_them(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "screen.yaml").write_text("limits: {max_wells: 3}\n")
    assert "max_wells" in " ".join(map(str, problems_of(folder)))
    (folder / "screen.yaml").write_text("limits: {max_wells: 100001, max_files: 5}\n")
    assert "sets limits.max_wells to 100,001, above the screen's 100,000" in str(only_problem_of(folder))
    (tmp_path / "screen.yaml").write_text("limits: {max_wells: 100001}\n")
    assert len(read_batch(folder).wells) == 6


def test_a_limit_that_the_screen_lowers_holds_for_a_batch_that_states_more(tmp_path: Path) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (tmp_path / "screen.yaml").write_text("limits: {max_genes: 1000}\n")
    (folder / "screen.yaml").write_text("limits: {max_genes: 2000}\n")
    assert "above the screen's 1,000" in str(only_problem_of(folder))
    (folder / "screen.yaml").write_text("limits: {max_files: 5}\n")
    assert len(read_batch(folder).wells) == 6
    (tmp_path / "screen.yaml").write_text("limits: {max_wells: 3}\n")
    assert "max_wells" in " ".join(map(str, problems_of(folder)))


@pytest.mark.parametrize(
    "text",
    ["names: " + "[" * 60_000, "names: " + "{a: " * 15_000, "names:\n" + "- " * 30_000],
    ids=["lists in brackets", "braces", "lists by dashes"],
)
def test_a_deeply_nested_screen_file_is_refused_before_it_is_parsed(tmp_path: Path, text: str) -> None:
    folder = mapped_folder(tmp_path / "tc1")
    (folder / "screen.yaml").write_text(text)
    started = time.process_time()
    assert "is nested more than 8 levels deep" in str(only_problem_of(folder))
    assert time.process_time() - started < 2
