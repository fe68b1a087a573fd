"""Names of wells, plates and batches."""

import pytest

from tcell_assets.landing.wells import (
    WellId,
    WellPosition,
    batch_name_fault,
    canonical_plate,
    is_edge,
    parse_plate_well,
    parse_well,
    parse_well_id,
    plate_format_of,
)


@pytest.mark.parametrize("spelling", ["E12", "e12", "E012", "E-12", " E12 ", "E_12"])
def test_every_usual_spelling_is_the_same_well(spelling: str) -> None:
    assert parse_well(spelling) == WellPosition("E", 12)
    assert parse_well(spelling).name == "E12"


@pytest.mark.parametrize(
    "text", ["", "E", "12", "E0", "AG1", "A49", "E1.5", "BA1", "E٣", "E12\n3", "E" * 10_000]
)
def test_what_is_no_well_of_a_1536_well_plate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="E12"):
        parse_well(text)


def test_wells_of_1536_well_plates_have_rows_of_two_letters() -> None:
    assert parse_well("AA01") == WellPosition("AA", 1)
    assert parse_well("af48").name == "AF48"
    assert parse_well("Z-30").name == "Z30"
    assert is_edge(WellPosition("AF", 7), 1536)
    assert not is_edge(WellPosition("P", 7), 1536)


@pytest.mark.parametrize("text", ["P1_A05", "P1-A5", "P1:a5", "P1.A5", "P1 A5"])
def test_plate_and_well_may_be_written_as_one(text: str) -> None:
    assert parse_plate_well(text) == ("P1", "A5")


def test_a_well_id_is_batch_plate_well() -> None:
    assert parse_well_id("tc1_A1_E012") == WellId("tc1", "A1", "E12")
    assert str(parse_well_id("tc1_A1_E012")) == "tc1_A1_E12"


def test_a_batch_name_may_hold_underscores_because_plate_and_well_are_the_last_two_parts() -> None:
    assert parse_well_id("screen_2_A1_E12") == WellId("screen_2", "A1", "E12")


def test_a_plate_with_underscore_is_read_where_the_batch_is_known_and_becomes_unambiguous() -> None:
    well = parse_well_id("tc1_Plate_1_E12", batch="tc1")
    assert well == WellId("tc1", "Plate-1", "E12")
    assert parse_well_id(str(well)) == well


@pytest.mark.parametrize("text", ["", "tc1", "tc1_A1", "tc1_A1_AG9", "_A1_E12", "tc1__E12", "../x_A1_E12"])
def test_a_malformed_well_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not|has a batch name"):
        parse_well_id(text)


def test_a_well_id_of_another_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="of batch tc2"):
        parse_well_id("tc1_A1_E12", batch="tc2")


@pytest.mark.parametrize("name", ["tc1", "A", "2026-01-31", "screen_2.b", "x" * 64])
def test_a_usual_batch_name_is_allowed(name: str) -> None:
    assert batch_name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../x",
        "/etc",
        "a/b",
        "a\\b",
        "a\0",
        "-a",
        "_a",
        "x" * 65,
        "CON",
        "nul.txt",
        "a..b",
        "a.",
        "é",
    ],
)
def test_a_name_that_could_leave_its_folder_is_no_batch(name: str) -> None:
    assert batch_name_fault(name) is not None


@pytest.mark.parametrize("name", ["", "..", "a/b", "nul", "x" * 65, "a\0b"])
def test_a_name_that_could_leave_its_folder_is_no_plate(name: str) -> None:
    with pytest.raises(ValueError, match="plate name"):
        canonical_plate(name)


def test_the_edge_depends_on_the_plate_format() -> None:
    assert plate_format_of([WellPosition("H", 12)]) == 96
    assert plate_format_of([WellPosition("A", 1), WellPosition("I", 1)]) == 384
    assert is_edge(WellPosition("H", 5), 96)
    assert not is_edge(WellPosition("H", 5), 384)
    assert is_edge(WellPosition("P", 5), 384)
    assert is_edge(WellPosition("B", 12), 96)
    assert not is_edge(WellPosition("B", 12), 384)
    assert is_edge(WellPosition("B", 1), 384)
