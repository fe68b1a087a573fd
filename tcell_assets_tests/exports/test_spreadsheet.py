"""CSV for spreadsheets: names are shown and never computed, and every written name comes back."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tcell_assets.exports.spreadsheet import cell_of_text, text_of_cell, without_formulas


@pytest.mark.parametrize(
    "name",
    [
        "=1+1",
        '=HYPERLINK("http://evil.test","x")',
        "+cmd|' /C calc'!A0",
        "-2+3",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1",
        "--1",
        "+",
        "-1 000",
    ],
)
def test_what_a_spreadsheet_would_compute_gets_an_apostrophe(name: str) -> None:
    assert cell_of_text(name) == f"'{name}"


@pytest.mark.parametrize(
    "name",
    [
        "(-)-Epigallocatechin",
        "(+)-Catechin",
        "β-Alanine",
        "2,6-Diaminoheptanedioic acid",
        "5'-AMP",
        "'quoted'",
        "-1.5",
        "+2e-3",
        ".5",
        "",
        "D-(=)x",
    ],
)
def test_metabolite_names_and_numbers_stay_as_they_are(name: str) -> None:
    assert cell_of_text(name) == name


@given(st.text(alphabet=st.sampled_from("=+-@'\t\r\n＝a1(β. "), max_size=8) | st.text())
@example("''=x")
def test_every_text_comes_back_and_no_written_cell_is_a_formula(text: str) -> None:
    cell = cell_of_text(text)
    assert text_of_cell(cell) == text
    try:
        float(cell)
    except ValueError:
        assert not cell.startswith(tuple("=+-@\t\r\n"))


def test_texts_and_column_names_of_a_table_are_made_safe_and_numbers_are_not_touched() -> None:
    table = pd.DataFrame(
        {
            "=name": ["-x", None, "ok"],
            "score": [-1.5, 2.0, -3.0],
            "category": pd.Categorical(["@a", "b", "b"]),
        }
    )
    written = without_formulas(table).to_csv(index=False)
    rows = list(csv.reader(io.StringIO(written)))
    assert rows == [
        ["'=name", "score", "category"],
        ["'-x", "-1.5", "'@a"],
        ["", "2.0", "b"],
        ["ok", "-3.0", "b"],
    ]
    assert table.columns[0] == "=name", "the table itself is left alone"
